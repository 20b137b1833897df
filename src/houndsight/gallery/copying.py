"""A copy of a gallery in use, as it is between two commits."""

import os
from pathlib import Path

from houndsight.drafts import draft_folder
from houndsight.errors import DamagedGallery, GalleryError, unwritable
from houndsight.gallery.intake import BY_HAND
from houndsight.gallery.library import NETWORK, Gallery
from houndsight.gallery.underway import NAME
from houndsight.stores.layout import make_below, make_folder, sync_folder, write_file

__all__ = ["backup"]

TRIES = 5  # copies that are begun again, as photos in them were deleted meanwhile


def backup(gallery: Gallery, target: str | os.PathLike[str]) -> int:
    """Copy a gallery, also while other processes index into it or change it.

    The copy is a gallery as good as the other: items, vectors, labels, history, learned metrics,
    photos added by hand and the network, if it keeps one. Thumbnails and what makes searches quick
    are left out; they are made again. It is checked, and gets its name only when all is well and on
    the disk.

    Parameters
    ----------
    gallery
        Which.
    target
        The copy's folder, absent or empty.

    Returns
    -------
    int
        How many photos are in the copy.

    Raises
    ------
    InputError
        If there is something at the target, or it cannot be written.
    DamagedGallery
        If the gallery is damaged: a copy would be, too.
    """
    place = Path(target)
    try:
        make_folder(place.absolute().parent)
    except OSError as error:
        raise unwritable(place, error) from error
    with draft_folder(place) as draft:
        for left in reversed(range(TRIES)):
            if _copied(gallery, draft):
                break
            if not left:
                raise GalleryError(
                    "photos that were added by hand are deleted faster than they can be copied",
                    path=gallery.place,
                    remedy="Run the command again when houndsight compact is done",
                )
        with Gallery(draft) as copy:
            copy.record(NAME, None)  # nobody is indexing the copy
            damage, count = copy.verify(), len(copy)
        if damage:
            raise DamagedGallery(
                f"is damaged, so no copy was made: {damage[0]}",
                path=gallery.place,
                remedy="Run houndsight repair",
            )
        sync_folder(draft)
    sync_folder(place.absolute().parent)
    return count


def _copied(gallery: Gallery, draft: Path) -> bool:
    """Write a copy; return whether all photos that it names were there to be copied."""
    gallery.local().copy_to(draft)
    network = gallery.folder / NETWORK
    if network.exists():
        write_file(draft / NETWORK, network.read_bytes())
    with Gallery(draft) as copy:
        for item in copy.items():
            if item.root != BY_HAND:
                continue
            to = Path(os.fsdecode(copy.path_of(item)))
            try:
                content = Path(os.fsdecode(gallery.path_of(item))).read_bytes()
            except FileNotFoundError:
                # Deleted since by a compact; or it was missing before, as verify will say.
                if gallery.items([item.id]):
                    continue
                return False
            make_below(draft, to.parent)
            write_file(to, content)
            for folder in (to.parent, to.parent.parent):
                sync_folder(folder)
    return True
