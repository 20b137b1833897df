"""Mutation testing: would the tests notice if the code were another?

`python tests/mutation/run.py [PART...]`, all parts unless given (about an hour), needs Linux and
mutmut (https://mutmut.readthedocs.io): `uv pip install --group mutation`. It makes small changes to
every function of a part, one at a time, and runs the tests of that part that call the function. A
change that no test fails for survives; those that `equivalent.toml` shows to change no answer are
taken out of the score. All others are printed, and the exit code is not 0 below 85 %.

Not changed are what is outside functions, decorated functions, and the lines that raise: which
words an error has is for tests/test_messages.py. All happens in a copy, build/mutation/PART, in
which hypothesis always draws the same examples and fewer of them.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LEAST = 0.85
EXAMPLES = 40
PARTS = {
    "metrics": (["metrics"], ["test_metrics.py"]),
    "search": (
        ["search", "bound"],
        ["test_search.py", "test_bound.py", "test_bound_edges.py"],
    ),
    "checkpoint": (
        ["models/checkpoint", "models/pytorch", "models/unpickle"],
        [
            "models/test_keras.py",
            "models/test_unpickle.py",
            *(f"models/test_checkpoint{end}.py" for end in ("", "_attacks", "_lies")),
        ],
    ),
}
# Not by -m: it would be imported twice, and warns.
MUTMUT = "from mutmut.__main__ import cli; cli(prog_name='mutmut')"
KILLED = {"killed", "timeout", "segfault"}

# These take a minute or more where every call is watched: what they alone would notice counts as
# not noticed.
SLOW = "little_memory or truncated or real_size"

# Without shrinking: that a test fails is enough. Quick tests first: most changes fall at once.
CONFTEST = f"""
import json
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings

settings.register_profile(
    "mutation",
    database=None,
    deadline=None,
    derandomize=True,
    max_examples={EXAMPLES},
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("mutation")


def pytest_collection_modifyitems(items):
    if (stats := Path("mutmut-stats.json")).exists():
        seconds = json.loads(stats.read_text())["duration_by_test"]
        items.sort(key=lambda item: seconds.get(item.nodeid, 0.0))
"""
SETTINGS = """
[tool.mutmut]
source_paths = ["src"]
only_mutate = {sources}
pytest_add_cli_args_test_selection = {tests}
pytest_add_cli_args = ["-k", "not ({slow})", "-W", "ignore::SyntaxWarning"]  # changes may be odd
also_copy = ["conftest.py"]
do_not_mutate_patterns = ['^\\s*raise\\b']
timeout_multiplier = 10.0
timeout_constant = 4.0
use_git_change_detection = false
process_isolation = "forkserver"  # threads of NumPy and ONNX Runtime do not survive a fork
"""


def prepare(folder, sources, tests):
    """Make a copy of code and tests in which mutmut can work."""
    shutil.rmtree(folder, ignore_errors=True)
    # Python forgets a place to import from that is not there when it starts.
    (folder / "mutants" / "src").mkdir(parents=True)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "src", folder / "src", ignore=ignored)
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=ignored)
    for path in folder.glob("tests/**/test_*.py"):
        path.write_text(fewer(path.read_text(encoding="utf-8")), encoding="utf-8")
    (folder / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    settings = SETTINGS.format(
        sources=[f"src/houndsight/{name}.py" for name in sources],
        tests=[f"tests/{name}" for name in tests],
        slow=SLOW,
    )
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (folder / "pyproject.toml").write_text(project + settings, encoding="utf-8")


def fewer(text):
    """Cut down the numbers of examples that tests ask for themselves."""
    return re.sub(
        r"\bmax_examples=(\d+)", lambda n: f"max_examples={min(int(n[1]), EXAMPLES)}", text
    )


def mutmut(folder, *arguments):
    """Run mutmut in the copy and return what it says; what tests start sees the copy too."""
    found = [str(folder / "mutants" / "src"), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-c", MUTMUT, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, found))},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        sys.exit(f"mutmut failed in {folder}: {done.stdout[-3000:]}")
    return done.stdout


def statuses(listing):
    """Return mutants and what became of each, from `mutmut results --all true`."""
    return dict(re.findall(r"^\s+(\S+__mutmut_\d+): (.+)$", listing, re.MULTILINE))


def change(name, shown):
    """Return function, lines before and lines after of a mutant, from `mutmut show`."""
    module, _, mangled = name.removeprefix("houndsight.").rpartition(".")
    # x_name for a function, xǁClassǁname for a method
    function = re.sub(r"^x[_ǁ]|__mutmut_\d+$", "", mangled).replace("ǁ", ".")
    lines = [line for line in shown.splitlines() if not line.startswith(("---", "+++"))]
    was, new = (
        " ".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+"
    )
    return f"{module}.{function}", was, new


def equivalent(path=HERE / "equivalent.toml"):
    """Return what is known of changes that change no answer: the reason by function and lines."""
    entries = tomllib.loads(path.read_text(encoding="utf-8"))["equivalent"]
    return {(one["function"], one["was"], new): one["why"] for one in entries for new in one["new"]}


def scored(part, became, changes, known):
    """Print the figures of a part and its survivors, and return its score.

    `became` is what became of each mutant, `changes` has the change of each survivor.
    """
    count = Counter(became.values())
    killed = sum(count[status] for status in KILLED)
    left = [name for name, one in changes.items() if one not in known]
    same = len(changes) - len(left)
    score = killed / max(1, len(became) - same)
    print(f"{part}: {killed:,} of {len(became):,} mutants killed, {killed / len(became):.1%}")
    print(f"  without {same} that change no answer: {score:.1%}")
    print("  " + ", ".join(f"{status} {number:,}" for status, number in sorted(count.items())))
    for name in left:
        function, was, new = changes[name]
        print(f"  {became[name]}: {name}\n    {function}\n    - {was}\n    + {new}")
    return score


def run(part, known):
    """Run a part, print what came of it, and return its score."""
    sources, tests = PARTS[part]
    folder = ROOT / "build" / "mutation" / part
    began = time.monotonic()
    prepare(folder, sources, tests)
    mutmut(folder, "run", "--max-children", str(len(os.sched_getaffinity(0))))
    became = statuses(mutmut(folder, "results", "--all", "true"))
    if odd := [name for name, status in became.items() if status not in {"killed", "survived"}]:
        # Once more, by itself: it may have been the machine.
        mutmut(folder, "run", "--max-children", "1", *odd)
        became = statuses(mutmut(folder, "results", "--all", "true"))
    survivors = [name for name, status in became.items() if status not in KILLED]
    changes = {name: change(name, mutmut(folder, "show", name)) for name in survivors}
    score = scored(part, became, changes, known)
    modules = {source.replace("/", ".") for source in sources}
    for function, was, new in set(known) - set(changes.values()):
        if any(function.startswith(f"{module}.") for module in modules):
            print(f"  in equivalent.toml, but no survivor: {function}\n    - {was}\n    + {new}")
    print(f"  {time.monotonic() - began:,.0f} s", flush=True)
    return score


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "part", nargs="*", choices=[[], *PARTS], metavar="PART", help=", ".join(PARTS)
    )
    wanted = parser.parse_args().part or list(PARTS)
    if find_spec("mutmut") is None:
        sys.exit("needs mutmut: uv pip install --group mutation")
    known = equivalent()
    return int(min([run(part, known) for part in wanted]) < LEAST)


if __name__ == "__main__":
    sys.exit(main())
