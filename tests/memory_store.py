"""The simplest store that is one: dictionaries in memory, every vector looked at."""

import contextlib
import copy

import numpy as np

from houndsight.errors import GalleryBusy, GalleryError


class MemoryStore:
    """Keeps all in `self.kept`, which a rollback sets back; others with the same `kept` see it."""

    def __init__(self, dim, documents, files=None):
        self.dim = dim
        self.kept = {"items": {}, "vectors": {}, "order": [], "documents": dict(documents)}
        self.files = dict(files or {})
        self.commits = 0
        self.depth = 0
        self.adding = False

    @contextlib.contextmanager
    def transaction(self):
        before = copy.deepcopy(self.kept) if self.depth == 0 else None
        self.depth += 1
        try:
            yield
        except BaseException:
            if before is not None:
                self.kept = before
            raise
        finally:
            self.depth -= 1
            self.commits += 1

    @contextlib.contextmanager
    def appending(self):
        if self.adding:
            raise GalleryBusy("another is adding photos")
        self.adding = True
        try:
            yield
        finally:
            self.adding = False

    def put(self, items, vectors):
        for vector in vectors.values():
            if len(vector) != self.dim:
                raise GalleryError(f"takes vectors of {self.dim} numbers, not {len(vector)}")
            if not np.isfinite(vector).all():
                raise GalleryError("a vector holds a value that is not finite")
        with self.transaction():
            for item in items:
                if item.id in vectors:
                    self.kept["vectors"][item.id] = np.array(vectors[item.id], np.float32)
                    self.kept["order"] = [i for i in self.kept["order"] if i != item.id] + [item.id]
                elif item.id not in self.kept["items"] and item.removed is None:
                    raise GalleryError(f"holds no item {item.id:016x}")
                self.kept["items"][item.id] = item

    def put_document(self, name, body):
        with self.transaction():
            if body is None:
                self.kept["documents"].pop(name, None)
            else:
                self.kept["documents"][name] = copy.deepcopy(body)

    def _of(self, fits):
        every = sorted(self.kept["items"].values(), key=lambda item: item.id)
        return [item for item in every if fits(item)]

    def items(self, ids=None):
        return self._of(lambda item: ids is None or item.id in set(ids))

    def with_digests(self, digests, *, given_up=False):
        held = self.kept["items"] if given_up else self.kept["vectors"]
        return self._of(lambda item: item.digest in set(digests) and item.id in held)

    def at(self, root, paths):
        return self._of(lambda item: item.root == root and item.path in set(paths))

    def ids(self, where):
        items = self.kept["items"]
        return np.array([i for i in self.kept["order"] if live(items[i], where)], np.int64)

    def labels(self):
        found = [item.label for item in self._of(lambda item: item.removed is None)]
        return {label: found.count(label) for label in found}

    def vectors(self, ids):
        for id_ in ids:
            if id_ not in self.kept["items"]:
                raise GalleryError(f"holds no item {id_:016x}")
            if id_ not in self.kept["vectors"]:
                raise GalleryError(f"gave up the vector of item {id_:016x} when it was compacted")
        held = [self.kept["vectors"][id_] for id_ in ids]
        return np.stack(held) if held else np.empty((0, self.dim), np.float32)

    def candidates(self, queries, k, where, space, looked_at=None):
        ids = self.ids(where)
        return ((ids, self.vectors(ids.tolist())) for _ in queries)

    def tidy(self, space):
        pass

    def shortcut(self, space):
        return ""

    def document(self, name, missing=None):
        kept = self.kept["documents"]
        return copy.deepcopy(kept[name]) if name in kept else missing

    def documents(self, prefix):
        return {name: copy.deepcopy(self.kept["documents"][name]) for name in self.names(prefix)}

    def names(self, prefix):
        return sorted(name for name in self.kept["documents"] if name.startswith(prefix))

    def file(self, name):
        if self.files.get(name) is None:
            raise FileNotFoundError(2, "No such file or directory")
        return self.files[name]

    def revision(self):
        return self.commits

    def at_one_moment(self, read):
        return read()

    def verify(self):
        return []

    def compact(self):
        items = self.kept["items"]
        gone = [i for i, item in items.items() if item.removed is not None]
        gained = 4 * self.dim * len(set(gone) & set(self.kept["vectors"]))
        with self.appending(), self.transaction():
            for id_ in gone:
                self.kept["vectors"].pop(id_, None)
                if items[id_].removed != "user":
                    del items[id_]
            self.kept["order"] = [i for i in self.kept["order"] if i in self.kept["vectors"]]
        return gained

    def close(self):
        pass


def live(item, where):
    """Return whether a search may return an item."""
    if item.removed is not None or (where.labelled and item.label is None and not where.labels):
        return False
    return where.labels is None or item.label in where.labels
