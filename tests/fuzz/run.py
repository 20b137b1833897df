"""Fuzzes a target: `python tests/fuzz/run.py TARGET --executions N` (see targets.py), or `all`.

With atheris (https://github.com/google/atheris, Linux) inputs that reach new lines of houndsight
or of Pillow's Python are kept and changed further; without it, or with --plain, files of the corpus
are changed at random, the same ones for the same seed. Native decoders are not instrumented in
either case. An input that surprises is left in the working folder, and the exit code is not 0.
"""

import argparse
import contextlib
import os
import random
import resource
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import corpus
import targets

MEMORY = 4 << 30
MAGIC = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 40, (1 << 63) - 1]


def changed(rng, seeds):
    """Return a file of the corpus, changed in a few places."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        at = rng.randrange(len(data) + 1)
        length = rng.choice((1, 1, 2, 4, 8, 16, 64))
        match rng.randrange(7):
            case 0:
                data[at : at + length] = rng.randbytes(length)
            case 1:
                data[at:at] = rng.randbytes(length)
            case 2:
                del data[at : at + length]
            case 3 if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            case 4:
                number = rng.choice(MAGIC)
                size = rng.choice((1, 2, 4, 8))
                order = rng.choice(("little", "big"))
                data[at : at + size] = (number % (1 << 8 * size)).to_bytes(size, order)
            case 5:
                other = rng.choice(seeds)
                start = rng.randrange(len(other) + 1)
                data[at : at + length] = other[start : start + 8 * length]
            case _:
                del data[at:]
    return bytes(data)


def plainly(name, executions, seed):
    """Run the corpus, and then files of it that are changed at random; no coverage is looked at."""
    seeds = targets.seeds(name)
    rng = random.Random(f"{name} {seed}")
    with targets.TARGETS[name]() as run:
        for n in range(executions):
            data = seeds[n] if n < len(seeds) else changed(rng, seeds)
            try:
                targets.ends_well(run, data)
            except Exception:
                path = Path(f"surprise-{name}-{n}")
                path.write_bytes(data)
                print(f"{name}: execution {n} surprises; its input is {path}", file=sys.stderr)
                raise


def guided(name, executions, seed, seconds):
    """Run atheris, which ends the process: 0 if nothing surprised."""
    import atheris

    with atheris.instrument_imports(include=["houndsight", "PIL", "zipfile", "pickletools"]):
        stack = contextlib.ExitStack()
        run = stack.enter_context(targets.TARGETS[name]())
        for data in targets.seeds(name):
            targets.ends_well(run, data)  # imports what it needs while that is instrumented
    found = Path("build") / "fuzz" / name
    found.mkdir(parents=True, exist_ok=True)
    options = [
        f"-runs={executions}",
        f"-seed={seed}",
        f"-max_total_time={seconds}",
        "-max_len=65536",
        "-timeout=60",
        "-rss_limit_mb=4096",
        "-print_final_stats=1",
        str(found),
        str(corpus.CORPUS / name),
    ]
    atheris.Setup([sys.argv[0], *options], run)
    atheris.Fuzz()


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("target", choices=[*targets.TARGETS, "all"])
    parser.add_argument("--executions", type=int, default=10_000)
    parser.add_argument("--seconds", type=int, default=0, help="with atheris: stop after so long")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plain", action="store_true", help="without atheris")
    given = parser.parse_args()
    if given.target == "all":
        rest = [
            f"--executions={given.executions}",
            f"--seconds={given.seconds}",
            f"--seed={given.seed}",
        ]
        rest += ["--plain"] * given.plain
        codes = [
            subprocess.run([sys.executable, __file__, name, *rest]).returncode
            for name in targets.TARGETS
        ]
        return next((code for code in codes if code), 0)
    targets.quiet()
    os.environ["HOUNDSIGHT_OFFLINE"] = "1"
    if given.plain or find_spec("atheris") is None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        begin = time.monotonic()
        plainly(given.target, given.executions, given.seed)
        print(f"{given.target}: {given.executions:,} executions, {time.monotonic() - begin:.0f} s")
    else:
        guided(given.target, given.executions, given.seed, given.seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
