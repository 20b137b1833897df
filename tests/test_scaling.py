"""The tables of what many photos take are those that are reckoned, from figures on record."""

import re
import sys

import numpy as np
import pytest

from houndsight.stores.milvus.changes import Changes
from houndsight.stores.milvus.rows import Row, packed
from houndsight.types import Item
from test_project import HERE, read

PROGRAMS = HERE / "benchmarks"
if not PROGRAMS.is_dir():
    pytest.skip("benchmarks is not there: this is no full checkout", allow_module_level=True)
sys.path.insert(0, str(PROGRAMS))

import scaling  # noqa: E402 -- found by the line above
import scaling_given  # noqa: E402

PAGES = ("docs/scaling.md", "docs/more-than-one-machine.md")
MILLION, BILLIONS = 10**6, 10**10


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_the_tables_that_are_reckoned(name):
    text = read(name)
    assert scaling.PLACE.search(text)
    assert scaling.filled(text) == text, "run: python benchmarks/scaling.py --write " + name


def test_every_table_is_on_some_page():
    shown = [place[2] for name in PAGES for place in scaling.PLACE.finditer(read(name))]
    assert sorted(shown) == sorted(scaling.TABLES)


def test_a_page_that_was_written_by_hand_is_told():
    page = "<!-- scaling: bytes -->\n| a | b |\n<!-- /scaling -->\n"
    assert "81.9 TB" in scaling.filled(page)
    assert "| a | b |" not in scaling.filled(page)


def test_what_was_measured_is_on_record():
    record = read("docs/benchmarks.md")
    for one in scaling_given.MEASURED.values():
        number = one.shown.split()[0]
        assert re.search(rf"(?<![\d.,]){re.escape(number)}(?![\d.,]*\d)", record), one


def test_what_others_state_has_an_address_and_a_day():
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", scaling_given.LOOKED_UP)
    for one in scaling_given.STATED.values():
        assert re.search(r"\]\(https://[^)\s]+\)$", one.source), one


def test_some_figures_by_hand():
    assert scaling.raw(BILLIONS, "float32") == 81_920_000_000_000
    assert scaling.memory(MILLION, "HNSW", "float32") == 8.192e9 + 128e6 + 266e6
    assert scaling.memory(MILLION, "DISKANN", "float32") == 2.048e9 + 266e6
    assert scaling.disk(MILLION, "DISKANN", "float32") == 8.192e9 + 224e6
    # 8.458 GB of at most 90 % of 17.18 GB each.
    assert scaling.units(MILLION, "FLAT", "float32") == 1
    assert scaling.units(100 * MILLION, "FLAT", "float32") == 55
    assert scaling.cpu_seconds(MILLION, "small") == pytest.approx(96_153.8, abs=0.1)
    # 50 TB at 0.023, 450 TB at 0.022, 300 TB at 0.021.
    assert scaling.stored(800e12) == pytest.approx(1150 + 9900 + 6300)
    assert scaling.row_bytes() == 8192 + 11_374 + 301


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.0305, "30.5 ms"), (59, "59 s"), (90, "1.5 min"), (86_400 * 55.6, "55.6 days"), (0, "0 ms")],
)
def test_spans_of_time(seconds, shown):
    assert scaling.span(seconds) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [(999.6e9, "1 TB"), (301e6, "301 MB"), (30.9e15, "30.9 PB"), (12, "0.012 kB")],
)
def test_volumes(count, shown):
    assert scaling.volume(count) == shown


def test_what_a_photo_takes_in_milvus():
    item = Item(
        *(1 << 62, 1, b"000001/photo-0000000001.jpg", "beagle", "folder", b"\xab" * 32),
        *(80_000, 10**18, 500, 375, None),
    )
    vector = np.linspace(0, 1, scaling_given.DIM, dtype=np.float32)
    row = packed(Row(item, 7), vector, len(vector))
    fields = sum(len(v) if isinstance(v, str) else 8 for k, v in row.items() if k != "vector")
    assert fields == scaling.of("fields")
    journal = len(Changes(8, {item.id: Row(item, 7)}, {item.id: vector}).text())
    assert journal + fields + vector.nbytes == pytest.approx(scaling.logged(), rel=0.02)


def test_every_amount_that_is_told_is_in_a_table():
    text = read("docs/scaling.md")
    tables = "\n".join(make() for make in scaling.TABLES.values())
    prose = re.sub(r"(?m)^\| .*$|`[^`]*`|\]\([^)]*\)", "", scaling.PLACE.sub("", text))
    amounts = re.findall(
        r"\$[\d,.]*\d|[\d,.]*\d (?:TB|GB|ms|s|min|h|days|vCPUs|answers|blocks|bytes)\b", prose
    )
    assert len(amounts) > 12
    # The memory of DISKANN's authors, and what an id and a label come to, are told nowhere else.
    for amount in set(amounts) - {"64 GB", "100 bytes"}:
        number = amount.removesuffix(" answers").removesuffix(" blocks").removesuffix(" vCPUs")
        assert re.search(rf"(?<![\d.,]){re.escape(number)}(?![\d,]*\d)", tables), amount
