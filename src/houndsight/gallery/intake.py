"""The one way in: photos with their vectors become items, batch by batch, all or nothing."""

import contextlib
import hashlib
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from houndsight.errors import GalleryError, InputError, printable
from houndsight.gallery.documents import Documented, understood
from houndsight.remote import is_address
from houndsight.types import Item, Skipped

__all__ = ["BY_HAND", "PHOTOS", "Entry", "Intake", "Root", "first_id", "inside"]

# The root of photos added by hand, and its folder in the gallery.
BY_HAND, PHOTOS = 0, "photos"


@dataclass(frozen=True, slots=True)
class Root:
    """An indexed folder: its number (from 1), its place, and where its labels come from.

    Number 0 is the gallery's own folder of photos added by hand.
    """

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


def first_id(path: bytes, digest: bytes) -> int:
    """Return the id of a new item at a path of its root, unless that is taken."""
    return int.from_bytes(hashlib.sha256(path + b"\0" + digest).digest()[:8], "big") >> 1


def inside(place: bytes, folder: bytes) -> bool:
    """Return whether a place is a folder or lies in it, whatever links lead there."""
    if is_address(place) or is_address(folder):
        return os.path.join(place, b"").startswith(os.path.join(folder, b""))
    real, above = os.path.realpath(place), os.path.realpath(folder)
    return os.path.commonpath([real, above]) == above


class Intake(Documented):
    """The part of a gallery that takes photos in."""

    folder: Path

    def keep_thumbnail(self, digest: bytes, picture: bytes) -> None:
        """Keep the thumbnail of a photo of these bytes, a JPEG, where that can be written."""
        raise NotImplementedError

    def roots(self) -> list[Root]:
        """Return the indexed folders."""
        with understood(self.place, "its folders"):
            known = self.document("roots")
            return [
                Root(int(number), os.fsencode(root["place"]), str(root["labels"]))
                for number, root in sorted(known.items(), key=lambda pair: int(pair[0]))
            ]

    @property
    def by_hand(self) -> Root:
        """The root of photos added by hand; in the gallery's folder, so that it moves with it."""
        return Root(BY_HAND, os.path.abspath(os.fsencode(self.folder / PHOTOS)), "none")

    def places(self) -> dict[int, bytes]:
        """Return where the photos of every root are, by its number; of those added by hand too."""
        return {root.number: root.place for root in (self.by_hand, *self.roots())}

    def path_of(self, item: Item) -> bytes:
        """Return where an item's photo is, or was when its root was last indexed."""
        with understood(self.place, "its folders"):
            return os.path.join(self.places()[item.root], item.path)

    def root(self, place: bytes, labels: str | None) -> Root:
        """Return the root at a place, made if need be.

        `labels` becomes its rule for labels; None leaves the rule (``folder`` for a new root).

        Raises
        ------
        InputError
            If the place lies inside another root, or among the photos added by hand, which it
            would double.
        """
        if inside(place, self.by_hand.place):
            raise InputError(
                "holds photos that were added by hand, which are in the gallery already",
                path=place,
                remedy="Index a folder of your own",
            )
        with self.store.transaction():
            known = self.document("roots")
            number = self.known_root(place)
            if number is None:
                for root in self.roots():
                    if inside(place, root.place):
                        raise InputError(
                            f"lies inside {printable(root.place)}, which is indexed already",
                            path=place,
                            remedy="Index that folder again: it takes in what is new",
                        )
                number = max(map(int, known), default=0) + 1
                known[str(number)] = {"place": os.fsdecode(place), "labels": "folder"}
            root = known[str(number)]
            root["labels"] = labels or root["labels"]
            self.store.put_document("roots", known)
            return Root(number, os.fsencode(root["place"]), root["labels"])

    def known_place(self, place: bytes) -> bytes:
        """Return the name under which a folder is a root, or the name given if it is none."""
        number = self.known_root(place)
        return next((root.place for root in self.roots() if root.number == number), place)

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
        loose: Mapping[int, tuple[bytes, bytes]] | None = None,
        restore: bool = False,
        retry: Mapping[bytes, tuple[int, int]] | None = None,
    ) -> list[str]:
        """Take in a batch of photos, all or nothing; durable once this returns.

        A photo is known by its bytes first and by its path second, so that an id and a user's label
        stay with the photo when files change names.

        Parameters
        ----------
        root
            The root they belong to.
        batch
            Entries with paths relative to the root; Skipped with full paths.
        loose
            Path and digest of items whose file is gone or has other bytes now, by id: they may be
            found under another path. One that has another path or digest by now is loose no more.
        restore
            Whether what the user removed is to come back.
        retry
            For Skipped that are to be tried again only when they change: bytes and time of last
            change by full path.

        Returns
        -------
        list of str
            What has happened to each, in the order of the batch: ``new``, ``changed``, ``renamed``,
            ``unchanged``, ``left out`` (removed by the user) or ``skipped``.
        """
        entries = [entry for entry in batch if isinstance(entry, Entry)]
        for entry in entries:
            if entry.thumbnail is not None:
                self.keep_thumbnail(entry.digest, entry.thumbnail)
        with self.store.transaction():
            # Equal bytes get equal vectors, to the last bit; set aside before anything is changed.
            equal = {i.digest: i for i in self.store.with_digests({e.digest for e in entries})}
            stored = self.store.vectors([item.id for item in equal.values()])
            known = dict(zip(equal, stored, strict=True))
            # What is asked for each of them below, once for all: a store may be far away.
            self.store.with_digests({entry.digest for entry in entries}, given_up=True)
            self.store.at(root.number, [entry.path for entry in entries])
            self.store.items([first_id(entry.path, entry.digest) for entry in entries])
            kinds = []
            for one in batch:
                if isinstance(one, Skipped):
                    body = {"reason": one.reason, "changed": (retry or {}).get(one.path)}
                    name = self._skip_name(root, os.path.relpath(one.path, root.place))
                    self.store.put_document(name, body)
                    kinds.append("skipped")
                    continue
                twin = equal.get(one.digest)
                size = (twin.width, twin.height) if twin else (one.width, one.height)
                vector = known.setdefault(one.digest, one.vector)
                kinds.append(self._take_in(root, one, size, vector, loose or {}, restore=restore))
        return kinds

    def _take_in(
        self,
        root: Root,
        entry: Entry,
        size: tuple[int, int],
        vector: NDArray[np.float32] | None,
        loose: Mapping[int, tuple[bytes, bytes]],
        *,
        restore: bool,
    ) -> str:
        """Write one photo's item; return what has happened to the photo."""
        at_path = self.store.at(root.number, [entry.path])
        here = next((item for item in at_path if item.removed is None), None)
        kind, item = "unchanged", here
        if here is None or here.digest != entry.digest:
            item = self._same_photo(root, entry, loose)
            if item is None:
                kind, item = ("new" if here is None else "changed"), here
            else:
                # One that another took the path from a moment ago was there, too.
                there = item.removed is None or (item.removed == "index" and item.id in loose)
                kind = "renamed" if there else "new"
                if item.removed == "user" and not restore:
                    kind = "left out"
                if here is not None:
                    # Its own photo may be found elsewhere later; until then it has no path.
                    self.store.put([replace(here, removed="index")], {})
        if item is None:
            item = Item(self._free_id(entry), root.number, b"", None, None, b"", 0, 0, 0, 0)
        by_user = item.label_source == "user"
        made = replace(
            item,
            path=entry.path,
            label=item.label if by_user else entry.label,
            label_source="user" if by_user else entry.label_source,
            digest=entry.digest,
            size=entry.size,
            mtime_ns=entry.mtime_ns,
            width=size[0],
            height=size[1],
            removed="user" if kind == "left out" else None,
        )
        # What a person removed, and takes back, may have given up its vector.
        comes_back = item.removed == "user" and made.removed is None
        if item.digest == entry.digest and not comes_back:
            self.store.put([made], {})
        elif vector is not None:
            self.store.put([made], {made.id: vector})
        else:
            raise GalleryError(
                "a photo that this one equals was taken out of the gallery meanwhile",
                path=os.path.join(root.place, entry.path),
                remedy="Run the command again",
            )
        self.store.put_document(self._skip_name(root, entry.path), None)
        return kind

    def take_over(
        self,
        items: Sequence[Item],
        vectors: NDArray[np.float32],
        thumbnails: Sequence[bytes | None],
    ) -> None:
        """Take in items with ids, vectors (n, dim) and thumbnails that they have already.

        All or nothing. Only for a gallery into which nobody else puts photos: nothing is compared
        with what is there.
        """
        for item, thumbnail in zip(items, thumbnails, strict=True):
            if thumbnail is not None:
                self.keep_thumbnail(item.digest, thumbnail)
        with self.store.transaction():
            of = zip(items, vectors, strict=True)
            self.store.put(items, {item.id: vector for item, vector in of})

    def touch(self, files: Mapping[int, tuple[int, int]]) -> None:
        """Put size and time of last change of items' files on record, by id."""
        with self.store.transaction():
            items = self.store.items(files)
            self.store.put(
                [replace(i, size=files[i.id][0], mtime_ns=files[i.id][1]) for i in items], {}
            )

    def _same_photo(
        self, root: Root, entry: Entry, loose: Mapping[int, tuple[bytes, bytes]]
    ) -> Item | None:
        """Return the root's item that has these bytes and no file of its own any more."""
        found = [
            item
            for item in self.store.with_digests([entry.digest], given_up=True)
            if item.root == root.number
            and (
                loose.get(item.id) == (item.path, item.digest)
                or item.removed == "index"
                or (item.removed == "user" and item.path == entry.path)
            )
        ]
        order = {None: 0, "index": 1, "user": 2}
        return min(
            found,
            key=lambda item: (order[item.removed], item.path != entry.path, item.id),
            default=None,
        )

    def _free_id(self, entry: Entry) -> int:
        id_ = first_id(entry.path, entry.digest)
        while self.store.items([id_]):
            id_ = (id_ + 1) % (1 << 63)
        return id_

    @staticmethod
    def _skip_name(root: Root, path: bytes) -> str:
        """Return the name of the document of a file at a path of a root that was skipped."""
        return f"skipped/{root.number}/{os.path.normpath(path).hex()}"

    def unchanged_skips(self, root: Root) -> dict[bytes, tuple[int, int]]:
        """Return the skipped files to try again only when they change: bytes and time by path."""
        prefix = f"skipped/{root.number}/"
        with understood(self.place, "skipped files"):
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
