"""A part of a gallery as a gallery of its own: by labels, or a share of the photos."""

import os
from collections import defaultdict
from collections.abc import Collection, Sequence

import numpy as np

from houndsight.errors import InputError
from houndsight.gallery import Gallery, Taken, check_empty, made_whole, take
from houndsight.queries import known_labels
from houndsight.types import Item

__all__ = ["part_by_fraction", "part_by_labels", "split"]


def part_by_labels(gallery: Gallery, labels: Collection[str]) -> list[Item]:
    """Return the items that have one of these labels, by id.

    Raises
    ------
    InputError
        If no photo has one of the labels.
    """
    wanted = known_labels(gallery, labels)
    return [item for item in gallery.items() if item.label in wanted]


def part_by_fraction(gallery: Gallery, fraction: float, *, seed: int = 0) -> list[Item]:
    """Return a random share of the items, of each label alike, by id.

    Photos of equal bytes are on one side, so that what is learned from one part can be tried on the
    other. Of each label, and of photos without one, the share is rounded to whole photos, ties to
    even; a photo that has several labels counts for the first by alphabet.

    Parameters
    ----------
    gallery
        Which.
    fraction
        More than 0 and less than 1.
    seed
        Of the random numbers: equal seeds give equal parts of equal galleries.

    Raises
    ------
    InputError
        If the fraction is none.
    """
    if not 0 < fraction < 1:
        raise InputError(
            f"the fraction is {fraction}", remedy="Give a number between 0 and 1, such as 0.2"
        )
    items = gallery.items()
    label_of: dict[bytes, str] = {}
    for item in items:
        label = item.label or ""
        label_of[item.digest] = min(label, label_of.get(item.digest, label))
    by_label: defaultdict[str, list[bytes]] = defaultdict(list)
    for digest in sorted(label_of):
        by_label[label_of[digest]].append(digest)
    random = np.random.default_rng(seed)
    chosen: set[bytes] = set()
    for _, digests in sorted(by_label.items()):
        order = random.permutation(len(digests))
        chosen |= {digests[n] for n in order[: round(fraction * len(digests))]}
    return [item for item in items if item.digest in chosen]


def split(gallery: Gallery, place: str | os.PathLike[str], items: Sequence[Item]) -> int:
    """Copy some of a gallery's items into a new gallery; returns how many.

    They keep ids, labels and vectors; photos added by hand are copied. The gallery is not changed.
    Learned metrics, calibrations and the history are not taken along.

    Parameters
    ----------
    gallery
        Where they are.
    place
        The new gallery's folder, absent or empty.
    items
        Which, as `part_by_labels` and `part_by_fraction` return them; those of the rest make
        another gallery by a second call.

    Raises
    ------
    InputError
        If there are none.
    GalleryError
        If there is something at the place, or it cannot be written.
    """
    if not items:
        raise InputError("no photo would be in the new gallery", path=place)
    target = check_empty(place)
    wanted = {item.id: item for item in items}
    order = [id_ for id_ in gallery.ids().tolist() if id_ in wanted]
    taken = [Taken(wanted[id_], gallery, (gallery, id_)) for id_ in order]
    roots = gallery.document("roots")
    numbers = {str(item.root) for item in items}
    with made_whole(target, gallery) as made:
        take(made, taken, {number: body for number, body in roots.items() if number in numbers})
    return len(taken)
