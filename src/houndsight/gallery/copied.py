"""A gallery that another is being copied into: no one else can open it until it is whole."""

import os
from pathlib import Path

from houndsight.errors import GalleryError, printable
from houndsight.gallery.library import COPYING, Gallery

__all__ = ["Unfinished"]


class Unfinished(Gallery):
    """A copy that is not whole yet; `finish` makes it a gallery like any other.

    Parameters
    ----------
    place
        Where `begin` made it.

    Raises
    ------
    GalleryError
        If there is a gallery that is no unfinished copy of the source.
    """

    def __init__(self, place: str | os.PathLike[str], source: Gallery) -> None:
        self._source = _name(source)
        super().__init__(place)

    @classmethod
    def begin(cls, place: str | os.PathLike[str], source: Gallery) -> "Unfinished":
        """Make an empty copy of a gallery at a place that is free."""
        narrow = "network" in source.settings["made_of"]
        network = source._network() if narrow else None
        settings = {**source.settings, COPYING: _name(source)}
        cls.check_free(place)
        cls._make(place, settings, network)
        return cls(place, source)

    def _check_whole(self) -> None:
        other = self.settings.get(COPYING)
        if other == self._source:
            return
        self.close()
        if other is None:
            raise GalleryError(
                "is a gallery already", path=self.place, remedy="Name a new place for the copy"
            )
        raise GalleryError(
            f"is an unfinished copy of another gallery, {printable(other)}",
            path=self.place,
            remedy="Name a new place for the copy",
        )

    def finish(self) -> None:
        """Make the copy a gallery like any other."""
        whole = {name: value for name, value in self.settings.items() if name != COPYING}
        self.store.put_document("settings", whole)
        self.settings = whole


def _name(source: Gallery) -> str:
    place = source.place
    return str(place.absolute() if isinstance(place, Path) else place)
