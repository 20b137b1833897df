"""Where labels come from: the folder that holds a photo, or a CSV file."""

import csv
import os
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

from houndsight.errors import InputError, printable
from houndsight.remote import readable

__all__ = ["Labeller", "clean", "folder_label", "labeller"]

# Takes a path relative to the root; returns the label, if any.
Labeller = Callable[[bytes], str | None]
# ImageNet's folders begin with the number of the WordNet noun: n02085620-Chihuahua.
WORDNET = re.compile(r"^n\d{8}-(?=.)")


def labeller(rule: str, root: bytes) -> tuple[Labeller, str | None]:
    """Return how photos under a root get their labels, and the source that is put on record.

    Parameters
    ----------
    rule
        ``folder``, ``none``, or the path of a CSV file with the columns ``path`` (relative to the
        root, or absolute) and ``label``.
    root
        The folder that is indexed.

    Raises
    ------
    InputError
        If the CSV file cannot be read, lacks a column, or gives one photo two labels.
    """
    if rule == "none":
        return lambda _: None, None
    if rule == "folder":
        return lambda path: folder_label(readable(root, path)), "folder"
    given = _read_csv(Path(rule), root)
    return lambda path: given.get(os.path.normpath(readable(root, path))), "csv"


def folder_label(path: bytes) -> str | None:
    """Return the name of the folder that holds a photo, without ImageNet's number in front."""
    folder = os.path.basename(os.path.dirname(path))
    return clean(WORDNET.sub("", folder.decode("utf-8", "replace"))) if folder else None


def clean(label: str) -> str | None:
    """Return a label as it is kept: composed (NFC), valid UTF-8, not empty."""
    # One form for one word: macOS writes accents in file names apart, CSV files have them composed.
    return unicodedata.normalize("NFC", label.encode("utf-8", "replace").decode()).strip() or None


def _read_csv(file: Path, root: bytes) -> dict[bytes, str]:
    labels: dict[bytes, str] = {}
    try:
        with file.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as lines:
            rows = csv.DictReader(lines)
            if not {"path", "label"} <= set(rows.fieldnames or ()):
                raise InputError(
                    "has no columns path and label",
                    path=file,
                    remedy="Begin the file with the line: path,label",
                )
            for row in rows:
                path = os.path.join(root, os.fsencode(row["path"] or ""))
                key = os.path.normpath(os.path.relpath(path, root))
                label = clean(row["label"] or "")
                if label is None:
                    continue
                if labels.setdefault(key, label) != label:
                    raise InputError(
                        f"line {rows.line_num} gives {printable(row['path'] or '')} "
                        f"a second label, {printable(label)}",
                        path=file,
                        remedy="Leave one line for each photo",
                    )
    except FileNotFoundError:
        raise InputError(
            "there is no such file",
            path=file,
            remedy="Labels come from folder, none, or a CSV file with the columns path and label",
        ) from None
    except (OSError, csv.Error) as error:
        raise InputError(f"cannot be read as CSV: {error}", path=file) from error
    return labels
