"""Files that are there whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from houndsight.errors import InputError

__all__ = ["draft"]


@contextmanager
def draft(path: Path) -> Iterator[Path]:
    """Give a file its name only once it is written; yields where to write it.

    A device or pipe is written to as it is: nothing may take its place.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    special = path.exists() and not path.is_file()
    unfinished = path if special else path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield unfinished
        if not special:
            unfinished.replace(path)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", path=path) from error
    finally:
        if not special:
            unfinished.unlink(missing_ok=True)
