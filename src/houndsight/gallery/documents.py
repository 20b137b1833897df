"""The documents that every gallery has."""

from pathlib import Path
from typing import Any

from houndsight.errors import DamagedGallery
from houndsight.stores import Store
from houndsight.stores.faults import RESTORE

__all__ = ["Documented"]


class Documented:
    """The part of a gallery that reads documents without which it is none."""

    store: Store
    place: Path

    def document(self, name: str) -> Any:
        """Return a document; DamagedGallery if it is gone."""
        found = self.store.documents(name)
        if name not in found:
            raise DamagedGallery(
                f"the catalogue has no document {name!r}", path=self.place, remedy=RESTORE
            )
        return found[name]
