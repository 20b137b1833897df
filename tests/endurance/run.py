"""Long runs: memory and open files stay as they are. `python tests/endurance/run.py`.

Photos go through decoding and a fake network, some of them in processes of their own; a gallery is
searched, opened and closed. After a first quarter, in which caches fill, neither memory nor open
files, threads or child processes may grow. Linux only: it looks into /proc.
"""

import argparse
import contextlib
import itertools
import os
import resource
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fakes import fake_embedder, write_photo
from houndsight.gallery import Gallery
from houndsight.images import read
from houndsight.indexing import index
from houndsight.isolation import Workers
from houndsight.types import Vectors

PHOTOS = 500
SAMPLES = 20
# What an allocator may keep from one time to the next.
MOST_GROWTH = 8 << 20


@dataclass(frozen=True)
class Use:
    """What the process uses: bytes of memory, and how many of the others."""

    memory: int
    files: int
    threads: int
    children: int

    @classmethod
    def now(cls):
        memory = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        files = len(os.listdir("/proc/self/fd"))
        return cls(memory, files, threading.active_count(), len(children))


def growth(uses):
    """Return what has grown since the second quarter, one line each.

    The least of the last quarter counts against the most of the second: a thread may have a file
    open at the very moment.
    """
    quarter = len(uses) // 4
    wrong = []
    for name, allowed in (("memory", MOST_GROWTH), ("files", 0), ("threads", 0), ("children", 0)):
        before = max(getattr(use, name) for use in uses[quarter : 2 * quarter])
        after = min(getattr(use, name) for use in uses[-quarter:])
        if after > before + allowed:
            wrong.append(f"{name} grew from {before:,} to {after:,}")
    return wrong


def sampled(steps, count):
    """Go through `count` steps and sample what is used, `SAMPLES` times."""
    uses = []
    every = max(1, count // SAMPLES)
    for n, _ in enumerate(itertools.islice(steps, count), 1):
        if n % every == 0:
            uses.append(Use.now())
    return uses


def embedding(folder):
    """Photos through decoding, shaping and the network."""
    paths = itertools.cycle(os.fsencode(path) for path in sorted(folder.rglob("*.jpg")))
    yield from fake_embedder().embed_files(paths)


def isolated(folder):
    """Photos through processes of their own; one in a hundred is damaged."""
    shape = fake_embedder().preprocessing
    files = [(os.fsencode(path), read(os.fsencode(path)).data) for path in folder.rglob("*.jpg")]
    with Workers() as workers:
        for n, (path, data) in enumerate(itertools.cycle(files)):
            with contextlib.suppress(Exception):
                workers(data[:200] if n % 100 == 0 else data, path, shape)
            yield n


def searching(place):
    """Searches; the gallery is opened anew after every thousand, a label changed in between."""
    rng = np.random.default_rng(1)
    while True:
        with Gallery(place) as gallery:
            ids = gallery.ids()
            for n in range(1000):
                queries = rng.random((1, gallery.settings["dim"]), np.float32)
                yield gallery.search(Vectors(queries, gallery.fingerprint), k=10)
                if n % 500 == 0:
                    gallery.set_labels({int(ids[n % len(ids)]): str(n)}, source="none")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--searches", type=int, default=100_000)
    given = parser.parse_args(arguments)
    wrong = []
    with tempfile.TemporaryDirectory(prefix="houndsight-long-") as name:
        folder, place = Path(name) / "photos", Path(name) / "gallery"
        for n in range(PHOTOS):
            write_photo(folder / str(n % 10) / f"{n}.jpg", n)
        index(folder, place, embedder=fake_embedder())
        for about, steps, count in (
            ("images", embedding(folder), given.images),
            ("images, isolated", isolated(folder), given.images // 10),
            ("searches", searching(place), given.searches),
        ):
            begin = time.monotonic()
            with contextlib.closing(steps):
                uses = sampled(steps, count)
            found = growth(uses)
            wrong += [f"{about}: {one}" for one in found]
            first, last = uses[len(uses) // 4], uses[-1]
            print(
                f"{count:,} {about}: {time.monotonic() - begin:.0f} s, memory "
                f"{first.memory / 2**20:.1f} to {last.memory / 2**20:.1f} MiB, "
                f"{last.files} files, {last.threads} threads",
                flush=True,
            )
    for one in wrong:
        print(f"WRONG: {one}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
