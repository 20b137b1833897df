"""The right to add many vectors to a gallery: one process has it at a time, and says who it is."""

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from houndsight.errors import GalleryBusy, GalleryError

__all__ = ["held"]

# Beside the lock: to try a lock may empty its file.
HOLDER = "append.holder"


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the right to add many vectors.

    Raises
    ------
    GalleryBusy
        If another process holds it; names that process.
    GalleryError
        If nothing can be written there.
    """
    lock = FileLock(folder / "append.lock")
    holder = folder / HOLDER
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise GalleryBusy(
            f"another process is adding photos to this gallery{_who(holder)}",
            path=folder,
            remedy="Wait until it is done; searching and labelling work meanwhile",
        ) from None
    except OSError as error:
        raise GalleryError(
            f"cannot be written: {error.strerror}",
            path=folder,
            remedy="Check the space and the rights there",
        ) from error
    try:
        # Only told to people, so not worth failing for.
        with contextlib.suppress(OSError):
            since = datetime.now(UTC).isoformat(timespec="seconds")
            now = {"process": os.getpid(), "host": socket.gethostname(), "since": since}
            holder.write_text(json.dumps(now), encoding="utf-8")
        yield
    finally:
        with contextlib.suppress(OSError):
            holder.unlink()
        lock.release()


def _who(holder: Path) -> str:
    """Return who holds the lock; nothing where that cannot be told."""
    try:
        said = json.loads(holder.read_text(encoding="utf-8"))
        return f": process {said['process']} on {said['host']}, since {said['since']}"
    except (OSError, ValueError, LookupError, TypeError):
        return ""
