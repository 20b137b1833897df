"""Indexing a folder again in which nothing has changed.

    python benchmarks/reindex_speed.py [--files 100000] [--rounds 5]

Makes a folder of small photos, 1,000 to a folder, a gallery of them with made-up vectors (seed 0),
and indexes it again; whole calls of `houndsight.index`, by a plain copy of each photo's bytes with
its number behind them, so that no two are the same.
"""

import argparse
import hashlib
import io
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from houndsight import Embedder, Gallery, index
from houndsight.gallery import Entry
from houndsight.listing import find


def fill(folder, count):
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), (90, 120, 60)).save(buffer, "JPEG")
    for number in range(count):
        path = folder / f"{number // 1000:04d}" / f"{number:07d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(buffer.getvalue() + str(number).encode())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    embedder = Embedder.load("efficientnet-lite0")
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as scratch:
        photos, place = Path(scratch) / "photos", Path(scratch) / "gallery"
        fill(photos, arguments.files)
        with Gallery.create(place, embedder) as gallery:
            root, batch = gallery.root(os.fsencode(photos), None), []
            for found in find(os.fsencode(photos)).photos:
                digest = hashlib.sha256((photos / os.fsdecode(found.path)).read_bytes()).digest()
                label = os.fsdecode(found.path).split("/")[0]
                vector = rng.random(embedder.dim, np.float32)
                batch.append(
                    Entry(
                        found.path,
                        label,
                        "folder",
                        digest,
                        found.size,
                        found.mtime_ns,
                        64,
                        48,
                        vector,
                    )
                )
                if len(batch) == 4096:
                    gallery.add(root, batch)
                    batch = []
            gallery.add(root, batch)
            gallery.tidy()
        taken = []
        for _ in range(arguments.rounds):
            begin = time.perf_counter()
            report = index(photos, place)
            taken.append(time.perf_counter() - begin)
            assert (report.unchanged, report.embedded) == (arguments.files, 0)
    print(f"{arguments.files:,} unchanged files: {statistics.median(taken):.2f} s, ", end="")
    print(f"{min(taken):.2f} to {max(taken):.2f} over {arguments.rounds} rounds")


if __name__ == "__main__":
    main()
