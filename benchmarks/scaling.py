"""What 1 million, 100 million and 10 billion photos take, reckoned from figures that are on record.

    python benchmarks/scaling.py                     # the tables, in Markdown
    python benchmarks/scaling.py --write FILE...     # put anew into the pages that have them

Nothing is measured here. benchmarks/scaling_given.py has figures of docs/benchmarks.md, what others
have published, and what a reader may want to change: everything else is arithmetic. Pages have each
table between two comments, and tests/test_scaling.py holds them to what is printed here.
"""

import argparse
import re
from math import ceil
from pathlib import Path

from scaling_given import (
    CHOSEN,
    DIM,
    GB,
    GIVEN,
    KINDS,
    LIST_PRICE,
    LOGS,
    LOOKED_UP,
    MEASURED,
    SIZES,
    STATED,
    TB,
    TIERS,
    UNIT_DISK,
    UNIT_MEMORY,
)

DAY, WEEK, MONTH_H = 86_400, 7 * 86_400, 730


def of(name):
    return GIVEN[name].value


# How figures are shown


def figure(value):
    """Three digits that count."""
    if value >= 100:
        digits = len(str(int(value))) - 3
        return f"{round(value, -digits):,.0f}"
    return f"{value:.3g}"


def scaled(value, units):
    """In the largest unit of which there is one at least."""
    name, size = next((unit for unit in units if value >= unit[1] * 0.9995), units[-1])
    return f"{figure(value / size)} {name}"


def volume(count):
    return scaled(count, (("PB", 10**15), ("TB", TB), ("GB", GB), ("MB", 10**6), ("kB", 1000)))


def span(seconds):
    units = (("years", 365 * DAY), ("days", DAY), ("h", 3600), ("min", 60), ("s", 1), ("ms", 1e-3))
    return scaled(seconds, units)


def money(dollars):
    return f"${figure(dollars)}" if dollars >= 1 else f"${dollars:.2f}"


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def per_size(make, shown):
    return [shown(make(count)) for count in SIZES.values()]


# What is reckoned


def raw(count, kind):
    return count * DIM * KINDS[kind]


def memory(count, index, kind):
    """Bytes that Milvus has to hold in memory: the index, and the items' other fields."""
    vectors = raw(count, kind)
    loaded = {
        "FLAT": vectors,
        "HNSW": vectors + count * of("links"),
        "IVF_SQ8": count * (DIM * of("sq8") + 4),
        "DISKANN": vectors * of("pq"),
    }[index]
    return loaded + count * of("fields")


def disk(count, index, kind):
    """Bytes on the query nodes' own disks."""
    return raw(count, kind) + count * of("degree") if index == "DISKANN" else 0


def units(count, index, kind):
    """Servers of 16 GiB and 468 GB; 64 of them are the largest machine of the family."""
    wanted = memory(count, index, kind) / of("load") / UNIT_MEMORY
    return ceil(max(wanted, disk(count, index, kind) / UNIT_DISK))


def stored(count):
    """Return what S3 costs a month for so many bytes."""
    total = 0.0
    for size, price in TIERS:
        total += min(count, size) / GB * price
        count = max(0, count - size)
    return total


def cpu_seconds(count, photo):
    return count * 2 / of(photo)


def row_bytes():
    """Return the bytes that come back from a worker for each photo."""
    return DIM * 4 + of("thumbnail") + of("catalogue")


def logged():
    """Return the bytes that Milvus' log gets for each photo: a journal (base64), and a row."""
    return DIM * 4 * (1 + 4 / 3) + 2 * of("fields")


WAYS = [("FLAT", kind) for kind in KINDS] + [("HNSW", kind) for kind in KINDS]
WAYS += [("IVF_SQ8", "float32"), ("DISKANN", "float32")]


# The tables


def given(which, origin="from"):
    rows = [[one.what, one.shown, one.source] for one in which.values()]
    return table(["what", "figure", origin], rows)


def bytes_kept():
    rows = [[f"vectors, {kind}", *per_size(lambda n, k=kind: raw(n, k), volume)] for kind in KINDS]
    for what in ("shortened", "catalogue", "thumbnail"):
        name = {"shortened": "shortened rows", "thumbnail": "thumbnails"}.get(what, what)
        rows.append([name, *per_size(lambda n, w=what: n * of(w), volume)])
    for what in ("small", "large"):
        name = GIVEN[f"{what} bytes"].what.removeprefix("a photo ")
        rows.append([f"photos {name}", *per_size(lambda n, w=what: n * of(f"{w} bytes"), volume)])
    return table(["", *SIZES], rows)


def milvus():
    head = ["index", "vectors", *(f"{name}: memory, disk" for name in SIZES)]
    rows = []
    for index, kind in WAYS:
        cells = []
        for count in SIZES.values():
            spread = disk(count, index, kind)
            held = volume(memory(count, index, kind))
            cells.append(f"{held}, {volume(spread)}" if spread else held)
        rows.append([index, kind, *cells])
    return table(head, rows)


def embedding():
    head = ["photos, network", "", *SIZES]
    rows = []
    for photo in ("small", "large", "small int8", "large int8"):
        size = "500 pixels" if photo.startswith("small") else "12 MP"
        name = f"{size}, {'int8' if photo.endswith('int8') else 'float32'}"
        for cpus in (2, 64, 1024):
            times = per_size(lambda n, p=photo, c=cpus: cpu_seconds(n, p) / c, span)
            rows.append([name, f"{cpus:,} vCPUs", *times])
        rows.append(
            [
                name,
                "vCPUs for a week",
                *per_size(lambda n, p=photo: ceil(cpu_seconds(n, p) / WEEK), "{:,}".format),
            ]
        )
    return table(head, rows)


def limits():
    """Tell when one process, machine or service is done with so many photos."""
    link = of("link")
    parts = [
        ("listing a folder, and telling what is new", "one process", of("plan")),
        ("listing S3, one LIST after the other", "one process", of("list")),
        ("decoding and embedding (500 pixels)", "a vCPU", 2 / of("small")),
        ("decoding and embedding (12 MP)", "a vCPU", 2 / of("large")),
        ("object store: GET", "a prefix", 1 / of("get rate")),
        ("network: photos of 500 pixels", "a link", of("small bytes") / link),
        ("network: photos of 12 MP", "a link", of("large bytes") / link),
        ("network: rows to the one who writes", "one link", row_bytes() / link),
        ("the one writer, a folder", "one process", of("write")),
        ("the one writer, Milvus' log on MinIO", "one log", logged() / of("log")),
        ("index build: shortened rows of a folder", "one process", of("shorten")),
        ("index build: HNSW", "a CPU", of("graph") * DIM),
    ]
    rows = [
        [part, who, f"{figure(1 / each)} a second", *per_size(lambda n, e=each: n * e, span)]
        for part, who, each in parts
    ]
    rows.append(["query: exact, a folder in memory", "2 cores", ""])
    rows[-1] += per_size(lambda n: n * of("exact"), span)
    rows.append(["query: every number looked at (FLAT)", "2 cores", ""])
    rows[-1] += per_size(lambda n: n * of("product"), span)
    return table(["part", "of", "photos", *SIZES], rows)


def writers():
    """Tell how many vCPUs the one writer keeps up with."""
    rates = {"a folder": 1 / of("write")}
    rates |= {f"Milvus, its log on {where}": rate / logged() for where, rate in LOGS.items()}
    photos = {"small": "500 pixels", "large": "12 MP", "small int8": "500 pixels, network in int8"}
    head = ["one writer into", "photos a second", *(f"vCPUs at {name}" for name in photos.values())]
    rows = [
        [name, figure(rate), *(figure(rate * 2 / of(photo)) for photo in photos)]
        for name, rate in rates.items()
    ]
    return table(head, rows)


def process():
    """Tell what one process has to hold."""
    rows = [
        ["list of the photos", *per_size(lambda n: n * of("listed"), volume)],
        ["all items, to tell what is new", *per_size(lambda n: n * of("item"), volume)],
        ["ids and labels of all, for a search in Milvus", *per_size(lambda n: n * 100, volume)],
        ["answers of 1,000 rows that bring them", *per_size(lambda n: n // 1000, "{:,}".format)],
        ["blocks of 32 files in Ray's queue", *per_size(lambda n: ceil(n / 32), "{:,}".format)],
        [
            "ids that fall together (63 bits), expected",
            *per_size(lambda n: n * n / 2**64, "{:.2g}".format),
        ],
    ]
    return table(["one process", *SIZES], rows)


def costs():
    rows = []
    for photo in ("small", "large", "small int8"):
        size = "500 pixels" if photo.startswith("small") else "12 MP"
        network = "int8" if photo.endswith("int8") else "float32"
        rows.append(
            [
                f"once: embedding, {size}, network {network}",
                *per_size(lambda n, p=photo: cpu_seconds(n, p) / 3600 * of("cpu price"), money),
            ]
        )
    asked = per_size(lambda n: n * of("request price") + n / 1000 * LIST_PRICE, money)
    rows.append(["once: GET and LIST of every photo", *asked])
    for photo, name in (("small", "500 pixels"), ("large", "12 MP")):
        kept = per_size(lambda n, p=photo: stored(n * of(f"{p} bytes")), money)
        rows.append([f"a month: photos of {name} in S3", *kept])
    for kind in KINDS:
        kept = per_size(lambda n, k=kind: stored(raw(n, k)), money)
        rows.append([f"a month: vectors in S3, {kind}", *kept])
    for index, kind in WAYS:
        served = per_size(
            lambda n, i=index, k=kind: units(n, i, k) * of("server price") * MONTH_H, money
        )
        rows.append([f"a month: query servers, {index} {kind}", *served])
    return table(["", *SIZES], rows)


def sizing():
    """Make the short table for whoever plans a cluster."""
    rows = []
    for name, count in SIZES.items():
        flat = memory(count, "FLAT", "float32") / of("load")
        ann = units(count, "DISKANN", "float32")
        rows.append(
            [
                name,
                f"{ceil(cpu_seconds(count, 'small') / WEEK):,}",
                f"{ceil(cpu_seconds(count, 'large') / WEEK):,}",
                volume(count * (DIM * 4 + of("shortened") + of("catalogue") + of("thumbnail"))),
                volume(flat),
                f"{volume(ann * UNIT_MEMORY)}, {volume(ann * UNIT_DISK)}",
            ]
        )
    head = [
        "photos",
        "vCPUs to index 500-pixel photos in a week",
        "12-MP photos",
        "gallery in a folder",
        "Milvus, FLAT: memory of the query nodes",
        "Milvus, DISKANN: memory, NVMe",
    ]
    return table(head, rows)


TABLES = {
    "measured": lambda: given(MEASURED),
    "stated": lambda: given(STATED, f"from, looked up {LOOKED_UP}"),
    "chosen": lambda: given(CHOSEN),
    "bytes": bytes_kept,
    "milvus": milvus,
    "embedding": embedding,
    "limits": limits,
    "writers": writers,
    "process": process,
    "costs": costs,
    "sizing": sizing,
}
PLACE = re.compile(r"(<!-- scaling: (\w+) -->\n).*?(<!-- /scaling -->)", re.DOTALL)


def filled(text):
    """Return a page with its tables as they are reckoned now."""
    return PLACE.sub(lambda place: f"{place[1]}\n{TABLES[place[2]]()}\n\n{place[3]}", text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--write", nargs="+", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    for path in arguments.write or ():
        path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")
    if not arguments.write:
        print("\n\n".join(f"{name}:\n\n{make()}" for name, make in TABLES.items()))


if __name__ == "__main__":
    main()
