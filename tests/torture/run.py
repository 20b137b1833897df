"""Try to break each promise of docs/promises.md: python tests/torture/run.py [--short] [PART...]

Prints every figure. Linux with a C compiler. The short run takes a minute or two.
"""

import argparse
import platform
import shutil
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import faults


def parts(short):
    """Return what is to be run, by name: functions of a scene that return figures."""
    from beside import beside
    from corruption import corruption
    from crash import crash
    from failing import failing, full_disk
    from model import model
    from power import power

    return {
        "crash": lambda scene: crash(scene, step=9 if short else 1, at_random=2 if short else 25),
        "power": lambda scene: power(scene, step=6 if short else 1, subsets=2),
        "failing": lambda scene: (
            failing(scene, step=40 if short else 1)
            | full_disk(scene, sizes=range(60, 420, 90 if short else 12))
        ),
        "beside": lambda scene: beside(
            scene, photos=160 if short else 1000, seconds=6 if short else 60
        ),
        "corruption": lambda scene: corruption(scene, step=211 if short else 1),
        "model": lambda scene: model(scene, examples=40 if short else 1000, steps=30),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="a sample of each part")
    parser.add_argument("part", nargs="*", help="all unless given")
    wanted = parser.parse_args()
    if reason := faults.lacking():
        sys.exit(f"cannot be run here: {reason}")
    faults.run_again()

    from scenario import Scene, scratch

    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {platform.platform()}, {platform.machine()}")
    folder = scratch()
    try:
        scene = Scene(folder)
        every = parts(wanted.short)
        for name in wanted.part or every:
            began = time.monotonic()
            figures = every[name](scene)
            print(f"{name}: all well, {time.monotonic() - began:.1f} s")
            for what, number in figures.items():
                print(f"  {what}: {number:,}" if isinstance(number, int) else f"  {what}: {number}")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
