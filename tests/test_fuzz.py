"""The short run of fuzzing: a few hundred executions of each target, always the same ones.

In a process of its own: what hostile bytes do to native code can end it. The long run, guided by
coverage, is in docs/security.md.
"""

import random
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parent / "fuzz"
EXECUTIONS = {
    "photo": 600,
    "weights": 600,
    "network": 600,
    "labels": 600,
    "gallery": 150,
    "upload": 300,
}

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits of memory are POSIX's")


def fuzz(tmp_path, *arguments):
    return subprocess.run(
        [sys.executable, FUZZ / "run.py", *arguments, "--plain"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        errors="replace",
    )


@pytest.mark.parametrize("target", EXECUTIONS)
def test_nothing_surprises(tmp_path, target):
    if target == "upload":
        pytest.importorskip("fastapi", reason="needs the extra web")
    ran = fuzz(tmp_path, target, f"--executions={EXECUTIONS[target]}")
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert f"{target}: {EXECUTIONS[target]} executions" in ran.stdout


@pytest.fixture
def run(monkeypatch):
    monkeypatch.syspath_prepend(FUZZ)
    import run
    import targets

    yield run, targets
    for name in ("run", "targets", "corpus"):
        sys.modules.pop(name)


def test_a_surprise_is_kept_and_told(tmp_path, monkeypatch, run, capsys):
    run, targets = run
    monkeypatch.chdir(tmp_path)

    class Surprising:
        def __enter__(self):
            return lambda data: 1 / (len(data) - len(targets.seeds("labels")[2]))

        def __exit__(self, *_):
            pass

    monkeypatch.setitem(targets.TARGETS, "labels", Surprising)
    with pytest.raises(ZeroDivisionError):
        run.plainly("labels", 100, 1)
    assert (tmp_path / "surprise-labels-2").read_bytes() == targets.seeds("labels")[2]
    assert "execution 2 surprises" in capsys.readouterr().err


def test_the_same_seed_makes_the_same_files(run):
    run, targets = run
    seeds = targets.seeds("photo")
    one, two, other = (
        [run.changed(rng, seeds) for _ in range(50)]
        for rng in (random.Random(1), random.Random(1), random.Random(2))
    )
    assert one == two != other
    assert len(set(one) - set(seeds)) > 40


def test_what_begins_is_read(run):
    """Else nearly all that is made of it would be refused at once."""
    from houndsight import images
    from houndsight.errors import CheckpointError
    from houndsight.models.admission import admitted
    from houndsight.models.checkpoint import read_checkpoint

    _, targets = run
    for data in targets.seeds("photo"):
        assert images.decode(data, path=b"a.jpg", at_least=32).width in (12, 18, 24, 64)
    for data in targets.seeds("network"):
        assert admitted(data) == data
    folder = FUZZ / "corpus" / "weights"
    for path in folder.iterdir():
        if path.name.startswith("pickle"):
            with pytest.raises(CheckpointError, match=r"no file of weights|not a PyTorch"):
                read_checkpoint(path)
        else:
            assert read_checkpoint(path)
