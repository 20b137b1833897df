"""Files and folders that are there whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from houndsight.errors import InputError, unwritable

__all__ = ["check_new", "draft", "draft_folder"]


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
        raise unwritable(path, error) from error
    finally:
        if not special:
            unfinished.unlink(missing_ok=True)


def check_new(path: Path) -> None:
    """Raise InputError where something is, but an empty folder."""
    if path.is_symlink() or (path.exists() and not (path.is_dir() and not any(path.iterdir()))):
        raise InputError(
            "is there already and not an empty folder", path=path, remedy="Name a new folder"
        )


@contextmanager
def draft_folder(path: Path) -> Iterator[Path]:
    """Give a folder its name only once all is written into it; yields where to write.

    Raises
    ------
    InputError
        If something is there already, but an empty folder, or it cannot be written.
    """
    check_new(path)
    unfinished = path.absolute().with_name(f".{path.absolute().name}.{os.getpid()}")
    try:
        unfinished.mkdir()
        yield unfinished
        unfinished.replace(path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
