"""What a network has seen before: the data that it was trained on, and photos that come from it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from houndsight.gallery import Gallery
from houndsight.models.spec import CATALOGUE

__all__ = ["imagenet_names", "trained_on"]

# n02088094_1186.JPEG: a WordNet number and one of the photo, in ImageNet's training set and in
# Stanford Dogs, which was taken from it (Khosla et al., FGVC workshop at CVPR 2011).
_IMAGENET = re.compile(rb"(n\d{8}_\d+|ILSVRC2012_(train|val|test)_\d{8}.*)\.jpe?g", re.IGNORECASE)


def trained_on(gallery: Gallery) -> str | None:
    """Return what a gallery's network was trained on; None where that is not on record."""
    if gallery.settings["weights_file"] or gallery.model not in CATALOGUE:
        return None
    return CATALOGUE[gallery.model].trained_on


def imagenet_names(paths: Iterable[bytes]) -> int:
    """Return how many photos have names as ImageNet gives them."""
    return sum(_IMAGENET.fullmatch(os.path.basename(path)) is not None for path in paths)
