"""What learning does for neighbours, probabilities and doubtful labels, on photos it did not see.

    python benchmarks/learned_neighbours.py GALLERY QUERIES [--parts neighbours,calibration,...]

GALLERY is left as it is: everything is done on copies. QUERIES holds other photos, in folders named
by label. Prints Markdown tables; seeds are stated with each.
"""

import argparse
import os
import resource
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from houndsight import Gallery, learn, read_queries
from houndsight.learning import labelled, refitting
from houndsight.learning.calibrating import calibrate
from houndsight.learning.choice import cross_validate
from houndsight.learning.folds import Labelled
from houndsight.metrics import auroc, bootstrap, expected_calibration_error, wilson
from houndsight.types import Where
from houndsight.voting import classify, classify_queries

K = 20
PARTS = ("neighbours", "calibration", "none", "outliers", "fit")


def percent(estimate):
    low, high = 100 * estimate.low, 100 * estimate.high
    return f"{100 * estimate.value:.1f} ({low:.1f} to {high:.1f})"


class Copy:
    """A gallery that may be changed, and the queries' vectors."""

    def __init__(self, place, queries):
        self.folder = Path(tempfile.mkdtemp())
        shutil.copytree(place, self.folder / "gallery")
        self.queries = queries

    def __enter__(self):
        self.gallery = Gallery(self.folder / "gallery")
        return self

    def __exit__(self, *_):
        self.gallery.close()
        shutil.rmtree(self.folder)

    def hits(self, metric=None):
        """Return the queries' neighbours, and which have the query's label."""
        exclude = [q.own | q.twins for q in self.queries.photos]
        found = self.gallery.search(
            self.queries.vectors, K, where=Where(labelled=True), exclude=exclude, metric=metric
        )
        labels = [q.label for q in self.queries.photos]
        right = [[m.item.label == lb for m in ms] for ms, lb in zip(found, labels, strict=True)]
        return found, np.array(right)


def neighbours(place, queries):
    print("| metric | precision@20 | recall@1 | recall@5 | cross-validated precision, recall@5 |")
    print("|---|---|---|---|---|")
    with Copy(place, queries) as copy:

        def row(name, metric, cross=""):
            _, right = copy.hits(metric)
            print(
                f"| {name} | {percent(bootstrap(right.mean(axis=1), 0))} "
                f"| {percent(wilson(right[:, 0].tolist()))} "
                f"| {percent(wilson(right[:, :5].any(axis=1).tolist()))} | {cross} |",
                flush=True,
            )

        row("plain", "plain")
        begin = time.perf_counter()
        report = learn(copy.gallery)
        seconds = time.perf_counter() - begin
        # The other favours pick among the same trials: what learn would do, without trying again.
        items = copy.gallery.items()
        photos = labelled(copy.gallery, items, seed=0)
        for favour in (0.0, 0.25, 0.5, 0.75, 1.0):
            settings, outcome = report.trials.best(favour)
            name = copy.gallery.next_version("favoured")
            copy.gallery.add_map(
                refitting(photos, settings, name)(np.arange(len(photos))), {}, None
            )
            cross = f"{100 * outcome.precision.mean():.1f}, {100 * outcome.recall.mean():.1f}"
            row(f"favour {favour:g}", name, cross)
        print(f"\nhoundsight learn, calibration included: {seconds:.0f} s; seed 0")


def calibration(place, queries):
    print("| metric | neighbours | votes | votes, the winner alone | a perfect one's |")
    print("|---|---|---|---|---|")
    with Copy(place, queries) as copy:
        learn(copy.gallery)
        from houndsight import calibrate as calibrate_gallery

        calibrate_gallery(copy.gallery, metric="plain")
        for metric in ("plain", "learned"):
            found, right = copy.hits(metric)
            fitted = copy.gallery.calibration(metric)
            p = fitted.neighbours(found.distances)
            votes = classify_queries(copy.gallery, queries.vectors, metric=metric)
            labels = [q.label for q in queries.photos]
            pairs = [
                (chance, name == label)
                for vote, label in zip(votes, labels, strict=True)
                for name, chance in vote.probabilities.items()
            ]
            top = np.array([next(iter(vote.probabilities.values())) for vote in votes])
            won = np.array([vote.first == lb for vote, lb in zip(votes, labels, strict=True)])
            rng = np.random.default_rng(0)
            floor = np.mean(
                [expected_calibration_error(top, rng.random(len(top)) < top) for _ in range(200)]
            )
            chances, rights = map(np.array, zip(*pairs, strict=True))
            print(
                f"| {metric} | {expected_calibration_error(p.ravel(), right.ravel()):.3f} "
                f"| {expected_calibration_error(chances, rights):.3f} "
                f"| {expected_calibration_error(top, won):.3f} | {floor:.3f} |"
            )


def none(place, queries, draws=10, left_out=20):
    labels = np.array([q.label for q in queries.photos])
    names = np.unique(labels)
    plain, learned = [], []
    for draw in range(draws):
        out = np.random.default_rng(draw).choice(names, left_out, replace=False)
        strange = np.isin(labels, out)
        with Copy(place, queries) as copy:
            copy.gallery.remove([i.id for i in copy.gallery.items() if i.label in out])
            learn(copy.gallery)
            found = copy.gallery.search(queries.vectors, K, metric="plain")
            plain.append(auroc(np.array([-classify(ms).share for ms in found]), strange))
            votes = classify_queries(copy.gallery, queries.vectors)
            learned.append(auroc(np.array([vote.none for vote in votes]), strange))
    print("| seeds 0 to 9 | mean | least | greatest | standard deviation |")
    print("|---|---|---|---|---|")
    gain = np.subtract(learned, plain)
    for name, values in (("plain vote share", plain), ("learned", learned), ("gain", gain)):
        mean, low, high = np.mean(values), np.min(values), np.max(values)
        print(f"| {name} | {mean:.3f} | {low:.3f} | {high:.3f} | {np.std(values, ddof=1):.3f} |")


def outliers(place, queries, draws=5, share=0.05):
    from houndsight.doubting import outliers as doubtful

    print("| seed | metric | swapped, in the first 5 % | 10 % | 20 % |")
    print("|---|---|---|---|---|")
    for draw in range(draws):
        rng = np.random.default_rng(draw)
        with Copy(place, queries) as copy:
            items = copy.gallery.items()
            chosen = rng.choice(len(items), round(share * len(items)), replace=False)
            given = rng.permutation([items[n].label for n in chosen])
            swapped = {items[n].id: str(lb) for n, lb in zip(chosen, given, strict=True)}
            swapped = {i.id: swapped[i.id] for i in items if swapped.get(i.id, i.label) != i.label}
            copy.gallery.set_labels(swapped, source="user")
            for metric in ("plain", "learned"):
                if metric == "learned":
                    learn(copy.gallery)
                ranked = [one.item.id for one in doubtful(copy.gallery)]
                found = [
                    np.mean([id_ in swapped for id_ in ranked[: round(part * len(items))]])
                    * round(part * len(items))
                    / len(swapped)
                    for part in (0.05, 0.1, 0.2)
                ]
                print(f"| {draw} | {metric} | " + " | ".join(f"{f:.0%}" for f in found) + " |")


def fit(_place, _queries, n=12_000, dim=2048, labels=120):
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(labels, dim)) * 0.5
    numbers = np.arange(n) % labels
    vectors = np.abs(centres[numbers] + rng.normal(size=(n, dim))).astype(np.float32)
    photos = Labelled.of(vectors, [f"{c:03d}" for c in numbers], range(n), parts=5, seed=0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    begin = time.perf_counter()
    trials = cross_validate(photos, "auto")
    chosen, _ = trials.best(0.5)
    chose = time.perf_counter()
    make = refitting(photos, chosen, "learned@1")
    make(np.arange(n))
    fitted = time.perf_counter()
    calibrate(photos, make, k=K, seed=0)
    done = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{n:,} x {dim:,}, {labels} labels, made up (seed 0): one fit {fitted - chose:.1f} s; ")
    print(f"cross-validation of {len(trials.maps)} settings {chose - begin:.1f} s, calibration ")
    print(f"{done - fitted:.1f} s, all together {done - begin:.1f} s; peak memory {peak:.2f} GB,")
    print(f"of which {before:.2f} GB before")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("gallery")
    parser.add_argument("queries")
    parser.add_argument("--parts", default=",".join(PARTS), help="some of " + ", ".join(PARTS))
    arguments = parser.parse_args()
    wanted = arguments.parts.split(",")
    with Gallery(arguments.gallery) as gallery:
        queries = None
        if set(wanted) - {"fit", "outliers"}:
            embedder = gallery.embedder()
            queries = read_queries(gallery, embedder, arguments.queries, labels="folder")
        print(f"{gallery.model}, {len(gallery):,} photos, {os.cpu_count()} cores\n")
    for part in wanted:
        print(f"### {part}\n")
        globals()[part](arguments.gallery, queries)
        print(flush=True)


if __name__ == "__main__":
    main()
