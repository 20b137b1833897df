"""The one way in: photos with their vectors become items, batch by batch, all or nothing."""

import contextlib
import hashlib
import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from houndsight.errors import GalleryError, InputError
from houndsight.stores import Store
from houndsight.types import Item, Skipped

__all__ = ["Entry", "Intake", "Root"]


@dataclass(frozen=True, slots=True)
class Root:
    """An indexed folder: its number, its place, and where its labels come from."""

    number: int
    place: bytes
    labels: str


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A photo on its way into the gallery.

    `vector` is float32 (dim,), or None where the gallery holds an item of equal bytes, whose
    vector is then shared. `thumbnail` is a JPEG, or None likewise.
    """

    path: bytes
    label: str | None
    label_source: str | None
    digest: bytes
    size: int
    mtime_ns: int
    width: int = 0
    height: int = 0
    vector: NDArray[np.float32] | None = None
    thumbnail: bytes | None = None


class Intake:
    """The part of a gallery that takes photos in."""

    store: Store

    def _keep_thumbnail(self, digest: bytes, picture: bytes) -> None:
        raise NotImplementedError

    def roots(self) -> list[Root]:
        """Return the indexed folders."""
        known = self.store.documents("roots")["roots"]
        return [
            Root(int(number), os.fsencode(root["place"]), root["labels"])
            for number, root in sorted(known.items(), key=lambda pair: int(pair[0]))
        ]

    def root(self, place: bytes, labels: str | None) -> Root:
        """Return the root at a place, made if need be.

        `labels` becomes its rule for labels; None leaves the rule (``folder`` for a new root).

        Raises
        ------
        InputError
            If the place lies inside another root, whose photos it would double.
        """
        with self.store.transaction():
            known = self.store.documents("roots")["roots"]
            number = self.known_root(place)
            if number is None:
                for root in self.roots():
                    if os.path.commonpath([place, root.place]) == root.place:
                        raise InputError(
                            f"lies inside {os.fsdecode(root.place)}, which is indexed already",
                            path=place,
                            remedy="Index that folder again: it takes in what is new",
                        )
                number = max(map(int, known), default=0) + 1
                known[str(number)] = {"place": os.fsdecode(place), "labels": "folder"}
            root = known[str(number)]
            root["labels"] = labels or root["labels"]
            self.store.put_document("roots", known)
            return Root(number, os.fsencode(root["place"]), root["labels"])

    def known_root(self, place: bytes) -> int | None:
        """Return the number of the root at a place, under whatever name it goes."""
        for root in self.roots():
            same = root.place == place
            with contextlib.suppress(OSError):
                same = same or os.path.samefile(root.place, place)
            if same:
                return root.number
        return None

    def add(
        self,
        root: Root,
        batch: Sequence[Entry | Skipped],
        *,
        gone: Collection[int] = (),
        retry: Mapping[bytes, tuple[int, int]] | None = None,
    ) -> Counter[str]:
        """Take in a batch of photos, all or nothing; durable once this returns.

        Parameters
        ----------
        root
            The root they belong to.
        batch
            Entries with paths relative to the root; Skipped with full paths.
        gone
            Ids of items whose files are no longer there: one of equal bytes is taken for renamed.
        retry
            For Skipped that are to be tried again only when they change: bytes and time of last
            change by full path.

        Returns
        -------
        Counter
            How many are ``new``, ``changed``, ``renamed``, ``unchanged`` and ``skipped``.
        """
        entries = [entry for entry in batch if isinstance(entry, Entry)]
        for entry in entries:
            if entry.thumbnail is not None:
                self._keep_thumbnail(entry.digest, entry.thumbnail)
        counts: Counter[str] = Counter()
        with self.store.transaction():
            for skip in batch:
                if isinstance(skip, Skipped):
                    changed = (retry or {}).get(skip.path)
                    body = {"reason": skip.reason, "changed": changed}
                    self.store.put_document(self._skip_name(root, skip.path), body)
                    counts["skipped"] += 1
            donors = self.store.with_digests({entry.digest for entry in entries})
            renamable = {
                item.digest: item for item in donors if item.id in gone and item.removed is None
            }
            taken = {item.id for item in donors}
            items: list[Item] = []
            vectors: dict[int, NDArray[np.float32]] = {}
            by_digest = {item.digest: item for item in donors}
            fresh: dict[bytes, NDArray[np.float32]] = {}
            for entry in entries:
                current = self._current(root, entry)
                kind, item = self._placed(root, entry, current, renamable, taken)
                donor = by_digest.get(entry.digest)
                if donor is not None:
                    item = replace(item, width=donor.width, height=donor.height)
                if donor is None or donor.id != item.id:
                    vectors[item.id] = self._vector(entry, donor, fresh)
                items.append(item)
                counts[kind] += 1
                full = os.path.join(root.place, entry.path)
                self.store.put_document(self._skip_name(root, full), None)
            self.store.put(items, vectors)
        return counts

    def _current(self, root: Root, entry: Entry) -> Item | None:
        """Return the item at the entry's path; a removed one only where there is no other."""
        at_path = self.store.at(root.number, [entry.path])
        at_path.sort(key=lambda item: (item.removed is not None, item.digest != entry.digest))
        return at_path[0] if at_path else None

    def _placed(
        self,
        root: Root,
        entry: Entry,
        current: Item | None,
        renamable: dict[bytes, Item],
        taken: set[int],
    ) -> tuple[str, Item]:
        """Return what has happened to a photo, and its item as it is to be written."""
        kind = "new"
        if current is not None:
            same = current.digest == entry.digest
            if current.removed is None:
                kind = "unchanged" if same else "changed"
        elif entry.digest in renamable:
            current, kind = renamable.pop(entry.digest), "renamed"
        if current is None:
            id_ = self._free_id(entry, taken)
            taken.add(id_)
            current = Item(id_, root.number, b"", None, None, b"", 0, 0, 0, 0)
        by_user = current.label_source == "user"
        return kind, replace(
            current,
            path=entry.path,
            label=current.label if by_user else entry.label,
            label_source="user" if by_user else entry.label_source,
            digest=entry.digest,
            size=entry.size,
            mtime_ns=entry.mtime_ns,
            width=entry.width,
            height=entry.height,
            removed=None,
        )

    def _free_id(self, entry: Entry, taken: set[int]) -> int:
        digest = hashlib.sha256(entry.path + b"\0" + entry.digest).digest()
        id_ = int.from_bytes(digest[:8], "big") >> 1
        while id_ in taken or self.store.items([id_]):
            id_ = (id_ + 1) % (1 << 63)
        return id_

    def _vector(
        self, entry: Entry, donor: Item | None, fresh: dict[bytes, NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        """Return an entry's vector: equal bytes get equal vectors, to the last bit."""
        if donor is not None:
            return self.store.vectors([donor.id]).reshape(-1)
        if entry.digest not in fresh:
            if entry.vector is None:
                raise GalleryError(
                    "a photo that this one equals was taken out of the gallery meanwhile",
                    path=entry.path,
                    remedy="Run the command again",
                )
            fresh[entry.digest] = entry.vector
        return fresh[entry.digest]

    @staticmethod
    def _skip_name(root: Root, full: bytes) -> str:
        return f"skipped/{root.number}/{os.path.relpath(full, root.place).hex()}"

    def unchanged_skips(self, root: Root) -> dict[bytes, tuple[int, int]]:
        """Return the skipped files to try again only when they change: bytes and time by path."""
        prefix = f"skipped/{root.number}/"
        return {
            bytes.fromhex(name.removeprefix(prefix)): tuple(body["changed"])
            for name, body in self.store.documents(prefix).items()
            if body["changed"]
        }

    def forget_skipped(
        self, root: Root, *, keep: Collection[bytes], unseen: Collection[bytes]
    ) -> None:
        """Forget skipped files, but those at paths to `keep` or in folders that were not seen."""
        prefix = f"skipped/{root.number}/"
        folders = tuple(os.path.join(folder, b"") for folder in unseen)
        with self.store.transaction():
            for name in self.store.documents(prefix):
                path = bytes.fromhex(name.removeprefix(prefix))
                if path not in keep and not path.startswith(folders):
                    self.store.put_document(name, None)
