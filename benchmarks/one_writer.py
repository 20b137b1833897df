"""What one writer takes in: photos a second into a folder and into Milvus Lite, by size of commit.

    python benchmarks/one_writer.py [--rows 2048] [--rounds 3] [--batches 16 32 64 256 1024]

Vectors of 2,048 numbers and thumbnails of 11 kB are prepared; what is timed is what indexing on a
cluster does with them: `Gallery.add` and what it has committed with it, into a new gallery. Milvus
Lite runs as a server in a process of its own.
"""

import argparse
import hashlib
import os
import platform
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from houndsight import Gallery
from houndsight.gallery import Entry
from houndsight.machine import usable_cpus

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from fakes import FAKE, fake_embedder
from milvus_servers import started

DIM, THUMBNAIL, LABELS = 2048, 11_000, 120


def entries(vectors, start, stop):
    """Return photos that were read and embedded elsewhere."""
    noise = os.urandom(THUMBNAIL)
    return [
        Entry(
            path=b"%d/%d.jpg" % (n % LABELS, n),
            label=str(n % LABELS),
            label_source="folder",
            digest=hashlib.sha256(b"%d" % n).digest(),
            size=THUMBNAIL,
            mtime_ns=1,
            width=224,
            height=224,
            vector=vectors[n],
            thumbnail=noise,
        )
        for n in range(start, stop)
    ]


def taken_in(place, folder, vectors, batch):
    """Photos a second into a new gallery."""
    photos = folder / "photos"
    photos.mkdir()
    with (
        Gallery.create(place, fake_embedder(model=replace(FAKE, dim=DIM))) as gallery,
        gallery.appending(),
        gallery.told_indexing(len(vectors)) as run,
    ):
        root = gallery.root(os.fsencode(photos), None)
        parts = [
            entries(vectors, start, min(start + batch, len(vectors)))
            for start in range(0, len(vectors), batch)
        ]
        begun = time.monotonic()
        for part in parts:
            with gallery.store.transaction():
                gallery.tell_indexing(run, len(part))
                gallery.add(root, part)
        seconds = time.monotonic() - begun
        assert len(gallery) == len(vectors)
    return len(vectors) / seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 32, 64, 256, 1024])
    options = parser.parse_args()
    vectors = np.random.default_rng(0).standard_normal((options.rows, DIM)).astype(np.float32)
    rates = {}
    for _ in range(options.rounds):
        for batch in options.batches:
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                os.environ["HOUNDSIGHT_CACHE"] = str(folder / "cache")
                rate = taken_in(folder / "gallery", folder, vectors, batch)
                rates.setdefault((batch, "a folder"), []).append(rate)
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                os.environ["HOUNDSIGHT_CACHE"] = str(folder / "cache")
                process, port = started(folder / "milvus")
                try:
                    place = f"milvus://127.0.0.1:{port}/g"
                    rates.setdefault((batch, "Milvus Lite"), []).append(
                        taken_in(place, folder, vectors, batch)
                    )
                finally:
                    process.kill()
                    process.wait()
    print(f"{time.strftime('%Y-%m-%d')}, {options.rows} rows, {options.rounds} rounds, ", end="")
    print(
        f"{usable_cpus()} CPUs, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}"
    )
    print("\n| Photos with one commit | into a folder, photos/s | into Milvus Lite, photos/s |")
    print("|---|---|---|")
    for batch in options.batches:
        cells = [f"{statistics.median(rates[batch, to]):.0f}" for to in ("a folder", "Milvus Lite")]
        print(f"| {batch} | {cells[0]} | {cells[1]} |")


if __name__ == "__main__":
    main()
