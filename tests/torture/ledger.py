"""What a gallery is to hold, kept by hand in dictionaries: the documents' rules, and no more.

Methods that make several commits yield after each; one that is refused raises `Refused`.
"""

import contextlib
import copy
import hashlib
import os
from typing import NamedTuple

__all__ = ["File", "Ledger", "Refused"]


class Refused(Exception):
    """The gallery is to say no, and stay as it is."""


class File(NamedTuple):
    """A photo in the indexed folder: its bytes' digest, time of last change, number on the disk."""

    digest: bytes
    time: int
    number: int


class Row(NamedTuple):
    """An item as it is to be; `vector` says whether its vector is there."""

    root: int
    path: bytes
    label: str | None
    label_source: str | None
    digest: bytes
    time: int
    removed: str | None
    vector: bool


class Ledger:
    """Items by id, changes by number from 1, learned maps, and the metrics chosen."""

    def __init__(self):
        self.rows, self.changes, self.maps, self.metrics = {}, [], [], []

    def value(self):
        """Return all that is held, to be compared."""
        return self.rows, self.changes, self.maps, self.metrics

    def states(self, command):
        """Return ledgers: as it is, and as it is after each commit of a command."""
        copied, found = copy.deepcopy(self), [copy.deepcopy(self)]
        with contextlib.suppress(Refused):
            found.extend(copy.deepcopy(copied) for _ in command(copied) or ())
        return [*found, copied]

    def live(self):
        return {id_: row for id_, row in self.rows.items() if row.removed is None}

    def _set(self, id_, **columns):
        self.rows[id_] = self.rows[id_]._replace(**columns)

    # Changes on record

    def _change(self, action, by, after):
        """Change columns of items, by id, and put that on record."""
        if after:
            before = {
                id_: {name: getattr(self.rows[id_], name) for name in columns}
                for id_, columns in after.items()
            }
            for id_, columns in after.items():
                self._set(id_, **columns)
            self.changes.append(
                {"action": action, "by": by, "undone": False, "before": before, "after": after}
            )

    def label(self, labels, by="user"):
        after = {}
        for id_, label in labels.items():
            row = self.rows[id_]
            source = by if label is not None or by == "user" else None
            kept = row.label_source == "user" and by != "user"
            if (
                row.removed is None
                and not kept
                and (row.label, row.label_source) != (label, source)
            ):
                after[id_] = {"label": label, "label_source": source}
        self._change("label", by, after)

    def remove(self, ids, by="user"):
        live = self.live()
        self._change("remove", by, {id_: {"removed": by} for id_ in ids if id_ in live})

    def undo(self, number=None):
        """Take back the last change that stands, or one by its number."""
        if number is None:
            change = next((one for one in reversed(self.changes) if not one["undone"]), None)
            if change is None:
                return
        else:
            change = self.changes[number - 1]
            if change["undone"] or not all(
                id_ in self.rows and getattr(self.rows[id_], name) == value
                for id_, columns in change["after"].items()
                for name, value in columns.items()
            ):
                raise Refused
        before = {id_: old for id_, old in change["before"].items() if id_ in self.rows}
        back = [
            self.rows[id_]
            for id_, old in before.items()
            if old.get("removed", "") is None and self.rows[id_].removed is not None
        ]
        places = [(row.root, row.path) for row in (*self.live().values(), *back)]
        if not all(row.vector for row in back) or (back and len(set(places)) < len(places)):
            raise Refused
        for id_, old in before.items():
            self._set(id_, **old)
        change["undone"] = True

    # Metrics

    def learn(self):
        self.maps.append(f"learned@{len(self.maps) + 1}")
        self.metrics.append(self.maps[-1])

    def unlearn(self):
        del self.metrics[-1:]

    # Photos

    def add(self, digest, time, label):
        """Add a photo by hand."""
        if any(row.digest == digest for row in self.live().values()):
            raise Refused
        path = os.fsencode(f"{digest.hex()[:2]}/{digest.hex()}.jpg")
        known = [id_ for id_, row in self.rows.items() if (row.root, row.path) == (0, path)]
        id_ = known[0] if known else self._free_id(path, digest)
        source = "user" if label else None
        self.rows[id_] = Row(0, path, label, source, digest, time, "user", True)
        self._change("add", "user", {id_: {"removed": None}})

    def index(self, files, *, restore=False):
        """Index a folder: files by path."""
        if not files:
            raise Refused
        known = {}
        for wanted in ("user", None):
            for id_, row in sorted(self.rows.items()):
                if row.root == 1 and row.removed == wanted and not (wanted and restore):
                    known[row.path] = id_
        new, changed, labels = [], [], {}
        loose = {id_ for path, id_ in known.items() if path not in files}
        for path, file in sorted(files.items()):
            id_ = known.get(path)
            if id_ is None:
                new.append(path)
            elif self.rows[id_].digest != file.digest:
                changed.append(path)
                loose.add(id_)
            elif self.rows[id_].removed is None:
                labels[id_] = _folder(path)
        self.label(labels, "folder")
        yield
        for path, id_ in known.items():
            if path in files and self.rows[id_].digest == files[path].digest:
                self._set(id_, time=files[path].time)
        yield
        there = {row.digest for row in self.rows.values() if row.vector}
        new.sort(key=lambda path: files[path].number)
        changed.sort(key=lambda path: files[path].digest not in there)
        for path in new + changed:
            self._take_in(path, files[path], loose, restore)
            yield
        self.remove([id_ for id_ in sorted(loose) if self.rows[id_].removed is None], "index")

    def _take_in(self, path, file, loose, restore):
        here = self._at(path)
        found = self._same_photo(path, file, loose)
        if found is None:
            out, id_ = False, here
        else:
            out, id_ = self.rows[found].removed == "user" and not restore, found
            if here is not None:
                self._set(here, removed="index")
        if id_ is None:
            id_ = self._free_id(path, file.digest)
            self.rows[id_] = Row(1, path, None, None, file.digest, 0, None, True)
        loose.discard(id_)
        label = _folder(path)
        self._set(
            id_,
            path=path,
            digest=file.digest,
            time=file.time,
            removed="user" if out else None,
            vector=self.rows[id_].vector or not out,
        )
        if self.rows[id_].label_source != "user":
            self._set(id_, label=label, label_source="folder" if label else None)

    def _at(self, path):
        return next(
            (id_ for id_, row in self.live().items() if (row.root, row.path) == (1, path)), None
        )

    def _same_photo(self, path, file, loose):
        """The item that a photo is, though its path is another, or was given up."""
        order = {None: 0, "index": 1, "user": 2}
        found = [
            (order[row.removed], row.path != path, id_)
            for id_, row in self.rows.items()
            if row.root == 1 and row.digest == file.digest
            if id_ in loose
            or row.removed == "index"
            or (row.removed == "user" and row.path == path)
        ]
        return min(found)[-1] if found else None

    def _free_id(self, path, digest):
        id_ = int.from_bytes(hashlib.sha256(path + b"\0" + digest).digest()[:8], "big") >> 1
        while id_ in self.rows:
            id_ += 1
        return id_

    def compact(self):
        """Forget what indexing removed, and the vectors of what a person removed."""
        self.rows = {id_: row for id_, row in self.rows.items() if row.removed in (None, "user")}
        for id_, row in self.rows.items():
            if row.removed:
                self._set(id_, vector=False)
        yield
        for change in self.changes:
            rows = [self.rows.get(id_) for id_ in change["after"]]
            given_up = not all(row and row.vector for row in rows)
            if not change["undone"] and (
                not any(rows) or (change["action"] == "remove" and given_up)
            ):
                change |= {"undone": True, "final": True}


def _folder(path):
    return os.path.dirname(path).decode() or None
