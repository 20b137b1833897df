"""Several galleries into a new one: their items with their vectors, nothing embedded again."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from houndsight.errors import FingerprintMismatch, InputError, printable
from houndsight.fingerprint import differences
from houndsight.gallery import Gallery, Root, Taken, check_empty, inside, made_whole, take
from houndsight.gallery.intake import PHOTOS
from houndsight.stores.address import Address
from houndsight.types import Item, Where

__all__ = ["Conflict", "Merge", "merge", "planned_merge"]


@dataclass(frozen=True, slots=True)
class Conflict:
    """What galleries have of one photo or folder that cannot both be kept.

    Attributes
    ----------
    path
        The photo or the folder.
    what
        What each has, and which is taken; one sentence without a full stop.
    """

    path: bytes
    what: str


@dataclass(frozen=True, slots=True, eq=False)
class Merge:
    """What a merge takes, or would take.

    Attributes
    ----------
    items
        Photos of the new gallery.
    from_each
        How many of them come from each gallery, in the order in which they were named.
    twice
        Photos of which more than one gallery has the same bytes at the same path: taken once.
    conflicts
        What could not be kept of both.
    taken, roots
        What is copied; the new gallery's document of roots.
    """

    items: int
    from_each: tuple[int, ...]
    twice: int
    conflicts: tuple[Conflict, ...]
    taken: tuple[Taken, ...]
    roots: dict[str, Any]


def merge(galleries: Sequence[Gallery], place: str | os.PathLike[str]) -> Merge:
    """Put galleries together into a new one, of which no photo is embedded again.

    Items keep their ids (but where two have the same), labels and where these come from; folders
    and what was removed by hand stay known; photos added by hand are copied. Of the same bytes at
    the same path one is taken: with the label that a person gave, else with the first gallery's.
    Of other bytes at the same path the newer file is taken. Learned metrics, calibrations and the
    history are not taken along.

    Parameters
    ----------
    galleries
        Two or more, open, of one fingerprint; they are not changed.
    place
        The new gallery's folder, absent or empty.

    Raises
    ------
    FingerprintMismatch
        If their vectors cannot be compared.
    InputError
        If fewer than two galleries are given, or one of them twice.
    GalleryError
        If there is something at the place, or it cannot be written.
    """
    target = check_empty(place)
    plan = planned_merge(galleries)
    with made_whole(target, galleries[0]) as made:
        take(made, plan.taken, plan.roots)
    return plan


def planned_merge(galleries: Sequence[Gallery]) -> Merge:
    """Return what `merge` would do; nothing is written. It raises what that does of galleries."""
    _check(galleries)
    return _Merging(galleries).plan()


def _check(galleries: Sequence[Gallery]) -> None:
    if len(galleries) < 2:
        raise InputError("two galleries or more are needed", remedy="Name one more")
    seen: set[str] = set()
    for gallery in galleries:
        own = gallery.place
        place = own.key if isinstance(own, Address) else os.path.realpath(own)
        if place in seen:
            raise InputError("is named twice", path=gallery.place, remedy="Name it once")
        seen.add(place)
        if gallery.fingerprint != galleries[0].fingerprint:
            first = galleries[0]
            if gallery.foreign is not None or first.foreign is not None:
                raise FingerprintMismatch(
                    f"holds other vectors than {printable(first.place)}: those of "
                    f"{printable(gallery.model)}, not of {printable(first.model)}",
                    path=gallery.place,
                    remedy="Vectors made elsewhere can be merged with the very same only",
                )
            raise FingerprintMismatch(
                f"was made with other settings than {printable(first.place)}: "
                + differences(gallery.settings["made_of"], first.settings["made_of"]),
                path=gallery.place,
                remedy="Index the photos of one of them again with the settings of the other",
            )


class _Merging:
    """A merge while it is worked out: the first gallery has the first word."""

    def __init__(self, galleries: Sequence[Gallery]) -> None:
        self.galleries = galleries
        self.conflicts: list[Conflict] = []
        self.twice = 0
        self.roots = self._roots()
        # The place of each photo in the new gallery: root and path; the source's number and item.
        self.live: dict[tuple[int, bytes], tuple[int, Item]] = {}
        self.gone: dict[tuple[int, bytes, bytes], tuple[int, Item]] = {}
        self.vectors: dict[bytes, tuple[Gallery, int]] = {}

    def plan(self) -> Merge:
        for number, gallery in enumerate(self.galleries):
            homes = {root.number: self._homes(root) for root in gallery.roots()}
            there = {item.id: item for item in gallery.store.items()}
            for item in gallery.store.with_digests({item.digest for item in there.values()}):
                # Equal bytes get equal vectors, to the last bit, whatever galleries they come from.
                self.vectors.setdefault(item.digest, (gallery, item.id))
            order = gallery.ids(Where()).tolist()
            removed = [item for item in there.values() if item.removed == "user"]
            for item in (*(there[id_] for id_ in order), *removed):
                self._enter(number, _moved(item, homes.get(item.root, ())))
        taken = tuple(self._taken())
        live = [number for number, _ in self.live.values()]
        return Merge(
            items=len(live),
            from_each=tuple(live.count(number) for number in range(len(self.galleries))),
            twice=self.twice,
            conflicts=tuple(self.conflicts),
            taken=taken,
            roots={
                str(root.number): {"place": os.fsdecode(root.place), "labels": root.labels}
                for root in self.roots.values()
            },
        )

    def _roots(self) -> dict[str, Root]:
        """Return the new gallery's roots by their real places; the first gallery's names count."""
        roots: dict[str, Root] = {}
        for gallery in self.galleries:
            for root in gallery.roots():
                real = os.path.realpath(os.fsdecode(root.place))
                known = roots.setdefault(real, replace(root, number=len(roots) + 1))
                if known.labels != root.labels:
                    what = f"has its labels from {known.labels} and from {root.labels}"
                    self.conflicts.append(Conflict(root.place, f"{what}: {known.labels} is taken"))
        return roots

    def _homes(self, root: Root) -> tuple[tuple[bytes, Root], ...]:
        """Return the new roots in which a root's photos may be, with where, the innermost first.

        A root inside another has its photos for itself, as when it is indexed.
        """
        own = self.roots[os.path.realpath(os.fsdecode(root.place))]
        within = [
            (os.path.join(os.path.relpath(other.place, own.place), b""), other)
            for other in self.roots.values()
            if other is not own and inside(other.place, own.place)
        ]
        return (*sorted(within, key=lambda pair: -len(pair[0])), (b"", own))

    def _enter(self, number: int, item: Item) -> None:
        if item.removed is not None:
            self.gone.setdefault((item.root, item.path, item.digest), (number, item))
            return
        key = (item.root, item.path)
        if key not in self.live:
            self.live[key] = (number, item)
            return
        chosen, other = self.live[key], (number, item)
        if chosen[1].digest == item.digest:
            self.twice += 1
        else:
            if item.mtime_ns > chosen[1].mtime_ns:
                chosen, other = other, chosen
            newer = printable(self.galleries[chosen[0]].place)
            self._tell(item, f"has other bytes in each gallery: the newer, of {newer}, is taken")
        self.live[key] = (chosen[0], self._labelled(chosen[1], other[1]))

    def _labelled(self, kept: Item, other: Item) -> Item:
        """Return an item with the label that a person gave in one gallery or the other."""
        by_user = [one for one in (kept, other) if one.label_source == "user"]
        label = (by_user or [kept])[0]
        if kept.label != other.label and len(by_user) != 1:
            names = [printable(one.label or "none") for one in (kept, other)]
            self._tell(kept, f"has the labels {names[0]} and {names[1]}: {names[0]} is taken")
        return replace(kept, label=label.label, label_source=label.label_source)

    def _tell(self, item: Item, what: str) -> None:
        """Put a conflict on record, with where the photo is (one added by hand: in no folder)."""
        places = {root.number: root.place for root in self.roots.values()}
        path = os.path.join(places.get(item.root, os.fsencode(PHOTOS)), item.path)
        self.conflicts.append(Conflict(path, what))

    def _taken(self) -> Iterator[Taken]:
        used: set[int] = set()
        for number, item in (*self.live.values(), *self._still_gone()):
            id_ = item.id
            while id_ in used:
                id_ = (id_ + 1) % (1 << 63)
            used.add(id_)
            source = self.galleries[number]
            yield Taken(replace(item, id=id_), source, self.vectors.get(item.digest))

    def _still_gone(self) -> Iterator[tuple[int, Item]]:
        """Yield what was removed by hand and is in no other gallery."""
        for (root, path, digest), (number, item) in self.gone.items():
            there = self.live.get((root, path))
            if there is None or there[1].digest != digest:
                yield number, item
            else:
                name = printable(self.galleries[number].place)
                self._tell(item, f"was removed by hand from {name} alone: it is taken")


def _moved(item: Item, homes: Sequence[tuple[bytes, Root]]) -> Item:
    """Return an item as it is called in the new gallery; those added by hand keep their place."""
    for folder, root in homes:
        if item.path.startswith(folder):
            return replace(item, root=root.number, path=item.path[len(folder) :])
    return item
