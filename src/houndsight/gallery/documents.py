"""The documents of a gallery, which may say anything: it may be damaged, or somebody else's."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from houndsight.errors import DamagedGallery
from houndsight.stores import Store
from houndsight.stores.address import Place
from houndsight.stores.faults import RESTORE

__all__ = ["Documented", "model_name", "sound", "understood"]


@contextlib.contextmanager
def understood(place: Place, what: str) -> Iterator[None]:
    """Raise DamagedGallery where what is done inside cannot make sense of a document."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise DamagedGallery(
            f"what it has on record of {what} cannot be understood",
            path=place,
            remedy=RESTORE,
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


def model_name(settings: Mapping[str, Any]) -> str:
    """Return the name of the model, or what stands for one that is not known here."""
    foreign = settings.get("foreign")
    return str(settings["model"]) if foreign is None else f"{foreign} (foreign)"


class Documented:
    """The part of a gallery that reads documents without which it is none."""

    store: Store
    place: Place

    def document(self, name: str) -> Any:
        """Return a document; DamagedGallery if it is gone."""
        missing = object()
        found = self.store.document(name, missing)
        if found is missing:
            raise DamagedGallery(
                f"the catalogue has no document {name!r}", path=self.place, remedy=RESTORE
            )
        return found
