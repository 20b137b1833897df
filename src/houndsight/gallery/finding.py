"""Photos in folders and archives, but not those that galleries keep."""

import os

from houndsight.errors import InputError
from houndsight.listing import Listing, Members, Scan, find, scan
from houndsight.stores.layout import CATALOGUE

__all__ = ["GALLERY_MARK", "find_photos"]

# A folder that holds a file of this name is a gallery.
GALLERY_MARK = os.fsencode(CATALOGUE)


def find_photos(place: bytes, *, scan: Scan = scan, members: Members | None = None) -> Listing:
    """Find the photos below a folder or in an archive, without those that galleries keep.

    `scan` looks into folders, `members` lists an address, as for `houndsight.listing.find`.

    Raises
    ------
    InputError
        If there is no such folder or archive, or it is a gallery itself.
    """
    if os.path.isfile(os.path.join(place, GALLERY_MARK)):
        raise InputError(
            "is a gallery, not a folder of photos",
            path=place,
            remedy="Name photos here, and the gallery with -g",
        )
    return find(place, leave_out_with=GALLERY_MARK, scan=scan, members=members)
