"""End-to-end indexing against the bare network: images a second in one run, and peak memory.

    python benchmarks/index_speed.py PHOTOS [--model NAME] [--weights FILE] [--rounds 3]

Each round times, one after the other and in alternating order: the network alone on prepared
pixels, in batches of the size that indexing uses; and `houndsight.index` of a part of the photos
into a new gallery, the loading of the model left out, every commit included. The ratio is taken
within a round, as machines drift. A last run indexes all photos in a process of its own, for its
whole duration and its peak memory (VmHWM; ru_maxrss would count its parent's).
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from houndsight import Embedder, Gallery, index
from houndsight.machine import available_cpus

BATCH = 16  # of the network alone
CHILD = """
import json, sys, time
from pathlib import Path
from houndsight import Embedder, index
photos, place, model, weights = sys.argv[1:]
started = time.monotonic()
report = index(photos, place, embedder=lambda: Embedder.load(model, weights=weights or None))
print(json.dumps({
    "photos": report.new, "seconds": time.monotonic() - started,
    "peak_mb": int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024,
}))
"""


def bare(embedder, pixels, seconds):
    """Images a second of the network alone, for at least some seconds."""
    runs, started = 0, time.monotonic()
    while time.monotonic() - started < seconds:
        embedder.runtime.run(pixels, ["vector"])
        runs += 1
    return runs * len(pixels) / (time.monotonic() - started)


def some_photos(folder, part, place):
    """Link an even part of the photos into a folder of its own, and the way to it."""
    photos = sorted(path for path in folder.rglob("*") if path.is_file())
    step = max(1, len(photos) // part)
    for path in photos[::step][:part]:
        target = place / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(path)
    return place


def end_to_end(embedder, photos):
    """Images a second of indexing photos into a new gallery."""
    with tempfile.TemporaryDirectory() as folder:
        report = index(photos, Path(folder) / "gallery", embedder=embedder)
        with Gallery(Path(folder) / "gallery") as gallery:
            assert len(gallery) == report.new
    return report.new / report.seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--weights")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--part", type=int, default=600)
    options = parser.parse_args()
    embedder = Embedder.load(options.model, weights=options.weights)
    size = embedder.preprocessing.size
    pixels = np.random.default_rng(0).standard_normal((BATCH, 3, size, size)).astype(np.float32)
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        photos = some_photos(options.photos.resolve(), options.part, Path(folder) / "photos")
        bare(embedder, pixels, 3)  # warm
        for number in range(options.rounds):
            first = bare(embedder, pixels, 12) if number % 2 else None
            whole = end_to_end(embedder, photos)
            alone = first or bare(embedder, pixels, 12)
            rounds.append((alone, whole))
            print(f"alone {alone:6.1f}  index {whole:6.1f}  ratio {whole / alone:.3f}", flush=True)
        place = str(Path(folder) / "gallery")
        child = [sys.executable, "-c", CHILD, str(options.photos), place, options.model]
        done = subprocess.run(
            [*child, options.weights or ""], check=True, capture_output=True, text=True
        )
    whole = json.loads(done.stdout)
    print(
        json.dumps(
            {
                "machine": f"{platform.processor() or platform.machine()}, {available_cpus()} CPUs",
                "model": options.model,
                "batch": BATCH,
                "network_alone": statistics.median(alone for alone, _ in rounds),
                "index": statistics.median(whole for _, whole in rounds),
                "ratio": statistics.median(whole / alone for alone, whole in rounds),
                "all_photos": whole,
                "versions": {**embedder.runtime.versions, "python": platform.python_version()},
                "load_average": os.getloadavg(),
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
