"""The one way in and out of a store."""

from houndsight.gallery.copied import Unfinished
from houndsight.gallery.copying import backup
from houndsight.gallery.finding import GALLERY_MARK, find_photos
from houndsight.gallery.history import Change
from houndsight.gallery.intake import Entry, Root, first_id, inside
from houndsight.gallery.library import Gallery
from houndsight.gallery.rehearsal import Difference, Rehearsal, blind
from houndsight.gallery.transfer import Taken, as_folder, check_empty, copy_photo, made_whole, take
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
    "Unfinished",
    "as_folder",
    "backup",
    "blind",
    "check_empty",
    "copy_photo",
    "find_photos",
    "first_id",
    "inside",
    "made_whole",
    "take",
]
