"""The one way in and out of a store."""

import os

from houndsight.gallery.history import Change
from houndsight.gallery.intake import Entry, Root, first_id, inside
from houndsight.gallery.library import Gallery
from houndsight.gallery.rehearsal import Difference, Rehearsal, blind
from houndsight.gallery.transfer import Taken, check_empty, made_whole, take
from houndsight.gallery.underway import Underway
from houndsight.stores.layout import CATALOGUE

__all__ = [
    "GALLERY_MARK",
    "Change",
    "Difference",
    "Entry",
    "Gallery",
    "Rehearsal",
    "Root",
    "Taken",
    "Underway",
    "blind",
    "check_empty",
    "first_id",
    "inside",
    "made_whole",
    "take",
]

# A folder that holds a file of this name is a gallery.
GALLERY_MARK = os.fsencode(CATALOGUE)
