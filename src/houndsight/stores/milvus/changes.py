"""Changes that are not in the collections yet: those of a transaction, or of a journal."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from houndsight.errors import NewerFormat
from houndsight.stores import layout
from houndsight.stores.milvus.rows import Row
from houndsight.types import Item

__all__ = ["FORMAT", "Changes"]

FORMAT = 1  # of what is kept in Milvus


@dataclass(slots=True)
class Changes:
    """What is another than in the collections. Whatever is read is read through these.

    Attributes
    ----------
    rows
        Items as they are now, by id; None for one that is forgotten.
    vectors
        Those that are new, by item id.
    documents
        As JSON text by name; None for one that was taken away.
    serial
        The number that the next vector gets.
    """

    serial: int = 0
    rows: dict[int, Row | None] = field(default_factory=dict)
    vectors: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    documents: dict[str, str | None] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.rows or self.documents)

    def over(self, found: Iterable[Row], fits: Callable[[Row], bool]) -> dict[int, Row]:
        """Return rows by id, of which `found` are in the collection: as they are now, if they fit.

        Also those that did not fit before.
        """
        now = {row.item.id: row for row in found if row.item.id not in self.rows}
        now |= {id_: row for id_, row in self.rows.items() if row is not None and fits(row)}
        return now

    def then(self, later: Changes) -> Changes:
        """Return these changes, and later ones after them."""
        return Changes(
            later.serial,
            self.rows | later.rows,
            self.vectors | later.vectors,
            self.documents | later.documents,
        )

    def text(self) -> str:
        """Return all this as JSON in ASCII."""
        rows = [
            [id_] if row is None else [*_plain(row.item), row.serial]
            for id_, row in self.rows.items()
        ]
        vectors = {
            str(id_): base64.b64encode(np.ascontiguousarray(vector, "<f4").tobytes()).decode()
            for id_, vector in self.vectors.items()
        }
        return json.dumps(
            {
                "format": FORMAT,
                "serial": self.serial,
                "rows": rows,
                "vectors": vectors,
                "documents": self.documents,
            },
            separators=(",", ":"),
        )

    @classmethod
    def read(cls, text: str) -> Changes:
        """Return what `text` wrote; NewerFormat if it is not known here."""
        body: Mapping[str, Any] = json.loads(text)
        if body["format"] > FORMAT:
            raise NewerFormat(
                f"is Milvus format {body['format']}, this houndsight reads up to {FORMAT}",
                remedy="Install a newer houndsight",
            )
        rows: dict[int, Row | None] = {}
        for values in body["rows"]:
            rows[values[0]] = None if len(values) == 1 else _row(values)
        vectors = {
            int(id_): np.frombuffer(base64.b64decode(data), "<f4").astype(np.float32)
            for id_, data in body["vectors"].items()
        }
        return cls(body["serial"], rows, vectors, dict(body["documents"]))


def _plain(item: Item) -> list[Any]:
    return [one.hex() if isinstance(one, bytes) else one for one in layout.values(item)]


def _row(values: list[Any]) -> Row:
    *plain, serial = values
    item = Item(*plain)
    path, digest = (bytes.fromhex(str(one)) for one in (item.path, item.digest))
    plain[2], plain[5] = path, digest
    return Row(Item(*plain), serial)
