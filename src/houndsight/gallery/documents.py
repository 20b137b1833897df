"""Documents of a gallery that may say anything: it may be damaged, or somebody else's."""

import contextlib
from collections.abc import Iterator
from typing import Any

from houndsight.errors import DamagedGallery
from houndsight.stores.address import Place

__all__ = ["sound", "understood"]


@contextlib.contextmanager
def understood(place: Place, what: str) -> Iterator[None]:
    """Raise DamagedGallery where what is done inside cannot make sense of a document."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise DamagedGallery(
            f"what it has on record of {what} cannot be understood",
            path=place,
            remedy="Restore it from a backup, or index the photos into a new gallery",
        ) from error


def sound(settings: Any) -> bool:
    """Return whether settings have what every gallery's have (see `Embedder.settings`)."""
    try:
        made_of = settings["made_of"]
        return (
            all(isinstance(settings[name], str) for name in ("model", "fingerprint"))
            and type(settings["dim"]) is int
            and isinstance(settings["weights_file"], bool)
            and all(isinstance(one, str) for one in settings["versions"].values())
            and isinstance(made_of["normalised"], bool)
            and isinstance(made_of["precision"], str)
        )
    except (LookupError, TypeError, AttributeError):
        return False
