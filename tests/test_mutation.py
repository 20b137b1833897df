"""That the run of mutation tests counts rightly; mutation/run.py on the parts takes an hour."""

import importlib.util
import textwrap
from pathlib import Path

import pytest

PLACE = Path(__file__).parent / "mutation" / "run.py"
LARGER = "def larger(a, b):\n    return a if a > b else b\n"
LEFT = ("tiny.larger", "return a if a > b else b", "return a if a >= b else b")


@pytest.fixture
def run():
    spec = importlib.util.spec_from_file_location("mutation_run", PLACE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_mutmut_says_is_understood(run):
    listing = """
        houndsight.metrics.x__share__mutmut_2: survived
        houndsight.models.unpickle.xǁ_Machineǁpop_group__mutmut_11: killed
    """
    first, second = run.statuses(listing)
    assert run.statuses(listing)[second] == "killed"
    shown = textwrap.dedent("""\
        # houndsight.metrics.x__share__mutmut_2: survived
        --- src/houndsight/metrics.py
        +++ src/houndsight/metrics.py
        @@ -1,3 +1,3 @@
         def _share(part, whole):
        -    return part / whole
        +    return part * whole
    """)
    assert run.change(first, shown) == (
        "metrics._share",
        "return part / whole",
        "return part * whole",
    )
    assert run.change(second, shown)[0] == "models.unpickle._Machine.pop_group"


def test_only_what_changes_no_answer_is_left_out_of_the_score(run, capsys):
    became = {"a": "killed", "b": "timeout", "c": "survived", "d": "no tests"}
    changes = {"c": LEFT, "d": ("tiny.other", "x + 1", "x - 1")}
    assert run.scored("tiny", became, changes, {}) == 2 / 4
    assert run.scored("tiny", became, changes, {LEFT: "equal is equal"}) == 2 / 3
    told = capsys.readouterr().out.rpartition("tiny: ")[2]
    assert "2 of 4 mutants killed, 50.0%" in told
    assert "without 1 that change no answer: 66.7%" in told
    assert "no tests: d\n    tiny.other\n    - x + 1\n    + x - 1" in told
    assert "larger" not in told


def test_what_is_said_to_change_no_answer_says_why(run):
    known = run.equivalent()
    assert known
    for (function, was, new), why in known.items():
        assert function.startswith(
            tuple(f"{name}." for name in ("metrics", "search", "bound", "models"))
        )
        assert was != new
        assert why


def test_examples_are_only_ever_fewer(run):
    text = "@settings(max_examples=600, deadline=None)\n@settings(max_examples=5)\n"
    assert run.fewer(text) == text.replace("600", str(run.EXAMPLES))


def test_a_small_function_from_end_to_end(run, tmp_path, monkeypatch, capsys):
    pytest.importorskip("mutmut", reason="needs the dependency group mutation")
    for name, content in {
        "pyproject.toml": "[tool.pytest.ini_options]\nfilterwarnings = ['error']\n",
        "src/houndsight/__init__.py": "",
        "src/houndsight/tiny.py": LARGER,
        "tests/test_tiny.py": "from houndsight.tiny import larger\n\n\n"
        "def test_larger():\n    assert (larger(1, 2), larger(4, 3), larger(5, 5)) == (2, 4, 5)\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.setattr(run, "PARTS", {"tiny": (["tiny"], ["test_tiny.py"])})
    gone = ("tiny.larger", "return a if a > b else b", "return b")
    assert run.run("tiny", {gone: "it is killed"}) == 2 / 3
    told = capsys.readouterr().out
    assert "2 of 3 mutants killed" in told
    assert "survived: houndsight.tiny.x_larger__mutmut_" in told
    assert "\n    {}\n    - {}\n    + {}\n".format(*LEFT) in told
    assert "in equivalent.toml, but no survivor: {}\n    - {}\n    + {}\n".format(*gone) in told
