"""A gallery's collections in Milvus: whether they are there, and how they are made."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from houndsight.errors import GalleryBusy, GalleryError, NotAGallery
from houndsight.stores.address import Address
from houndsight.stores.milvus import lease, texts
from houndsight.stores.milvus.changes import Changes
from houndsight.stores.milvus.client import Server
from houndsight.stores.milvus.lease import LOCK, Lease
from houndsight.stores.milvus.rows import ASKED_FOR, ITEMS, fields
from houndsight.stores.milvus.texts import DOCUMENTS, Texts, key_of

__all__ = [
    "FILES",
    "PATIENCE_S",
    "STATE",
    "absent",
    "check_free",
    "create",
    "document_text",
    "exists",
    "is_there",
    "may_be",
]

STATE = "state"  # the key of the journal; its version counts commits, and is even when it is empty
FILES = "files/"  # documents that are files in a local gallery
PATIENCE_S = 60.0  # how long a short transaction waits for another process's


def create(
    address: Address,
    dim: int,
    documents: Mapping[str, Any],
    files: Mapping[str, bytes | None] | None = None,
) -> None:
    """Make a new, empty store; `files` are kept as documents, but those that are None.

    Raises
    ------
    GalleryBusy
        If another process has made it.
    GalleryError
        If collections with such names are there that are not houndsight's.
    """
    server = Server(address)
    try:
        server.make(LOCK, lease.FIELDS)
        with Lease(server, "write").held(PATIENCE_S):
            _refuse_what_is_there(server)
            _make(server, dim)
            _refuse_what_is_there(server)  # one whose documents had lost their index has it again
            bodies = dict(documents)
            for name, content in (files or {}).items():
                if content is not None:
                    bodies[FILES + name] = base64.b64encode(content).decode()
            texts = Texts(server)
            texts.write({key_of(name): document_text(body) for name, body in bodies.items()}, 1)
            texts.write({STATE: Changes().text()}, 2)  # from here on it is there
    finally:
        server.close()


def _refuse_what_is_there(server: Server) -> None:
    if is_there(server):
        raise GalleryBusy(
            "is a gallery that another process has just made",
            path=server.address,
            remedy="Run the command again, or name a new gallery",
        )


def _make(server: Server, dim: int) -> None:
    """Make the collections; what a killed making has left is used, or made again."""
    server.make(ITEMS, fields(dim), asked_for=ASKED_FOR)
    if server.fits(ITEMS, fields(dim)) != dim:
        if server.count(ITEMS):
            raise GalleryError(
                "its collection of items holds vectors of another length, and no gallery",
                path=server.address,
                remedy="Name another gallery",
            )
        server.drop(ITEMS)
        server.make(ITEMS, fields(dim), asked_for=ASKED_FOR)
    server.make(DOCUMENTS, texts.FIELDS)


def exists(address: Address) -> bool:
    """Return whether there is a gallery at an address."""
    if not may_be(address):
        return False
    server = Server(address)
    try:
        return is_there(server)
    finally:
        server.close()


def check_free(address: Address) -> None:
    """Raise GalleryError if `create` would refuse an address for what is there."""
    if not may_be(address):
        return
    server = Server(address)
    try:
        for collection, known in (
            (LOCK, lease.FIELDS),
            (ITEMS, fields(0)),
            (DOCUMENTS, texts.FIELDS),
        ):
            if server.has(collection):
                server.fits(collection, known)
    finally:
        server.close()


def may_be(address: Address) -> bool:
    """Return whether there may be a gallery: connecting would make a file of Milvus Lite."""
    file = address.file
    if file is None or (file / "collections").is_dir():
        return True
    if file.exists() and not (file.is_dir() and not any(file.iterdir())):
        kind = "folder with other things in it" if file.is_dir() else "file"
        raise NotAGallery(
            f"is a {kind}, and no gallery of Milvus Lite",
            path=address,
            remedy="Name a new place, as in milvus-lite:dogs.db",
        )
    return False


def is_there(server: Server) -> bool:
    """Return whether a gallery was made, and made to the end."""
    if not server.has(DOCUMENTS):
        return False
    server.fits(DOCUMENTS, texts.FIELDS)
    if not server.indexed(DOCUMENTS, "vector"):
        return False  # which servers do not load
    server.load(DOCUMENTS)
    return Texts(server).version(STATE) is not None


def absent(address: Address) -> NotAGallery:
    """Return what to raise where there is no gallery."""
    return NotAGallery(
        "there is no gallery here",
        path=address,
        remedy="Check the name, or make one: houndsight index PHOTOS -g GALLERY",
    )


def document_text(body: Any) -> str:
    """Return a document as it is kept."""
    return json.dumps(body, sort_keys=True)
