"""The metrics of a gallery: as stored, scaled to length 1, or learned, and which one is used."""

import contextlib
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from houndsight.calibration import Calibration
from houndsight.errors import GalleryError, InputError, printable
from houndsight.gallery.documents import understood
from houndsight.maps import Base, Map, Space, Unit
from houndsight.stores import Store
from houndsight.stores.address import Place
from houndsight.types import Item

__all__ = ["Spaces", "labelling"]

PAPER, PLAIN = "paper", "plain"
_NAME = r"[a-z0-9][a-z0-9_.-]{0,39}"
_DOCUMENT = re.compile(rf"spaces/{_NAME}@[0-9]{{1,9}}")
T = TypeVar("T")


class Spaces:
    """The part of a gallery that knows in which spaces it can be searched.

    A metric is Euclidean distance in a space. ``paper``: raw vectors, as in the original paper;
    ``plain``: vectors scaled to length 1; any other is a learned map's ``name`` (its newest
    version) or ``name@version``. A map is a document ``spaces/<name>@<version>``; the document
    ``metric`` lists what was chosen, the newest last.
    """

    store: Store
    settings: dict[str, Any]
    place: Place
    _maps: dict[str, Map]
    _kept: tuple[int, dict[str, Any]]

    def _current(self, name: str, read: Callable[[], T]) -> T:
        """Return what is read from the store; read again only when something was committed."""
        revision, kept = self.store.revision(), self._kept
        if kept[0] != revision:
            kept = self._kept = (revision, {})
        if name not in kept[1]:
            kept[1][name] = read()
        found: T = kept[1][name]
        return found

    @property
    def metric(self) -> str:
        """The metric that searches use unless told otherwise."""
        chosen = self._chosen()
        return chosen[-1] if chosen else self.stored_metric

    @property
    def stored_metric(self) -> str:
        """The metric in which vectors are as they are stored."""
        return PLAIN if self.settings["made_of"]["normalised"] else PAPER

    def _chosen(self) -> list[str]:
        def read() -> list[str]:
            with understood(self.place, "the metrics chosen"):
                body = self.store.document("metric", {"chosen": []})
                return [str(name) for name in body["chosen"]]

        return self._current("metric", read)

    def metrics(self) -> list[str]:
        """Return the names of all metrics that this gallery has, each with its version."""
        plain = [PLAIN] if self.stored_metric == PLAIN else [PAPER, PLAIN]
        return plain + [name.removeprefix("spaces/") for name in self._documents()]

    def _documents(self, name: str = "") -> list[str]:
        def read() -> list[str]:
            found = [name for name in self.store.names("spaces/") if _DOCUMENT.fullmatch(name)]
            return sorted(found, key=lambda name: (name.split("@")[0], int(name.split("@")[1])))

        every = self._current("spaces/", read)
        return [found for found in every if found.startswith(f"spaces/{name}")]

    def named(self, metric: str | None) -> str:
        """Return a metric's full name, version included; the gallery's own for None.

        Raises
        ------
        InputError
            If the gallery has no such metric.
        """
        if metric is None:
            return self.metric
        if metric == PAPER and self.stored_metric == PLAIN:
            raise InputError(
                "keeps vectors of length 1, so the paper's metric cannot be had from it",
                path=self.place,
                remedy="Index the photos into another gallery with --raw",
            )
        if metric in (PAPER, PLAIN):
            return metric
        known = [name.removeprefix("spaces/") for name in self._documents()]
        same = [name for name in known if metric in (name, name.split("@")[0])]
        if not same:
            raise InputError(
                f"has no metric {printable(metric)}",
                path=self.place,
                remedy=f"It has {', '.join(self.metrics())}; houndsight learn makes more",
            )
        return same[-1]

    def space(self, metric: str | None = None) -> Space:
        """Return the space of a metric; of the gallery's own for None.

        Raises
        ------
        InputError
            If the gallery has no such metric.
        """
        name = self.named(metric)
        if name == self.stored_metric:
            return Base(self.settings["dim"])
        if name == PLAIN:
            return Unit(self.settings["dim"])
        if name not in self._maps:  # a version never changes
            with understood(self.place, f"the metric {name}"):
                body = self.store.document(f"spaces/{name}")
                found = Map.read(body["map"])
                # Its name becomes part of a file's name: another could lead out of the gallery.
                if found.name != name or found.takes != self.settings["dim"]:
                    raise ValueError
            self._maps[name] = found
        return self._maps[name]

    def facts(self, metric: str) -> dict[str, Any]:
        """Return what is on record of how a learned map was made; nothing for other metrics."""
        name = f"spaces/{self.named(metric)}"
        made: dict[str, Any] = self.store.document(name, {"made": {}})["made"]
        return made

    def next_version(self, name: str) -> str:
        """Return ``name@version`` for a new map.

        Raises
        ------
        InputError
            If the name cannot be used.
        """
        if name in (PAPER, PLAIN):
            raise InputError(
                f"{name} is a metric that every gallery has", remedy="Choose another name"
            )
        if not re.fullmatch(_NAME, name):
            raise InputError(
                f"a metric cannot be called {printable(name)}",
                remedy="Use up to 40 small letters, digits, dots, hyphens and underscores",
            )
        taken = [int(document.split("@")[1]) for document in self._documents(f"{name}@")]
        return f"{name}@{max(taken, default=0) + 1}"

    def add_map(self, map_: Map, made: Mapping[str, Any], calibration: Calibration | None) -> None:
        """Keep a new map under its name, and make it the gallery's metric."""
        with self.store.transaction():
            if self.store.names(f"spaces/{map_.name}"):
                raise InputError(
                    f"has a metric {map_.name} by now", path=self.place, remedy="Learn again"
                )
            time = datetime.now(UTC).isoformat(timespec="seconds")
            body = {"map": map_.document(), "made": {"time": time, **made}}
            self.store.put_document(f"spaces/{map_.name}", body)
            if calibration is not None:
                self.set_calibration(map_.name, calibration)
            self.choose_metric(map_.name)
        self.store.tidy(self.space(map_.name))  # as it was written down, in float32

    def choose_metric(self, metric: str) -> None:
        """Make a metric the one that searches use."""
        with self.store.transaction():
            name, chosen = self.named(metric), self._chosen()
            if name != self.metric:
                self.store.put_document("metric", {"chosen": [*chosen, name]})

    def undo_metric(self) -> str | None:
        """Go back to the metric used before; returns what is left, None if nothing was chosen."""
        with self.store.transaction():
            chosen = self._chosen()
            if not chosen:
                return None
            self.store.put_document("metric", {"chosen": chosen[:-1]})
        with contextlib.suppress(GalleryError):  # it is undone all the same
            self.store.tidy(self.space())
        return self.metric

    def calibration(self, metric: str | None = None) -> Calibration | None:
        """Return a metric's calibration, if it has one; of the gallery's own metric for None."""
        name = f"calibrations/{self.named(metric)}"

        def read() -> Calibration | None:
            body = self.store.document(name)
            with understood(self.place, f"probabilities by {self.named(metric)}"):
                return None if body is None else Calibration.read(body)

        return self._current(name, read)

    def set_calibration(self, metric: str, calibration: Calibration) -> None:
        """Put a metric's calibration on record."""
        name = f"calibrations/{self.named(metric)}"
        self.store.put_document(name, calibration.document())


def labelling(items: Sequence[Item]) -> dict[str, Any]:
    """Return what a map's age is judged by: how many labels, labelled items, and which."""
    rows = sorted((item.id, item.label) for item in items if item.label is not None)
    return {
        "items": len(rows),
        "labels": len({label for _, label in rows}),
        "digest": hashlib.sha256(repr(rows).encode("utf-8", "backslashreplace")).hexdigest(),
    }
