"""Texts of any length by name, in a collection whose rows hold 65,535 bytes at most."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from houndsight.errors import DamagedGallery
from houndsight.stores.milvus.client import Field, Server

__all__ = ["DOCUMENTS", "FIELDS", "Texts", "key_of", "name_of"]

DOCUMENTS = "documents"
FIELDS: tuple[Field, ...] = (
    ("key", "VARCHAR", {"is_primary": True, "max_length": 65535}),
    ("body", "VARCHAR", {"max_length": 65535}),
    ("parts", "INT64", {}),
    ("version", "INT64", {}),
    ("crc", "INT64", {}),
    ("vector", "FLOAT_VECTOR", {"dim": 2}),  # Milvus wants one
)
OUT = ["key", "body", "parts", "version", "crc"]
PART = 60_000
_PARTS = "p"  # what the keys of parts begin with


def key_of(name: str) -> str:
    """Return the key of a document: in hexadecimal, which keeps the order of the names."""
    return "d" + name.encode("utf-8", "surrogatepass").hex()


def name_of(key: str) -> str:
    """Return the name of the document that has a key."""
    return bytes.fromhex(key[1:]).decode("utf-8", "surrogatepass")


class Texts:
    """Texts in ASCII, each with a version, in the gallery's collection of documents.

    A short text is in the row that has its key. A long one is in rows of its parts, which are
    written before that row: it is there whole or not at all, as it was or as it will be.
    """

    def __init__(self, server: Server) -> None:
        self._server = server

    def write(self, texts: Mapping[str, str], version: int) -> None:
        """Write texts by key, each at once; no version is used twice for other texts."""
        before = {row["key"]: row for row in self._heads(list(texts), ["key", "parts", "version"])}
        heads, parts = [], []
        for key, text in texts.items():
            crc = zlib.crc32(text.encode("ascii"))
            pieces = [text] if len(text) <= PART else _pieces(text)
            if len(pieces) > 1:
                names = _part_keys(key, version, len(pieces))
                parts += [_row(*one, 0, version, 0) for one in zip(names, pieces, strict=True)]
            body, count = (text, 0) if len(pieces) == 1 else ("", len(pieces))
            heads.append(_row(key, body, count, version, crc))
        self._server.write(DOCUMENTS, parts, PART)
        self._server.write(DOCUMENTS, heads, PART)
        old = [row for row in before.values() if row["version"] != version]
        self._server.delete(DOCUMENTS, [key for row in old for key in _parts_of(row)])

    def remove(self, keys: Sequence[str]) -> None:
        """Take texts away."""
        rows = self._heads(keys, ["key", "parts", "version"])
        self._server.delete(DOCUMENTS, list(keys))
        self._server.delete(DOCUMENTS, [key for row in rows for key in _parts_of(row)])

    def version(self, key: str) -> int | None:
        """Return the version of a text; None where there is none."""
        rows = self._heads([key], ["key", "version"])
        return int(rows[0]["version"]) if rows else None

    def read(self, keys: Sequence[str]) -> dict[str, tuple[int, str]]:
        """Return (version, text) by key, of those that are there."""
        found: dict[str, tuple[int, str]] = {}
        wanted = list(keys)
        for _ in range(10):  # one may be written anew between its row and its parts
            rows = self._heads(wanted, OUT)
            long = [key for row in rows for key in _parts_of(row)]
            parts = {
                row["key"]: row["body"]
                for row in self._server.rows(DOCUMENTS, "key", long, ["key", "body"], size=PART)
            }
            wanted = []
            for row in rows:
                body, names = row["body"], _parts_of(row)
                if names and any(name not in parts for name in names):
                    wanted.append(row["key"])
                    continue
                body = "".join(parts[name] for name in names) if names else body
                if zlib.crc32(body.encode()) != row["crc"]:
                    raise self._damaged(row["key"], "its checksum does not fit")
                found[row["key"]] = (int(row["version"]), body)
            if not wanted:
                return found
        raise self._damaged(wanted[0], "parts of it are gone")

    def keys(self, prefix: str) -> list[str]:
        """Return the keys that begin so, in order."""
        # "~" is behind all that a key has in it.
        condition = f'key >= "{prefix}" and key < "{prefix}~"'
        rows = self._server.every(DOCUMENTS, condition, ["key"])
        return sorted(row["key"] for some in rows for row in some)

    def sweep(self) -> None:
        """Delete parts that belong to no text: of writing that was killed."""
        rows = self._server.every(DOCUMENTS, "parts > 0", ["key", "parts", "version"])
        used = {key for some in rows for row in some for key in _parts_of(row)}
        self._server.delete(DOCUMENTS, [key for key in self.keys(_PARTS) if key not in used])

    def _heads(self, keys: Collection[str], out: list[str]) -> list[dict[str, Any]]:
        size = PART if "body" in out else 1000
        return self._server.rows(DOCUMENTS, "key", list(keys), out, size=size)

    def _damaged(self, key: str, what: str) -> DamagedGallery:
        name = "of the last change" if not key.startswith("d") else repr(name_of(key))
        return DamagedGallery(
            f"document {name}: {what}",
            path=self._server.address,
            remedy="Restore it from a backup, or index the photos into a new gallery",
        )


def _pieces(text: str) -> list[str]:
    return [text[start : start + PART] for start in range(0, len(text), PART)]


def _part_keys(key: str, version: int, count: int) -> list[str]:
    return [f"{_PARTS}{key}.{version}.{n}" for n in range(count)]


def _parts_of(row: Mapping[str, Any]) -> list[str]:
    return _part_keys(row["key"], row["version"], row["parts"])


def _row(key: str, body: str, parts: int, version: int, crc: int) -> dict[str, Any]:
    return {
        "key": key,
        "body": body,
        "parts": parts,
        "version": version,
        "crc": crc,
        "vector": [0.0, 0.0],
    }
