"""The short version of tests/endurance/run.py, and that it would tell what grows."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent / "endurance" / "run.py"

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


def test_memory_and_open_files_stay_as_they_are(tmp_path):
    """In a process of its own: what other tests have left would blur it."""
    ran = subprocess.run(
        [sys.executable, PROGRAM, "--images=2000", "--searches=2000"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr[-2000:]
    for line in ("2,000 images:", "200 images, isolated:", "2,000 searches:"):
        assert line in ran.stdout


@pytest.fixture(scope="module")
def endurance():
    specification = importlib.util.spec_from_file_location("endurance_run", PROGRAM)
    module = importlib.util.module_from_spec(specification)
    sys.modules["endurance_run"] = module
    specification.loader.exec_module(module)
    return module


def test_what_grows_is_told(endurance, tmp_path):
    held = []

    def leaking():
        for n in range(100):
            held.append((tmp_path / "file").open("w"))
            yield n

    try:
        grown = endurance.growth(endurance.sampled(leaking(), 100))
    finally:
        for file in held:
            file.close()
    assert any(line.startswith("files grew from ") for line in grown)
    # What other tests let go of is used again before a process grows: memory is made up.
    uses = [endurance.Use(n << 24, 9, 1, 0) for n in range(endurance.SAMPLES)]
    (line,) = endurance.growth(uses)
    assert line.startswith("memory grew from ")


def test_what_does_not_grow_is_no_trouble(endurance):
    assert endurance.growth(endurance.sampled(iter(range(100)), 100)) == []
