"""The cache folder: files get their names there only when they are complete."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["cache_folder", "file_digest", "locked", "sha256", "temporary"]


def cache_folder() -> Path:
    """Return ``HOUNDSIGHT_CACHE``, else the user's cache folder; it need not exist."""
    import platformdirs

    given = os.environ.get("HOUNDSIGHT_CACHE")
    return Path(given).expanduser() if given else Path(platformdirs.user_cache_dir("houndsight"))


def sha256(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal."""
    return file_digest(path, "sha256")


def file_digest(path: Path, kind: str) -> str:
    """Return a file's digest of a kind that `hashlib` knows, in hexadecimal."""
    with path.open("rb") as file:
        # Not for security where it is MD5: machines that forbid that allow it so.
        return hashlib.file_digest(
            file, lambda: hashlib.new(kind, usedforsecurity=False)
        ).hexdigest()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the one lock of a cache folder, made if need be; wait for it as long as it takes.

    The lock is the operating system's: it goes with the process, however that ends.
    """
    from filelock import FileLock

    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):
        yield


@contextmanager
def temporary(folder: Path, final: Path) -> Iterator[Path]:
    """Give the path of a file that becomes `final` if the block ends well, and goes if it does not.

    The caller holds the lock of `folder`, so whatever lies in ``<folder>/partial`` is what killed
    processes left there: it is removed.
    """
    partial = folder / "partial"
    partial.mkdir(exist_ok=True)
    for leftover in partial.iterdir():
        leftover.unlink()
    final.parent.mkdir(exist_ok=True)
    path = partial / final.name
    try:
        yield path
        with path.open("rb") as file:
            os.fsync(file.fileno())
        path.replace(final)
    finally:
        path.unlink(missing_ok=True)
