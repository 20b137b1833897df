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


# The first that fits counts: special errors before general ones.
_STATUS: tuple[tuple[type[errors.HoundsightError], int, str], ...] = (
    (errors.ImageError, 422, "unreadable_image"),
    (errors.InputError, 422, "invalid_input"),
    (errors.WeightsUnavailable, 503, "weights_unavailable"),
    (errors.ModelError, 503, "model_error"),
    (errors.FingerprintMismatch, 409, "fingerprint_mismatch"),
    (errors.GalleryBusy, 409, "gallery_busy"),
    (errors.DamagedGallery, 500, "damaged_gallery"),
    (errors.GalleryError, 503, "gallery_error"),
    (errors.HoundsightError, 500, "error"),
)


def problem_of(error: errors.HoundsightError) -> Problem:
    """Return what to say of an error of the library.

    The path it names is left out of what is said: on another machine it means nothing, and it is
    no visitor's business.
    """
    status, code = next((status, code) for kind, status, code in _STATUS if isinstance(error, kind))
    return Problem(status, code, error.cause, error.remedy)
