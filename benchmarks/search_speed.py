"""One query and many: exact search of a gallery beside what else could be used, in one run.

    python benchmarks/search_speed.py GALLERY QUERIES.npz [--rows 20580] [--peers faiss,usearch,...]

GALLERY gives real vectors and labels; QUERIES.npz (`houndsight embed`) the queries. With more rows
than the gallery has, vectors are made of its own: each a mix of two of one label, the first with a
weight of 0.5 to 1, every number changed by a normal factor of 10 %, scaled to norm 1 (seed 0).
All ways are first asked for what is like `--warm` rows of the gallery, untimed, as in a process
that has served for a while. Then three rounds, and in each all ways after each other, so that the
machine's moods meet them alike; not query by query, as some keep their threads spinning for a while
after an answer. Peers are used where they are installed. Every answer of houndsight is held against
brute force in float64.
"""

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from houndsight import Gallery, Vectors, bound, measured_recall
from houndsight.gallery import Entry
from houndsight.search import distances_to, nearest
from houndsight.stores.local import LocalStore
from houndsight.types import Matches

K = 20
BLOCK = 8192
# In a process of its own: what a search that goes on for long keeps in memory.
CHILD = """
import sys
import numpy as np
from pathlib import Path
from houndsight import Gallery, Vectors
with Gallery(sys.argv[1]) as gallery:
    queries = np.load(sys.argv[2])["vectors"]
    for n in range(60):
        gallery.search(Vectors(queries[n % len(queries)][None], gallery.fingerprint), 20)
    status = Path("/proc/self/status").read_text()
    print(int(status.split("RssAnon:")[1].split()[0]) / 1024)
"""


def rows_of(vectors, labels, count):
    """Yield blocks of (vectors, labels)."""
    if count <= len(vectors):
        for start in range(0, count, BLOCK):
            yield vectors[start : start + BLOCK][: count - start], labels[start : start + BLOCK]
        return
    rng = np.random.default_rng(0)
    names, numbers = np.unique(labels, return_inverse=True)
    members = [np.flatnonzero(numbers == n) for n in range(len(names))]
    for start in range(0, count, BLOCK):
        size = min(BLOCK, count - start)
        of = rng.integers(len(names), size=size)
        one, other = (np.array([rng.choice(members[n]) for n in of]) for _ in range(2))
        weight = rng.uniform(0.5, 1.0, (size, 1)).astype(np.float32)
        made = weight * vectors[one] + (1 - weight) * vectors[other]
        made *= 1 + 0.1 * rng.standard_normal(made.shape, dtype=np.float32)
        yield made / np.linalg.norm(made, axis=1, keepdims=True), names[of]


def fill(place, source, count, pictures=(None,)):
    """Make a gallery, its thumbnails taken from `pictures` in turn; returns its rows, mapped."""
    items = source.items()
    vectors, labels = source.vectors(items).values, np.array([item.label for item in items])
    LocalStore.create(place, vectors.shape[1], {"settings": source.settings, "roots": {}}).close()
    with Gallery(place) as gallery:
        root, number = gallery.root(os.fsencode(place.parent / f"{place.name}-photos"), None), 0
        for block, names in rows_of(vectors, labels, count):
            entries = []
            for vector, name in zip(block, names, strict=False):
                digest = number.to_bytes(32, "big")
                path = os.fsencode(f"{number:08d}.jpg")
                picture = pictures[number % len(pictures)]
                entries.append(
                    Entry(path, str(name), "folder", digest, 1, 1, 1, 1, vector, picture)
                )
                number += 1
            gallery.add(root, entries)
        begin = time.perf_counter()
        gallery.tidy()
        print(f"reduced part built in {time.perf_counter() - begin:.1f} s")
    dim = vectors.shape[1]
    return np.memmap(place / "vectors-1.bin", "<f4", "r", shape=(count, dim)).view(np.ndarray)


def faiss_ways(x):
    import faiss

    faiss.omp_set_num_threads(len(os.sched_getaffinity(0)))
    flat = faiss.IndexFlatL2(x.shape[1])
    flat.add(x)
    graph = faiss.IndexHNSWFlat(x.shape[1], 32)
    graph.hnsw.efSearch = 64
    graph.add(x)
    yield f"FAISS {faiss.__version__} flat", lambda q: flat.search(q, K)[1]
    yield "FAISS HNSW (M 32, efSearch 64)", lambda q: graph.search(q, K)[1]


def usearch_ways(x):
    import usearch
    from usearch.index import Index, MetricKind, search

    graph = Index(ndim=x.shape[1], metric=MetricKind.L2sq, dtype="f32")
    graph.add(np.arange(len(x)), x)
    name = f"usearch {usearch.__version__}"

    def exact(queries):
        return np.atleast_2d(search(x, queries, K, MetricKind.L2sq, exact=True).keys)

    yield f"{name} exact", exact
    yield f"{name} HNSW", lambda q: np.atleast_2d(graph.search(q, K).keys)


def lancedb_ways(x):
    os.environ["LANCE_LOG"] = "error"
    import lancedb
    import pyarrow as pa

    folder = tempfile.mkdtemp()
    kind = pa.list_(pa.float32(), x.shape[1])
    flat = pa.array(x.reshape(-1))
    vector = pa.FixedSizeListArray.from_arrays(flat, type=kind)
    rows = pa.table({"id": pa.array(np.arange(len(x))), "vector": vector})
    table = lancedb.connect(folder).create_table("rows", rows)

    def search(queries):
        found = [
            table.search(q).distance_type("l2").limit(K).select(["id"]).to_arrow()["id"].to_numpy()
            for q in queries
        ]
        return np.array(found)

    yield f"LanceDB {lancedb.__version__} exact", search


PEERS = {"faiss": faiss_ways, "usearch": usearch_ways, "lancedb": lancedb_ways}


def ways(gallery, x, peers):
    """Return every way to search by name: from queries (n, dim) to rows, or items (n, K)."""
    recall = measured_recall(gallery, K)
    print(
        f"approximate: looks at {recall.looked_at}, recall@{K} {recall.recall:.4f} on the gallery"
    )

    def ours(looked_at):
        def search(queries):
            return gallery.search(Vectors(queries, gallery.fingerprint), K, looked_at=looked_at)

        return search

    gallery.search(gallery.vectors(gallery.items()[:1]))
    levels = gallery.store._spaces["base"].reduced.levels

    def engine(queries):
        """Row numbers alone, as FAISS answers; where the bound does not help, by a product."""
        if not levels:
            return product(queries)
        found = []
        for query, rows in zip(queries, bound.candidates(queries, x, levels, K), strict=True):
            full = product(query[None])[0] if rows is None else rows
            found.append(nearest(distances_to(query, x[full]), full, K)[0])
        return np.array(found)

    norms = np.concatenate(
        [np.vecdot(x[s : s + BLOCK], x[s : s + BLOCK]) for s in range(0, len(x), BLOCK)]
    )

    def product(queries):
        found = []
        for scores in norms - 2 * (queries @ x.T):
            near = np.argpartition(scores, K)[:K]
            found.append(near[np.argsort(scores[near])])
        return np.array(found)

    every = {"houndsight": ours(None), "houndsight --approximate": ours(recall.looked_at)}
    every["houndsight, the engine alone"] = engine
    every["BLAS product (NumPy)"] = product
    for peer in peers:
        try:
            importlib.import_module(peer)
        except ImportError:
            print(f"{peer} is not installed")
            continue
        begin = time.perf_counter()
        every |= dict(PEERS[peer](x))
        print(f"{peer}: built in {time.perf_counter() - begin:.1f} s")
    return every


def rows_found(found):
    """Return the rows (n, K) that a way found, of items by their names."""
    if not isinstance(found, Matches):
        return found
    return np.array([[int(found.items[i].path[:8]) for i in row] for row in found.ids.tolist()])


def truth(query, x):
    ids = np.arange(len(x))
    found, _ = nearest(distances_to(query, x), ids, K)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("gallery", type=Path)
    parser.add_argument("queries", type=Path)
    parser.add_argument("--rows", type=int, default=20580)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--warm", type=int, default=1000, help="rows asked for before")
    parser.add_argument("--batch", type=int, default=200)
    parser.add_argument("--checked", type=int, default=100)
    parser.add_argument("--peers", default="faiss,usearch,lancedb")
    parser.add_argument("--place", type=Path, help="keep the gallery here, or use the one there is")
    arguments = parser.parse_args()
    peers = [peer for peer in arguments.peers.split(",") if peer]
    queries = np.load(arguments.queries)["vectors"].astype(np.float32)
    # The files' order goes by label: take them as they come in no order.
    queries = queries[np.random.default_rng(0).permutation(len(queries))]
    place = arguments.place or Path(tempfile.mkdtemp()) / "gallery"
    if not Gallery.exists(place):
        with Gallery(arguments.gallery) as source:
            fill(place, source, arguments.rows)
    with Gallery(place) as gallery:
        dim = gallery.settings["dim"]
        mapped = np.memmap(place / "vectors-1.bin", "<f4", "r", shape=(len(gallery), dim))
        x = mapped.view(np.ndarray)
        every = ways(gallery, x, peers)
        times = {name: [] for name in every}
        right = {name: [] for name in every}
        exact = [truth(queries[n % len(queries)], x) for n in range(arguments.checked)]
        for search in every.values():
            for row in np.random.default_rng(1).integers(len(x), size=arguments.warm):
                search(x[row][None])
        for part in np.array_split(np.arange(arguments.count), 3):
            for name, search in every.items():
                time.sleep(0.5)
                for n in (*part[:3], *part):  # the first few warm up
                    query = queries[n % len(queries)][None]
                    begin = time.perf_counter()
                    found = search(query)
                    times[name].append((time.perf_counter() - begin) * 1e3)
                    if n < len(exact):
                        (rows,) = rows_found(found)
                        right[name].append(len(np.intersect1d(rows, exact[n])) / K)
                        same = name != "houndsight" or rows.tolist() == exact[n].tolist()
                        assert same, "not what brute force finds"
                del times[name][-len(part) - 3 : -len(part)]
        batch = queries[np.arange(arguments.batch) % len(queries)]
        together = {}
        for name, search in every.items():
            if arguments.batch:
                time.sleep(0.5)
                taken = []
                for _ in range(3):
                    begin = time.perf_counter()
                    search(batch)
                    taken.append((time.perf_counter() - begin) * 1e3 / len(batch))
                together[name] = statistics.median(taken)
    print(f"\n{len(x):,} x {x.shape[1]:,}, top {K}, {arguments.count} queries one by one\n")
    print(
        f"| way | one query, median ms | 95th percentile | {arguments.batch} at once, ms each | ",
        end="",
    )
    print(f"recall@{K} | times as long as houndsight |\n|---|---|---|---|---|---|")
    base = statistics.median(times["houndsight"])
    for name, taken in times.items():
        middle = statistics.median(taken)
        print(
            f"| {name} | {middle:.2f} | {np.percentile(taken, 95):.2f} "
            f"| {together.get(name, float('nan')):.2f} | {np.mean(right[name]):.4f} "
            f"| {middle / base:.2f} |"
        )
    command = [sys.executable, "-c", CHILD, str(place), str(arguments.queries)]
    anonymous = float(subprocess.run(command, check=True, capture_output=True).stdout)
    print(f"\nanonymous memory (RssAnon) after 60 queries: {anonymous:.0f} MB")
    print(
        json.dumps(
            {"rows": len(x), "median_ms": {n: statistics.median(t) for n, t in times.items()}}
        )
    )


if __name__ == "__main__":
    main()
