"""The short run of what tries to break the promises; torture/run.py is the long one."""

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "torture"
sys.path.insert(0, str(HERE))

import faults  # noqa: E402  found by the line above

PARTS = ("crash", "power", "failing", "beside", "corruption", "model")


@pytest.mark.skipif(faults.lacking() is not None, reason=str(faults.lacking()))
@pytest.mark.parametrize("part", PARTS)
def test_the_promises_hold(part):
    done = subprocess.run(
        [sys.executable, HERE / "run.py", "--short", part], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"{part}: all well" in done.stdout
