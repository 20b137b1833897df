"""Everything that houndsight raises on purpose.

HoundsightError                 names the file, the cause and the remedy
├── InputError                  an argument, folder or file that cannot be used as asked
├── ImageError                  a photo that cannot be read
├── ModelError                  a network that cannot be built
│   ├── CheckpointError         a weights file that is damaged, foreign or refused
│   └── WeightsUnavailable      weights that are not on this machine and cannot be fetched
├── ClusterError                a Ray cluster that cannot be reached, or fails
└── GalleryError                a gallery that cannot be used as asked
    ├── NotAGallery             the folder is no gallery
    ├── NewerFormat             made by a newer houndsight
    ├── FingerprintMismatch     vectors of another embedder
    ├── GalleryBusy             another process is adding photos
    └── DamagedGallery          what is stored is not what was written
"""

import os
from typing import TypeAlias

__all__ = [
    "CheckpointError",
    "ClusterError",
    "DamagedGallery",
    "FingerprintMismatch",
    "GalleryBusy",
    "GalleryError",
    "HoundsightError",
    "ImageError",
    "InputError",
    "ModelError",
    "NewerFormat",
    "NotAGallery",
    "WeightsUnavailable",
    "counted",
    "printable",
    "unwritable",
]

AnyPath: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]


def printable(path: AnyPath) -> str:
    """Return a file name that is safe to show on one line of a terminal.

    Control characters (a newline, an escape sequence) and bytes that are not UTF-8 are written as
    backslash escapes, so that no file name can break a line, a table or the terminal.
    """
    text = os.fsdecode(path)
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def counted(count: int, noun: str) -> str:
    """Return how many there are, in words: ``1 photo``, ``2,000 photos``, ``3 queries``."""
    if count != 1:
        noun = f"{noun[:-1]}ies" if noun.endswith("ry") else f"{noun}s"
    return f"{count:,} {noun}"


class HoundsightError(Exception):
    """Base of all errors raised on purpose.

    Parameters
    ----------
    cause
        What is wrong, one sentence without a full stop.
    path
        The file or folder it is about, if any.
    remedy
        What the person can do about it, one sentence without a full stop, if there is anything.
    """

    def __init__(
        self, cause: str, *, path: AnyPath | None = None, remedy: str | None = None
    ) -> None:
        self.cause = cause
        self.path = path
        self.remedy = remedy
        message = cause if path is None else f"{printable(path)}: {cause}"
        super().__init__(message if remedy is None else f"{message}. {remedy}")

    @property
    def reason(self) -> str:
        """What is wrong and what to do, for where the file is named already."""
        return self.cause if self.remedy is None else f"{self.cause}. {self.remedy}"


class InputError(HoundsightError):
    """An argument, folder or file that cannot be used as asked."""


def unwritable(path: AnyPath, error: Exception) -> InputError:
    """Return what to raise for a file or folder that cannot be written, for the system's reason."""
    return InputError(
        f"cannot be written: {getattr(error, 'strerror', None) or error}",
        path=path,
        remedy="Name one in a folder that can be written",
    )


class ImageError(HoundsightError):
    """A photo that cannot be read."""


class ModelError(HoundsightError):
    """A network that cannot be built."""


class CheckpointError(ModelError):
    """A weights file that is damaged, of a foreign layout, or refused for what it contains."""


class WeightsUnavailable(ModelError):
    """Weights that are not on this machine and cannot be fetched."""


class GalleryError(HoundsightError):
    """A gallery that cannot be used as asked."""


class NotAGallery(GalleryError):
    """The folder is no gallery."""


class NewerFormat(GalleryError):
    """The gallery was made by a newer houndsight."""


class FingerprintMismatch(GalleryError):
    """Vectors made by another embedder than the gallery's."""


class GalleryBusy(GalleryError):
    """Another process is adding photos to the gallery."""


class ClusterError(HoundsightError):
    """A Ray cluster cannot be reached, or has no room, or failed in the midst."""


class DamagedGallery(GalleryError):
    """What is stored is not what was written."""
