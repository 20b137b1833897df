"""Files of Milvus Lite, each served within this process for as long as somebody uses it."""

from __future__ import annotations

import atexit
import contextlib
import logging
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from houndsight.errors import GalleryBusy, GalleryError, InputError
from houndsight.stores.address import Address

__all__ = ["cleared", "leave", "library", "mended", "serve"]

HOST = "127.0.0.1"


@dataclass(slots=True)
class _Served:
    server: Any
    database: Any
    port: int
    users: int = 1

    def stop(self) -> None:
        self.server.stop(grace=2).wait()
        self.database.close()


_served: dict[str, _Served] = {}  # by file
_lock = threading.Lock()
_mending = threading.Lock()


def library(name: str) -> Any:
    """Load a module of Milvus; InputError that names the extra if it is not installed."""
    try:
        found = import_module(name)
    except ModuleNotFoundError as error:
        raise InputError(
            f"a gallery in Milvus needs {error.name}, which is not installed",
            remedy="Run: pip install 'houndsight[milvus]'",
        ) from None
    # It sets up handlers of its own, which write to standard error what is raised anyway.
    for logger in ("pymilvus", "pymilvus.milvus_client", "milvus_lite", "grpc"):
        logging.getLogger(logger).setLevel(logging.CRITICAL + 1)
    return found


def serve(address: Address) -> str:
    """Serve a file of Milvus Lite in this process, on a port of this machine; returns where.

    Not by way of the client, which takes only names that end in .db, and hides what went wrong.

    Raises
    ------
    GalleryBusy
        If another process has it open.
    GalleryError
        If it cannot be opened.
    """
    start = library("milvus_lite.adapter.grpc.server").start_server_in_thread
    locked = library("milvus_lite.exceptions").DataDirLockedError
    file = str(address.file)
    with _lock:
        if file in _served:
            _served[file].users += 1
        else:
            try:
                _served[file] = served = _Served(*start(file, HOST, 0))
            except locked:
                raise GalleryBusy(
                    "another process has this file of Milvus Lite open, and only one can",
                    path=address,
                    remedy="Wait until it is done; a Milvus server takes many at a time",
                ) from None
            except Exception as error:  # whatever it finds in there
                raise GalleryError(
                    f"cannot be opened by Milvus Lite: {error}",
                    path=address,
                    remedy="Check the name, and the space and the rights there",
                ) from error
            # Two requests that ask for a collection for the first time at once open it twice, and
            # what the first then loads or writes the second does not know of.
            for name in served.database.list_collections():
                with contextlib.suppress(Exception):  # who needs it is told
                    served.database.get_collection(name)
        return f"http://{HOST}:{_served[file].port}"


def leave(address: Address) -> None:
    """Stop serving a file that nobody in this process uses any more."""
    with _lock:
        served = _served.get(str(address.file))
        if served is not None:
            served.users -= 1
            if not served.users:
                del _served[str(address.file)]
                served.stop()


@contextlib.contextmanager
def cleared(address: Address, collection: str, *, derived: bool) -> Iterator[None]:
    """Keep other threads from making a collection, without what is left where it will be.

    Milvus Lite makes its folder first, and deletes its files one by one: of a process that was
    killed meanwhile it may leave a folder without a schema, which to it is no collection, and which
    it cannot make again. What holds more than the beginning of a schema is deleted only where it
    was `derived` from other collections.
    """
    if address.file is None:
        yield
        return
    with _mending:
        folder = _folder(address.file, collection)
        files = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        if "schema.json" not in files and (derived or files <= {"schema.json.tmp"}):
            shutil.rmtree(folder, ignore_errors=True)  # then it still cannot be made
        yield


@contextlib.contextmanager
def mended(address: Address, collection: str) -> Iterator[None]:
    """Keep other threads from loading what could not be loaded, without the halves of indexes.

    Milvus Lite writes them in place, and cannot load what is left of one by a process that was
    killed meanwhile. It makes what is missing of the rows.
    """
    with _mending:
        if address.file is not None:
            folder = _folder(address.file, collection)
            for path in folder.glob("partitions/*/indexes/*.*idx"):
                if not _whole(path):
                    with contextlib.suppress(OSError):  # then it still cannot be loaded
                        path.unlink()
        yield


def _folder(file: Path, collection: str) -> Path:
    return file / "collections" / collection


def _whole(path: Path) -> bool:
    """Return whether an index was written to its end; True if that cannot be told now."""
    try:
        with path.open("rb") as file:
            if path.suffix == ".sidx":
                library("pyarrow.ipc").open_file(file)
            elif path.name.endswith(".flat.idx"):
                np.load(path, mmap_mode="r")
            else:
                library("faiss").read_index(str(path))
    except OSError:
        return True
    except (ValueError, EOFError, RuntimeError):
        return False
    return True


@atexit.register
def _leave_all() -> None:
    """Write what is in memory, also of galleries that were not closed."""
    while _served:
        _, served = _served.popitem()
        served.stop()
