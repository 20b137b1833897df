"""Any commands in any order, killed now and then: a gallery holds what a plain ledger does."""

import hashlib
import io
import os
import shutil
import sys
from collections import Counter
from functools import cache, partial
from pathlib import Path

import numpy as np
from faults import Mode, trial
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from ledger import File, Ledger, Refused, Row
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from fakes import draw, encoded, fake_embedder
from houndsight import Gallery, InputError, add_photo, index, learn
from houndsight.types import Vectors, Where

__all__ = ["model"]

PATHS = (
    "pug/0.jpg",
    "pug/1.jpg",
    "beagle/0.jpg",
    "beagle/1.jpg",
    "collie/0.jpg",
    "collie/1.jpg",
    "0.jpg",
)
CHANGES = 60  # more changes of files than most commands make
paths = st.sampled_from(PATHS)
seeds = st.integers(0, 6)
numbers = st.integers(0, 99)
labels = st.sampled_from(["pug", "mongrel", None])


@cache
def photo(seed):
    """Return a photo's bytes, their digest, and its vector."""
    # A little alike, so that there is something to learn.
    data = encoded(Image.blend(draw(seed % 2), draw(10 + seed), 0.7))
    vector = fake_embedder().embed(Image.open(io.BytesIO(data))).values[0]
    return data, hashlib.sha256(data).digest(), vector


def held(gallery):
    """Return what a gallery holds, as `Ledger.value` says it."""
    store = gallery.store
    items = store.items()
    there = {item.id for item in store.with_digests({item.digest for item in items})}
    rows = {
        item.id: Row(
            item.root,
            item.path,
            item.label,
            item.label_source,
            item.digest,
            item.mtime_ns,
            item.removed,
            item.id in there,
        )
        for item in items
    }
    changes = []
    for body in store.documents("history/").values():
        change = {name: value for name, value in body.items() if name not in ("time", "changes")}
        change["before"] = {int(key, 16): before for key, before, _ in body["changes"]}
        change["after"] = {int(key, 16): after for key, _, after in body["changes"]}
        changes.append(change)
    maps = [name.removeprefix("spaces/") for name in store.names("spaces/")]
    metrics = store.documents("metric").get("metric", {"chosen": []})["chosen"]
    return rows, changes, maps, metrics


class Machine(RuleBasedStateMachine):
    """A gallery that one connection changes and another reads, and what it is to hold.

    Commands are pairs of functions: of the gallery, and of the ledger.
    """

    def __init__(self, folder, counts):
        super().__init__()
        self.folder, self.counts = folder, counts
        self.photos, self.place = folder / "photos", folder / "gallery"
        self.files, self.time, self.ledger = {}, 1_700_000_000, Ledger()
        self.open = []
        for path, seed in zip(PATHS[:5], (0, 1, 2, 3, 3), strict=True):
            self.write(path, seed)
        index(self.photos, self.place, embedder=fake_embedder())
        self.reopen()
        self.ledger = self.ledger.states(partial(Ledger.index, files=self.listed()))[-1]

    def teardown(self):
        self.close()
        shutil.rmtree(self.folder)

    def close(self):
        for gallery in self.open:
            gallery.close()
        self.open = []

    # Files, of which the gallery learns by an index

    @rule(
        how=st.sampled_from(("write", "write", "rename", "delete")),
        n=numbers,
        path=paths,
        seed=seeds,
    )
    def change_files(self, how, n, path, seed):
        """Add a file or change one, give one another name, or delete one."""
        if how == "write" or not self.files:
            self.write(path, seed)
            return
        old = self.photos / sorted(self.files)[n % len(self.files)]
        seed = self.files.pop(str(old.relative_to(self.photos)))
        if how == "rename":
            (self.photos / path).parent.mkdir(parents=True, exist_ok=True)
            old.rename(self.photos / path)
            self.files[path] = seed
        else:
            old.unlink()
        self.counts[f"files {how}d"] += 1

    def write(self, path, seed):
        target = self.photos / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(photo(seed)[0])
        self.time += 1
        os.utime(target, (self.time, self.time))
        self.files[path] = seed
        self.counts["files written"] += 1

    def listed(self):
        found = {}
        for path, seed in self.files.items():
            state = (self.photos / path).stat()
            found[os.fsencode(path)] = File(photo(seed)[1], state.st_mtime_ns, state.st_ino)
        return found

    # Commands

    def indexing(self, n, seed, label):
        return (
            lambda gallery: index(self.photos, gallery, embedder=fake_embedder()),
            partial(Ledger.index, files=self.listed()),
        )

    def restoring(self, n, seed, label):
        return (
            lambda gallery: index(self.photos, gallery, embedder=fake_embedder(), restore=True),
            partial(Ledger.index, files=self.listed(), restore=True),
        )

    def labelling(self, n, seed, label):
        ids = self.some(n)
        return (
            lambda gallery: gallery.set_labels(dict.fromkeys(ids, label), source="user"),
            lambda ledger: ledger.label(dict.fromkeys(ids, label)),
        )

    def removing(self, n, seed, label):
        ids = self.some(n)
        return lambda gallery: gallery.remove(ids), lambda ledger: ledger.remove(ids)

    def undoing(self, n, seed, label):
        return Gallery.undo, Ledger.undo

    def undoing_one(self, n, seed, label):
        if not self.ledger.changes:
            return Gallery.undo, Ledger.undo
        number = 1 + n % len(self.ledger.changes)
        return lambda gallery: gallery.undo(number), lambda ledger: ledger.undo(number)

    def adding(self, n, seed, label):
        path = self.folder / "own.jpg"
        path.write_bytes(photo(seed)[0])
        return (
            lambda gallery: add_photo(gallery, fake_embedder(), path, label=label),
            lambda ledger: ledger.add(photo(seed)[1], path.stat().st_mtime_ns, label),
        )

    def compacting(self, n, seed, label):
        return Gallery.compact, Ledger.compact

    def learning(self, n, seed, label):
        return lambda gallery: learn(gallery, method="lda").metric, Ledger.learn

    def unlearning(self, n, seed, label):
        return Gallery.undo_metric, Ledger.unlearn

    COMMANDS = (
        indexing,
        restoring,
        labelling,
        removing,
        undoing,
        undoing_one,
        adding,
        compacting,
        learning,
        unlearning,
    )

    def some(self, n):
        """Return one item that is there, or two."""
        ids = sorted(self.ledger.live())
        return [ids[n % len(ids)], ids[n // 10 % len(ids)]] if ids else []

    @rule()
    def index(self):
        self.run(Machine.indexing, 0, 0, None)

    @rule(n=numbers, label=labels)
    def label(self, n, label):
        self.run(Machine.labelling, n, 0, label)

    @rule(command=st.sampled_from(COMMANDS), n=numbers, seed=seeds, label=labels)
    def command(self, command, n, seed, label):
        self.run(command, n, seed, label)

    def run(self, command, n, seed, label):
        do, expect = command(self, n, seed, label)
        self.counts[f"times of {command.__name__}"] += 1
        after, refused = self.ledger.states(expect)[-1], False
        try:
            said = do(self.open[0])
        except InputError:
            refused = True
        # What can be learned from so few photos is not for the ledger to know.
        if command is Machine.learning:
            refused = refused or said is None
        elif refused:
            assert self.refuses(expect), f"{command.__name__} is refused"
        if not refused:
            self.ledger = after

    def refuses(self, expect):
        try:
            list(expect(self.ledger) or ())
        except Refused:
            return True
        return False

    @rule(
        command=st.sampled_from(COMMANDS),
        n=numbers,
        seed=seeds,
        label=labels,
        at=st.integers(1, 12) | st.integers(1, CHANGES),
        mode=st.sampled_from((Mode.KILL, Mode.TEAR)),
    )
    def crash(self, command, n, seed, label, at, mode):
        """Run a command in a process that is killed: what it held is a state between commits."""
        do, expect = command(self, n, seed, label)

        def run(_):
            with Gallery(self.place) as gallery:
                do(gallery)

        self.close()
        outcome = trial(run, self.folder, at=at, mode=mode)
        self.counts[f"kills of {command.__name__}"] += outcome.killed
        assert outcome.error is None or "InputError" in outcome.error[0], outcome.error
        self.reopen()
        found = held(self.open[0])
        states = [state for state in self.ledger.states(expect) if state.value() == found]
        assert states, f"after a crash of {command.__name__}: a state that is none between commits"
        self.ledger = states[-1]

    @rule()
    def reopen(self):
        self.close()
        self.open = [Gallery(self.place), Gallery(self.place)]

    # What must be so after every step

    @invariant()
    def holds_what_the_ledger_does(self):
        self.counts["steps"] += 1
        assert self.open[0].verify() == []
        for gallery in self.open:
            assert held(gallery) == self.ledger.value()
            self.answers(gallery)

    def answers(self, gallery):
        """Every vector is its photo's, and the nearest are those of a search by hand."""
        by_digest = {photo(seed)[1]: photo(seed)[2] for seed in range(7)}
        kept = [id_ for id_, row in self.ledger.rows.items() if row.vector]
        vectors = dict(zip(kept, gallery.store.vectors(kept), strict=True))
        for id_, vector in vectors.items():
            np.testing.assert_allclose(vector, by_digest[self.ledger.rows[id_].digest], atol=1e-6)
        live = self.ledger.live()
        assert gallery.labels() == Counter(row.label for row in live.values() if row.label)
        query = by_digest[photo(self.counts["steps"] % 7)[1]]
        space = gallery.space()
        for where in (Where(), Where(labels=frozenset({"pug", None}))):
            among = [
                id_
                for id_, row in live.items()
                if where.labels is None or row.label in where.labels
            ]
            asked = Vectors(query[None], gallery.fingerprint)
            found = gallery.search(asked, k=3, where=where)
            rows = space.exact(np.stack([query, *(vectors[id_] for id_ in among)]))
            away = np.sqrt(((rows[1:].astype(float) - rows[0]) ** 2).sum(axis=1))
            nearest = sorted(zip(away.tolist(), among, strict=True))[:3]
            np.testing.assert_allclose(
                found.distances[0], [distance for distance, _ in nearest], atol=1e-6
            )
            true = dict(zip(among, away.tolist(), strict=True))
            for id_, distance in zip(found.ids[0].tolist(), found.distances[0], strict=True):
                assert abs(true[id_] - distance) < 1e-6
            if not self.ledger.metrics:
                assert found.ids[0].tolist() == [id_ for _, id_ in nearest]


def model(scene, *, examples, steps):
    """Run so many sequences of commands, always the same ones. Returns figures."""
    counts = Counter()

    def machine():
        counts["sequences"] += 1
        return Machine(scene.folder / f"model-{counts['sequences']}", counts)

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=True,
            database=None,
            deadline=None,
            print_blob=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
    return {name: counts[name] for name in ("sequences", "steps", *sorted(counts))}
