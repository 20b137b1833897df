"""What one process keeps, holds and does for each photo, whoever embeds: docs/scaling.md.

    python benchmarks/one_process.py [--rows 20480] [--photo FILE]

Makes a gallery in a folder of made-up rows (2,048 normal numbers each, scaled to norm 1, seed 0)
with a thumbnail of 256 pixels each, that of the photo if there is one, in batches as a Ray cluster
hands them in, and looks at what is there then. Bytes on the disk are those of whole files; bytes in
memory those that Python's objects take (tracemalloc), in a list of them.
"""

import argparse
import os
import resource
import tempfile
import time
import tracemalloc
from pathlib import Path

import numpy as np
from PIL import Image

from houndsight import Gallery, images
from houndsight.cluster import BLOCK
from houndsight.exchange.incoming import Checked
from houndsight.exchange.settings import foreign_settings
from houndsight.gallery import Entry
from houndsight.types import Found, Where

DIM = 2048


def pictures(photo, count):
    """Thumbnails: of a photo, or of smooth noise."""
    if photo is not None:
        image = Image.open(photo).convert("RGB")
    else:
        coarse = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((1024, 768), Image.Resampling.BICUBIC)
    small = images.thumbnail(image)
    return [small + number.to_bytes(4, "big") for number in range(count)]


def named(number):
    return os.fsencode(f"{number // 1000:06d}/photo-{number:010d}.jpg")


def fill(place, rows, thumbnails):
    """Make the gallery; returns (seconds, seconds of CPU time) of taking the rows in."""
    settings = foreign_settings("numbers made up", DIM, Checked("0" * 64, normalised=True))
    rng = np.random.default_rng(0)
    with Gallery.create_for(place, settings) as gallery:
        root = gallery.root(os.fsencode(place.parent / "photos"), None)
        wall = cpu = 0.0
        for start in range(0, rows, BLOCK):
            vectors = rng.standard_normal((BLOCK, DIM), np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            entries = [
                Entry(named(n), "label", "folder", n.to_bytes(32, "big"), 80_000, 1, 500, 375, v, t)
                for n, v, t in zip(
                    range(start, start + BLOCK), vectors, thumbnails[start:], strict=False
                )
            ]
            begun, before = time.perf_counter(), time.process_time()
            with gallery.store.transaction():
                gallery.add(root, entries)
            wall += time.perf_counter() - begun
            cpu += time.process_time() - before
        gallery.tidy()
    return wall, cpu


def held(make):
    """Bytes of memory that a list takes, with all that is in it."""
    tracemalloc.start()
    kept = make()
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return taken / len(kept)


def size(files):
    return sum(path.stat().st_size for path in files if path.is_file())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=20_480)
    parser.add_argument("--photo")
    arguments = parser.parse_args()
    rows = arguments.rows // BLOCK * BLOCK
    thumbnails = pictures(arguments.photo, rows)
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch) / "gallery"
        wall, cpu = fill(place, rows, thumbnails)
        print(f"taken in: {rows / wall:,.0f} photos a second, {1000 * cpu / rows:.2f} ms CPU each")
        vectors = size(place.glob("vectors-*.bin"))
        catalogue = size(place.glob("catalogue.sqlite"))
        everything = size(place.rglob("*"))
        pictured = size((place / "thumbnails").rglob("*"))
        print(f"catalogue: {catalogue / rows:,.0f} bytes a photo")
        print(f"vectors: {vectors / rows:,.0f} bytes a photo")
        print(f"thumbnails: {pictured / rows:,.0f} bytes a photo")
        print(f"shortened rows: {(everything - vectors - catalogue - pictured) / rows:,.0f}")
        listed = held(lambda: [Found(named(n), 80_000 + n, 10**18 + n, n) for n in range(rows)])
        print(f"a listed photo: {listed:,.0f} bytes of memory")
        with Gallery(place) as gallery:
            print(f"an item: {held(gallery.store.items):,.0f} bytes of memory")
            begun = time.perf_counter()
            gallery.store.ids(Where())
            print(f"a search looks the catalogue over: {time.perf_counter() - begun:.2f} s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory: {peak:,.0f} MB")


if __name__ == "__main__":
    main()
