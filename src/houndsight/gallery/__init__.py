"""The one way in and out of a store."""

import os

from houndsight.gallery.history import Change
from houndsight.gallery.intake import Entry, Root, first_id, inside
from houndsight.gallery.library import Gallery
from houndsight.gallery.underway import Underway
from houndsight.stores.layout import CATALOGUE

__all__ = ["GALLERY_MARK", "Change", "Entry", "Gallery", "Root", "Underway", "first_id", "inside"]

# A folder that holds a file of this name is a gallery.
GALLERY_MARK = os.fsencode(CATALOGUE)
