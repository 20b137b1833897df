"""Photos found with the help of a cluster: its nodes look into folders and list addresses."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from houndsight import remote
from houndsight.cluster.faults import reported
from houndsight.cluster.folders import (
    Entries,
    entries_read,
    entries_told,
    look_into,
    members_read,
    members_told,
    of_each,
)
from houndsight.errors import InputError
from houndsight.gallery import GALLERY_MARK, find_photos
from houndsight.listing import Entry, Listing, Scan, scan
from houndsight.types import Found

__all__ = ["SHARE", "Finder"]

# Folders that are looked into together; fewer than two times as many are not worth asking others.
FOLDERS = 16
# Of a CPU, for each worker. The rest is room for what Ray has to do on the node: without it, what
# was lost with another node is never made again.
SHARE = 0.8

T = TypeVar("T")


class Finder:
    """Finds photos with the nodes of the cluster that Ray is connected to."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray

    def find(self, place: bytes) -> Listing:
        """Return what `find_photos` does."""
        if remote.is_address(place):
            return find_photos(place, members=self.members)
        return find_photos(place, scan=self.scan(place))

    def members(self, root: bytes) -> list[Found]:
        """Return the files below an address, as `remote.members` does.

        Folder by folder down to where there are some dozens; what is below these the nodes list.
        """
        found, folders = remote.level(root)
        while 0 < len(folders) < 2 * FOLDERS:
            deeper = []
            for folder in folders:
                with _unless_gone():
                    files, inner = remote.level(os.path.join(root, folder))
                    found += _below(folder, files)
                    deeper += [os.path.join(folder, name) for name in inner]
            folders = deeper
        if folders:
            places = {os.path.join(root, folder): folder for folder in folders}
            there = self._on_nodes(list(places), members_told, members_read)
            for place, folder in places.items():
                files = there.get(place) or []
                if not files:  # a node may lack a right, or a package, that this machine has
                    with _unless_gone():
                        files = remote.members(place)
                found += _below(folder, files)
        return found

    def scan(self, root: bytes) -> Scan:
        """Return what looks into folders: into a root and those below on the cluster, beforehand.

        All folders of a depth at once, where there are some dozens of them; links are not followed,
        nor is there a look at what galleries keep.
        """
        known: dict[bytes, Entries] = {}
        level = [root]
        while level:
            many = len(level) >= 2 * FOLDERS
            found = self._looked_into(level) if many else {one: look_into(one) for one in level}
            known |= found
            level = [
                os.path.join(folder, entry.name)
                for folder, entries in found.items()
                if not isinstance(entries, OSError)
                and all(entry.name != GALLERY_MARK for entry in entries)
                for entry in entries
                if entry.is_folder
            ]

        def look(folder: bytes) -> Sequence[Entry]:
            found = known.pop(folder, None)
            # Where a node could not look, or saw nothing, a drive may be away there: photos are
            # gone only when this machine says so.
            return found if found and not isinstance(found, OSError) else scan(folder)

        return look

    def _looked_into(self, folders: list[bytes]) -> dict[bytes, Entries]:
        return self._on_nodes(folders, entries_told, entries_read)

    def _on_nodes(
        self,
        folders: list[bytes],
        tell: Callable[[bytes], str],
        read: Callable[[str], T],
    ) -> dict[bytes, T]:
        """Let nodes tell something of folders, some at a time; `read` makes of it what was told."""
        data = self._ray.data
        data.DataContext.get_current().enable_progress_bars = False
        count = -(-len(folders) // FOLDERS)
        blocks = data.from_items(
            [{"folder": folder} for folder in folders], override_num_blocks=count
        ).map_batches(partial(of_each, tell), batch_size=FOLDERS, num_cpus=SHARE)
        found: dict[bytes, T] = {}
        with reported():
            for block in blocks.iter_batches(batch_size=None, batch_format="numpy"):
                told = zip(block["folder"], block["told"], strict=True)
                found |= {bytes(folder): read(text) for folder, text in told}
        return found


@contextmanager
def _unless_gone() -> Generator[None]:
    """Let be what is no more at an address since it was seen there."""
    try:
        yield
    except InputError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise


def _below(folder: bytes, found: list[Found]) -> list[Found]:
    """Return files below a folder as they are below the root."""
    return [replace(one, path=os.path.join(folder, one.path)) for one in found]
