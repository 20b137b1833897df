"""What Ray costs: images a second of `houndsight index` with and without --ray, on one machine.

    python benchmarks/ray_overhead.py PHOTOS [--model NAME] [--weights FILE] [--rounds 3]
        [--part 300] [--workers 1 2]

For each number of workers a cluster of one node with so many CPUs is started (not timed). In each
round, in alternating order, a part of the photos is indexed into a new gallery: on so many threads
of a process, and by so many workers of the cluster with one thread each. Each indexing is a process
of its own. Three figures are taken of each:

- whole: photos by the seconds that `index` reports. Without Ray the network is loaded by then; with
  Ray, workers are started within it.
- at work: with Ray, photos by the seconds from the first call of any worker to the end, the last
  commit included. Not by the times of commits: rows that are done come in a burst at first.
- CPU: milliseconds of CPU a photo, of the process that gives the command and of the workers (not of
  Ray's own processes). It tells what was done, also on a machine that has other work.

The overhead is taken within a round, as machines drift.
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

from index_speed import some_photos

from houndsight.machine import usable_cpus

CHILD = """
import glob, json, os, sys, time
from contextlib import nullcontext
from houndsight import Embedder, Gallery, RayCluster, index
from houndsight.cluster import engine
from houndsight.indexing import HERE
photos, place, model, weights, address = sys.argv[1:]

class Timed(engine.Worker):
    begun = None
    def __call__(self, block):
        self.begun = self.begun or (time.monotonic(), time.process_time())
        made = super().__call__(block)
        with open(f"{place}-{os.getpid()}.worker", "w") as file:
            json.dump([self.begun[0], time.process_time() - self.begun[1]], file)
        return made

engine.Worker = Timed
embedder = Embedder.load(model, weights=weights or None)
with RayCluster(address) if address else nullcontext() as cluster:
    begin, used = time.monotonic(), time.process_time()
    report = index(photos, place, embedder=embedder, engine=cluster or HERE)
    end, used = time.monotonic(), time.process_time() - used
with Gallery(place) as gallery:
    assert len(gallery) == report.new > 0
workers = [json.load(open(path)) for path in glob.glob(f"{place}-*.worker")]
assert bool(workers) == bool(address)
first = min((begun for begun, _ in workers), default=end - report.seconds)
print(json.dumps({
    "whole": report.new / report.seconds,
    "at work": report.new / (end - first),
    "start": first - begin,
    "cpu": 1000 * (used + sum(cpu for _, cpu in workers)) / report.new,
    "workers": len(workers),
}))
"""
KINDS = ("local", "ray")
FIGURES = ("whole", "at work")


def timed(photos, model, weights, workers, address, scratch):
    """Index into a new gallery in a process of its own; images a second by figure.

    Galleries stay to the end: where files were just deleted, ext4 is slow to make new ones.
    """
    environment = {**os.environ, "HOUNDSIGHT_THREADS": str(workers)}
    place = Path(tempfile.mkdtemp(dir=scratch)) / "g"
    words = [str(photos), str(place), model, weights or "", address or ""]
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *words],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    return json.loads(done.stdout.splitlines()[-1])


class Started:
    """A cluster of one node with some CPUs, in processes of its own."""

    def __init__(self, workers):
        from ray.cluster_utils import Cluster

        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        os.environ["RAY_AUTH_MODE"] = "disabled"
        self.cluster = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": workers, "include_dashboard": False},
        )
        self.address = self.cluster.address

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.cluster.shutdown()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--weights")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--part", type=int, default=300)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    table = []
    with tempfile.TemporaryDirectory() as folder:
        photos = some_photos(options.photos.resolve(), options.part, Path(folder) / "photos")
        for workers in options.workers:
            with Started(workers) as cluster:
                for number in range(options.rounds + 1):
                    order = KINDS if number % 2 else KINDS[::-1]
                    took = {
                        kind: timed(
                            photos,
                            options.model,
                            options.weights,
                            workers,
                            cluster.address if kind == "ray" else None,
                            folder,
                        )
                        for kind in order
                    }
                    if number:  # the first makes files and networks known to the machine
                        table.append((workers, took))
                    print(number or "warm", workers, took, file=sys.stderr, flush=True)
    print(f"{time.strftime('%Y-%m-%d')}, {options.model}, {options.part} photos, rounds: ", end="")
    print(f"{options.rounds}, {usable_cpus()} CPUs, load {os.getloadavg()[0]:.1f}, ", end="")
    print(f"Python {platform.python_version()}\n")
    print(
        "| Workers | Figure | without Ray, images/s | with, images/s | overhead (of each round) |"
    )
    print("|---|---|---|---|---|")
    for workers in options.workers:
        rounds = [took for of, took in table if of == workers]
        for figure in FIGURES:
            rates = [statistics.median(took[kind][figure] for took in rounds) for kind in KINDS]
            lost = [1 - took["ray"][figure] / took["local"][figure] for took in rounds]
            each = ", ".join(f"{100 * one:.1f}" for one in lost)
            print(
                f"| {workers} | {figure} | {rates[0]:.1f} | {rates[1]:.1f} | "
                f"{100 * statistics.median(lost):.1f} % ({each}) |"
            )
        used = [statistics.median(took[kind]["cpu"] for took in rounds) for kind in KINDS]
        print(f"| {workers} | CPU, ms a photo | {used[0]:.1f} | {used[1]:.1f} | |")
        start = statistics.median(took["ray"]["start"] for took in rounds)
        print(f"| {workers} | start of workers | | {start:.1f} s | |")


if __name__ == "__main__":
    main()
