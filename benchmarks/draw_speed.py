"""Draw what search_speed.py and embedding_speed.py printed; needs matplotlib.

    python benchmarks/draw_speed.py search OUT.svg RESULT.txt...
    python benchmarks/draw_speed.py embedding OUT.svg RESULT.txt

Reads the JSON line at the end of each result of search_speed.py (one for each number of rows), and
the tables of embedding_speed.py.
"""

import json
import re
import sys
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt

mpl.rcParams.update({"svg.hashsalt": "houndsight", "font.size": 9})


def search(results):
    """Latency of one query against the number of rows."""
    runs = [json.loads(result.strip().splitlines()[-1]) for result in results]
    runs.sort(key=lambda run: run["rows"])
    names = dict.fromkeys(name for run in runs for name in run["median_ms"])
    figure, axes = plt.subplots(figsize=(7, 4.2))
    for name in names:
        points = [(r["rows"], r["median_ms"][name]) for r in runs if name in r["median_ms"]]
        style = {"marker": "o", "linewidth": 2 if name.startswith("houndsight") else 1}
        axes.plot(*zip(*points, strict=True), label=name, **style)
    axes.set(xscale="log", yscale="log", xlabel="vectors of 2,048 numbers", ylabel="ms a query")
    axes.legend(frameon=False, fontsize=7)
    return figure


def embedding(results):
    """Images a second of each way, for each size of photos."""
    sizes = re.findall(r"\d+ photos of (\d+) pixels.*?\n\n(.*?)(?=\n\n|\Z)", results[0], re.DOTALL)
    speeds = {}
    for size, table in sizes:
        for name, speed in re.findall(r"^\| ([^|]+?) \| ([\d.]+) \(", table, re.MULTILINE):
            speeds.setdefault(name, {})[size] = float(speed)
    figure, axes = plt.subplots(figsize=(7, 3.6))
    width = 0.8 / len(speeds)
    for n, (name, by_size) in enumerate(speeds.items()):
        places = [m + n * width for m in range(len(by_size))]
        bars = axes.bar(places, by_size.values(), width, label=name)
        axes.bar_label(bars, fmt="%.1f", fontsize=6)
    axes.set_xticks([m + 0.4 for m in range(len(sizes))], [f"{size} pixels" for size, _ in sizes])
    axes.set_ylabel("images a second")
    axes.legend(frameon=False, fontsize=7)
    return figure


if __name__ == "__main__":
    kind, out, *files = sys.argv[1:]
    draw = {"search": search, "embedding": embedding}[kind]
    drawn = draw([Path(file).read_text("utf-8") for file in files])
    drawn.savefig(out, bbox_inches="tight", metadata={"Date": None})
