"""What is asked of a gallery, as an address: reload, back and sharing work."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args
from urllib.parse import urlencode

from houndsight.cropping import Crop
from houndsight.errors import InputError
from houndsight.web.problems import Refused

__all__ = ["ITEM", "MOST", "TOGETHER", "UPLOAD", "Ask", "Way"]

Way = Literal["each", "mean", "min", "max"]
"""How several queries are answered: one by one, or combined as in `houndsight.combining`."""

ITEM = r"^[0-7][0-9a-f]{15}$"
UPLOAD = r"^[0-9a-f]{64}$"
MOST = 200  # neighbours that one page shows
TOGETHER = 16  # queries


@dataclass(frozen=True, slots=True)
class Ask:
    """One question.

    Attributes
    ----------
    queries
        Ids of items (16 hex digits) and keys of handed-in photos (64).
    k
        Neighbours, 1 to 200.
    labels
        Only neighbours with one of these; all where there are none.
    crop
        Only this part of the query.
    way
        What becomes of several queries.
    metric
        As for `Gallery.search`; the gallery's own when None.
    show
        Id of the item that is looked at large.
    """

    queries: tuple[str, ...] = ()
    k: int = 20
    labels: tuple[str, ...] = ()
    crop: Crop | None = None
    way: Way = "each"
    metric: str | None = None
    show: str | None = None

    @classmethod
    def read(cls, given: Iterable[tuple[str, str]]) -> Ask:
        """Read an address's parameters; what is unknown or empty is passed over.

        Raises
        ------
        Refused
            If a value cannot be understood.
        """
        found: dict[str, list[str]] = {}
        for name, value in given:
            if value:
                found.setdefault(name, []).append(value)
        queries = tuple(dict.fromkeys(found.get("q", ())))
        way = found.get("way", ["each"])[-1]
        k, crop, show = (found.get(name, [""])[-1] for name in ("k", "crop", "show"))
        if way not in get_args(Way):
            raise _senseless("way", way, "Use each, mean, min or max")
        if k and not (re.fullmatch("[0-9]{1,3}", k) and 1 <= int(k) <= MOST):
            raise _senseless("k", k, f"Use a number from 1 to {MOST}")
        if len(queries) > TOGETHER:
            raise _senseless("q", f"{len(queries)} photos", f"Ask for up to {TOGETHER} at once")
        for one in (*queries, *([show] if show else [])):
            if not re.fullmatch(ITEM, one) and not (re.fullmatch(UPLOAD, one) and one != show):
                raise Refused(404, "no_such_item", "there is no such photo here", "Search anew")
        try:
            part = Crop.parse(crop) if crop else None
        except InputError as error:
            raise _senseless("crop", crop, error.remedy) from error
        return cls(
            queries,
            int(k or 20),
            tuple(dict.fromkeys(found.get("label", ()))),
            part,
            way,  # type: ignore[arg-type]  # one of them, as was seen above
            found.get("metric", [None])[-1],
            show or None,
        )

    def fields(self, **changes: Any) -> list[tuple[str, str]]:
        """Return names and values that `read` makes this question of, with some changes."""
        one = replace(self, **changes)
        default = Ask()
        found = [("q", query) for query in one.queries]
        found += [("label", label) for label in one.labels]
        found += [
            (name, str(getattr(one, name)))
            for name in ("k", "crop", "way", "metric", "show")
            if getattr(one, name) != getattr(default, name)
        ]
        return found

    def url(self, **changes: Any) -> str:
        """Return the address of this question with some changes."""
        fields = self.fields(**changes)
        return f"/?{urlencode(fields)}" if fields else "/"

    def without(self, query: str) -> str:
        """Return the address without one of the queries."""
        return self.url(queries=tuple(one for one in self.queries if one != query), show=None)


def _senseless(name: str, value: str, remedy: str | None) -> Refused:
    return Refused(422, "invalid_input", f"{name} cannot be {value[:60]!r}", remedy)
