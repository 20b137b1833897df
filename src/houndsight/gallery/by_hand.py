"""Photos added by hand: copied into a folder of the gallery, which indexing never touches."""

import contextlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from houndsight import images
from houndsight.errors import GalleryError, ImageError, InputError, printable
from houndsight.gallery.history import Change, History
from houndsight.gallery.intake import BY_HAND, PHOTOS, Entry, Intake
from houndsight.stores.layout import make_below, sync_folder, write_file
from houndsight.types import Item

__all__ = ["ByHand"]

# What is deleted there has such a name: somebody may have put other things into the folder.
_OURS = re.compile(r"([0-9a-f]{2})/\1[0-9a-f]{62}\.[a-z]+")
DRAFT = ".draft"
ABANDONED_S = 3600.0  # so old is only the draft of a process that was killed


class ByHand(Intake, History):
    """The part of a gallery that takes in photos by hand, one by one.

    They belong to root 0. An item's path there follows from the photo's bytes alone.
    """

    def check_by_hand(self) -> None:
        """Raise InputError if photos cannot be added by hand, as the gallery is no folder."""
        if not isinstance(self.place, Path):
            raise InputError(
                "is in Milvus, which keeps no photos, so none can be added by hand",
                path=self.place,
                remedy="Put photos into a folder that all machines see, and index that",
            )

    def check_new(self, photo: bytes, digest: bytes) -> None:
        """Raise InputError if a photo with these bytes is in the gallery."""
        for item in self.store.with_digests([digest]):
            if item.removed is None:
                raise InputError(
                    f"is in the gallery already as {printable(self.path_of(item))}, {item.key}",
                    path=photo,
                    remedy="Label that one instead",
                )

    def add_by_hand(
        self, photo: bytes, data: bytes, entry: Entry, vector: NDArray[np.float32]
    ) -> tuple[Item, Change]:
        """Take a photo in, all or nothing; durable once this returns. `add_photo` calls this.

        An item of the same bytes that was removed before comes back, with this label.

        Parameters
        ----------
        photo
            Where it comes from; named in errors.
        data
            The file's bytes.
        entry
            What is to be known of it; the path as in `houndsight.adding`.
        vector
            float32 (dim,).

        Raises
        ------
        InputError
            If a photo with these bytes is in the gallery.
        GalleryError
            If it cannot be written.
        """
        file = Path(os.fsdecode(self.by_hand.place)) / os.fsdecode(entry.path)
        try:
            # The bytes go to the disk before the transaction, in which others wait.
            with self._copied(data, file) as put_in_place:
                if entry.thumbnail is not None:
                    self.keep_thumbnail(entry.digest, entry.thumbnail)
                with self.store.transaction():
                    self.check_new(photo, entry.digest)
                    # Not before: compact deletes what no item names. A crash from here to the
                    # commit leaves such a file, which is no harm.
                    put_in_place()
                    return self._enter(entry, vector)
        except OSError as error:
            raise GalleryError(
                f"cannot be written: {error.strerror}; the photo was not added",
                path=file,
                remedy="Check the space and the rights there",
            ) from error

    @contextlib.contextmanager
    def _copied(self, data: bytes, file: Path) -> Iterator[Callable[[], None]]:
        """Write a photo's bytes under another name; what is yielded gives the copy its own."""
        folder = file.parent.parent
        mine = f"{os.getpid()}-{threading.get_ident()}"
        draft = folder / f".{file.stem}-{mine}{DRAFT}"

        def put_in_place() -> None:
            draft.replace(file)
            for changed in (file.parent, folder, self.folder):
                sync_folder(changed)

        try:
            make_below(folder.parent, file.parent)
            write_file(draft, data)
            yield put_in_place
        finally:
            with contextlib.suppress(OSError):
                draft.unlink()

    def _enter(self, entry: Entry, vector: NDArray[np.float32]) -> tuple[Item, Change]:
        known = self.store.at(BY_HAND, [entry.path])
        item = Item(
            id=known[0].id if known else self._free_id(entry),
            root=BY_HAND,
            path=entry.path,
            label=entry.label,
            label_source=entry.label_source,
            digest=entry.digest,
            size=entry.size,
            mtime_ns=entry.mtime_ns,
            width=entry.width,
            height=entry.height,
            removed="user",
        )
        # Equal bytes get equal vectors, to the last bit.
        equal = [one.id for one in self.store.with_digests([entry.digest])]
        if equal:
            vector = self.store.vectors(equal[:1])[0]
        # First as one that was removed: that is what undo leads back to.
        self.store.put([item], {} if item.id in equal else {item.id: vector})
        change = self._change("add", "user", {item: {"removed": None}})
        return replace(item, removed=None), change

    def _delete_photos(self) -> int:
        """Delete copies of photos whose items are gone for good; returns bytes gained."""
        folder = Path(os.fsdecode(self.by_hand.place))
        gained = 0
        # In a transaction, so that no photo comes in meanwhile.
        with self.store.transaction():
            digests = {item.digest for item in self.store.items() if item.root == BY_HAND}
            # Those that are there, and removed ones that can come back: their vector is there.
            kept = {
                os.fsdecode(item.path)
                for item in self.store.with_digests(digests)
                if item.root == BY_HAND
            }
            gone = [
                path
                for path in folder.glob("*/*")
                if (name := f"{path.parent.name}/{path.name}") not in kept and _OURS.fullmatch(name)
            ]
            for path in (*gone, *folder.glob(f".*{DRAFT}")):
                with contextlib.suppress(OSError):
                    state = path.stat()
                    if path.suffix == DRAFT and time.time() - state.st_mtime < ABANDONED_S:
                        continue
                    self._delete(path)
                    gained += state.st_size
        return gained

    def _delete(self, path: Path) -> None:
        path.unlink()

    def _damaged_photos(self) -> Iterator[str]:
        """Say which copies of photos are gone or have other bytes."""
        for item in self.store.items():
            if item.root == BY_HAND and item.removed is None:
                try:
                    same = images.read(self.path_of(item)).digest == item.digest
                    cause = None if same else "is not the photo that was added"
                except ImageError as error:
                    cause = error.cause
                if cause is not None:
                    yield f"{PHOTOS}/{os.fsdecode(item.path)}: {cause}"
