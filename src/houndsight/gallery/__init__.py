"""The one way in and out of a store."""

from houndsight.gallery.copying import backup
from houndsight.gallery.finding import GALLERY_MARK, find_photos
from houndsight.gallery.history import Change
from houndsight.gallery.intake import Entry, Root, first_id, inside
from houndsight.gallery.library import Gallery
from houndsight.gallery.rehearsal import Difference, Rehearsal, blind
from houndsight.gallery.transfer import Taken, check_empty, made_whole, take
from houndsight.gallery.underway import Underway

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
    "backup",
    "blind",
    "check_empty",
    "find_photos",
    "first_id",
    "inside",
    "made_whole",
    "take",
]
