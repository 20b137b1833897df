"""Photos added by hand: one photo is copied into a gallery, and found from then on."""

import os
from dataclasses import dataclass

import numpy as np

from houndsight import images
from houndsight.embedder import Embedder
from houndsight.errors import FingerprintMismatch, InputError
from houndsight.gallery import Change, Entry, Gallery
from houndsight.labels import clean
from houndsight.listing import is_place
from houndsight.remote import absolute
from houndsight.types import Item, Vectors

__all__ = ["Added", "add_photo"]


@dataclass(frozen=True, slots=True)
class Added:
    """A photo that was added: its item, and the change by which `Gallery.undo` takes it out."""

    item: Item
    change: Change


def add_photo(
    gallery: Gallery,
    embedder: Embedder,
    photo: str | bytes | os.PathLike[str],
    *,
    label: str | None = None,
    vector: Vectors | None = None,
) -> Added:
    """Copy a photo into a gallery, also while another process is indexing.

    Indexing never takes it out. A photo that was added before and removed comes back, with its id
    and this label.

    Parameters
    ----------
    gallery
        Where it is to be found.
    embedder
        The gallery's embedder.
    photo
        The photo's file; it is not needed afterwards.
    label
        Its label, any text; none when None.
    vector
        The vector of the whole photo, (1, dim), where it is known; embedded here when None.

    Raises
    ------
    ImageError
        If the photo cannot be read.
    InputError
        If the gallery is in Milvus, a photo with the same bytes is in it, the label is empty, or
        `vector` is no finite vector (1, dim).
    FingerprintMismatch
        If embedder or vector are not the gallery's.
    GalleryError
        If the gallery cannot be written.
    """
    gallery.check_by_hand()
    gallery.check(embedder)
    if vector is not None:
        _check(gallery, vector)
    text = None if label is None else clean(label)
    if label is not None and text is None:
        raise InputError("the label is empty", remedy="Leave it out for a photo without a label")
    path = absolute(photo)
    if is_place(path):
        raise InputError(
            "is a folder, not a photo", path=path, remedy="Take in folders with houndsight index"
        )
    file = images.read(path)
    digest = file.digest
    gallery.check_new(path, digest)  # before what takes long; once more when it is stored
    decoded = images.decode(file.data, path=path, at_least=embedder.preprocessing.decode_at_least)
    if vector is None:
        vector = embedder.embed(decoded.image)
    name = f"{digest.hex()[:2]}/{digest.hex()}{images.extension(file.data, path=path)}"
    entry = Entry(
        path=os.fsencode(name),
        label=text,
        label_source=None if text is None else "user",
        digest=digest,
        size=len(file.data),
        mtime_ns=file.mtime_ns,
        width=decoded.width,
        height=decoded.height,
        thumbnail=images.thumbnail(decoded.image),
    )
    return Added(*gallery.add_by_hand(path, file.data, entry, vector.values[0]))


def _check(gallery: Gallery, vector: Vectors) -> None:
    if vector.fingerprint != gallery.fingerprint:
        raise FingerprintMismatch(
            "the vector was made with another model or other settings than the gallery",
            path=gallery.place,
            remedy="Leave it out, or embed the photo with gallery.embedder()",
        )
    if vector.values.shape != (1, gallery.settings["dim"]):
        raise InputError(
            f"the vector is {vector.values.shape}, not (1, {gallery.settings['dim']})",
            remedy="Leave it out, or give what Embedder.embed returns for the one photo",
        )
    if not np.isfinite(vector.values).all():
        raise InputError("the vector holds a value that is not finite")
