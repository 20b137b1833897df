"""What goes wrong with a request: a status, a code for programs, the cause and the remedy."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.exceptions import HTTPException

from houndsight import errors

__all__ = ["Problem", "Refused", "problem_of"]


@dataclass(frozen=True, slots=True)
class Problem:
    """What a person or a program is told.

    Attributes
    ----------
    status
        The HTTP status.
    code
        A name that does not change, for programs.
    message
        What is wrong, naming what it is about.
    remedy
        What can be done about it, if there is anything.
    """

    status: int
    code: str
    message: str
    remedy: str | None = None


class Refused(HTTPException):
    """A request that is not answered as asked.

    An HTTPException, as FastAPI makes a nondescript one of all else that is raised while a body is
    read.

    Parameters
    ----------
    status, code, message, remedy
        As in `Problem`.
    """

    def __init__(self, status: int, code: str, message: str, remedy: str | None = None) -> None:
        super().__init__(status, message)
        self.problem = Problem(status, code, message, remedy)


# The first that fits counts: special errors before general ones. What can be done about it, where
# the error itself does not say.
_STATUS: tuple[tuple[type[errors.HoundsightError], int, str, str], ...] = (
    (errors.ImageError, 422, "unreadable_image", "Choose another photo, or another part of it"),
    (errors.InputError, 422, "invalid_input", "See /docs for what is taken"),
    (errors.WeightsUnavailable, 503, "weights_unavailable", "Run houndsight doctor"),
    (errors.ModelError, 503, "model_error", "Run houndsight doctor"),
    (errors.FingerprintMismatch, 409, "fingerprint_mismatch", "Start the server again"),
    (errors.GalleryBusy, 409, "gallery_busy", "Try again"),
    (errors.DamagedGallery, 500, "damaged_gallery", "Run houndsight verify"),
    (errors.GalleryError, 503, "gallery_error", "Run houndsight verify"),
    (errors.HoundsightError, 500, "error", "See the log"),
)


def problem_of(error: errors.HoundsightError) -> Problem:
    """Return what to say of an error of the library.

    The path it names is left out of what is said: on another machine it means nothing, and it is
    no visitor's business.
    """
    status, code, remedy = next(found[1:] for found in _STATUS if isinstance(error, found[0]))
    return Problem(status, code, error.cause, error.remedy or remedy)
