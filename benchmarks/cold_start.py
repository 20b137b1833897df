"""One search from the shell, beside bare Python that only loads the network and runs it once.

    python benchmarks/cold_start.py GALLERY PHOTO [--rounds 9]

Whole processes, in turn; the first round warms the caches and is not counted. The bare process
imports NumPy and ONNX Runtime, loads the gallery's network from an ONNX file and runs it on one
photo's worth of zeros: what a search could not do without.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from houndsight import Gallery
from houndsight.machine import available_cpus

BARE = """
import sys
import numpy as np
import onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(sys.argv[2])
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
size = int(sys.argv[3])
session.run(["vector"], {session.get_inputs()[0].name: np.zeros((1, 3, size, size), np.float32)})
"""


def seconds(command):
    # The first round compiles what is imported, as installing does: not every process again.
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    begin = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=kept)
    return time.perf_counter() - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("gallery", type=Path)
    parser.add_argument("photo", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    with Gallery(arguments.gallery) as gallery, tempfile.TemporaryDirectory() as folder:
        embedder, photos = gallery.embedder(), len(gallery)
        network = Path(folder) / "network.onnx"
        network.write_bytes(embedder.network or embedder.float_graph())

        size = str(embedder.preprocessing.size)
        me = [sys.executable, "-m", "houndsight"]
        place = str(arguments.gallery)
        commands = {
            "bare": [sys.executable, "-c", BARE, str(network), str(available_cpus()), size],
            "search": [*me, "search", str(arguments.photo), "-g", place],
            "help": [*me, "--help"],
        }
        taken = {name: [] for name in commands}
        for number in range(arguments.rounds + 1):
            for name, command in commands.items():
                spent = seconds(command)
                if number:
                    taken[name].append(spent)
    ratios = [a / b for a, b in zip(taken["search"], taken["bare"], strict=True)]
    print(f"{photos:,} photos, {arguments.rounds} rounds, medians in seconds")
    for name, times in taken.items():
        print(f"{name}: {statistics.median(times):.3f} ({min(times):.3f} to {max(times):.3f})")
    print(f"search / bare: {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
