"""What an item is in a collection of Milvus: fields, filters, checksums."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from houndsight.errors import InputError
from houndsight.stores import layout
from houndsight.stores.milvus.client import Field, quoted
from houndsight.types import Item, Where

__all__ = [
    "ASKED_FOR",
    "ITEMS",
    "LABEL_FIELD",
    "LABEL_KEY",
    "LIVE",
    "LONGEST",
    "NO_VECTOR",
    "OUT",
    "Row",
    "condition",
    "faults",
    "fields",
    "fits",
    "label_condition",
    "packed",
]

ITEMS = "items"
NO_VECTOR = -1  # the serial number of an item whose vector was given up
LIVE = 'removed == ""'
ASKED_FOR = ("path", "digest")  # texts that items are found by
LONGEST = 65_535  # bytes of a text, by Milvus

LABEL_KEY = "label_key"  # what filters compare
LABEL_FIELD: Field = (LABEL_KEY, "VARCHAR", {"max_length": 64})

_FIELDS: tuple[Field, ...] = (
    ("id", "INT64", {"is_primary": True}),
    ("serial", "INT64", {}),
    ("root", "INT64", {}),
    ("path", "VARCHAR", {"max_length": LONGEST}),
    ("label", "VARCHAR", {"max_length": LONGEST}),
    LABEL_FIELD,
    ("label_source", "VARCHAR", {"max_length": 64}),
    ("digest", "VARCHAR", {"max_length": 1024}),
    ("size", "INT64", {}),
    ("mtime_ns", "INT64", {}),
    ("width", "INT64", {}),
    ("height", "INT64", {}),
    ("removed", "VARCHAR", {"max_length": 64}),
    ("vector_crc", "INT64", {}),
    ("crc", "INT64", {}),
)
OUT = tuple(name for name, *_ in _FIELDS)


def fields(dim: int) -> list[Field]:
    """Return the collection's fields: name, type, and what else there is to say.

    Paths and digests are in hexadecimal. `label_key` is what filters compare: 64 digits of
    SHA-256 of the label, or nothing where there is no label.
    """
    return [*_FIELDS, ("vector", "FLOAT_VECTOR", {"dim": dim})]


@dataclass(frozen=True, slots=True)
class Row:
    """An item and its place in the order in which vectors were added; NO_VECTOR for none."""

    item: Item
    serial: int

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> Row:
        """Return what a row of the collection stands for."""
        item = Item(
            id=int(row["id"]),
            root=int(row["root"]),
            path=bytes.fromhex(row["path"]),
            label=row["label"] if row[LABEL_KEY] else None,
            label_source=row["label_source"] or None,
            digest=bytes.fromhex(row["digest"]),
            size=int(row["size"]),
            mtime_ns=int(row["mtime_ns"]),
            width=int(row["width"]),
            height=int(row["height"]),
            removed=row["removed"] or None,
        )
        return cls(item, int(row["serial"]))


def packed(row: Row, vector: NDArray[np.float32] | None, dim: int) -> dict[str, Any]:
    """Return a row of the collection; zeros stand for a vector that was given up."""
    item = row.item
    held = np.zeros(dim, np.float32) if vector is None else vector
    crc = 0 if vector is None else _crc_of(vector)
    return {
        "id": item.id,
        "serial": row.serial,
        "root": item.root,
        "path": item.path.hex(),
        "label": item.label or "",
        LABEL_KEY: _label_key(item.label),
        "label_source": item.label_source or "",
        "digest": item.digest.hex(),
        "size": item.size,
        "mtime_ns": item.mtime_ns,
        "width": item.width,
        "height": item.height,
        "removed": item.removed or "",
        "vector_crc": crc,
        "crc": layout.record(item, row.serial, crc)[-1],
        "vector": held,
    }


def faults(row: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with a row of the collection, its vector included."""
    try:
        one = Row.read(row)
    except (TypeError, ValueError):
        return ["its row cannot be read"]
    if layout.record(one.item, one.serial, row["vector_crc"])[-1] != row["crc"]:
        return ["the checksum of its row does not fit"]
    if one.serial == NO_VECTOR:
        return [] if one.item.removed else ["has no vector"]
    vector = np.asarray(row["vector"], np.float32)
    if _crc_of(vector) != row["vector_crc"]:
        return ["the checksum of its vector does not fit"]
    if not np.isfinite(vector).all():
        return ["its vector holds a value that is not finite"]
    return []


def fits(item: Item) -> None:
    """Raise InputError if Milvus cannot keep an item."""
    for name, text in (("label", item.label or ""), ("path", item.path.hex())):
        try:
            size = len(text.encode())
        except UnicodeEncodeError:
            raise InputError(f"its {name} is no Unicode", path=item.path) from None
        if size > LONGEST:
            raise InputError(f"its {name} is too long for Milvus", path=item.path)


def condition(where: Where) -> str:
    """Return the filter that only live items pass."""
    return " and ".join(filter(None, (LIVE, label_condition(where))))


def label_condition(where: Where) -> str:
    """Return the filter that labels must pass; empty where all do."""
    if where.labels is not None:
        # A label that none has where none is asked for: an empty list is no filter everywhere.
        keys = [_label_key(label) for label in where.labels] or ["none"]
        return f"{LABEL_KEY} in [{', '.join(map(_text, sorted(keys)))}]"
    return f'{LABEL_KEY} != ""' if where.labelled else ""


def _text(key: str) -> str:
    return quoted(key) if key else '""'


def _label_key(label: str | None) -> str:
    # A digest: servers differ in how quotes, backslashes and Unicode are written in filters.
    if label is None:
        return ""
    return hashlib.sha256(label.encode("utf-8", "surrogatepass")).hexdigest()


def _crc_of(vector: ArrayLike) -> int:
    """Return the checksum of a vector."""
    return zlib.crc32(np.ascontiguousarray(vector, "<f4").tobytes())
