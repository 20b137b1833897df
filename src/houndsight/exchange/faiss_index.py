"""Vectors as an index of FAISS."""

from pathlib import Path

import numpy as np

from houndsight.drafts import draft
from houndsight.errors import unwritable
from houndsight.exchange.rows import Rows
from houndsight.extras import library

__all__ = ["write"]


def write(path: Path, rows: Rows) -> None:
    """Write an IndexIDMap2 over an IndexFlatL2: exact, with the items' ids.

    The distances that it gives are squares of houndsight's. FAISS holds all vectors in memory
    before it writes them.
    """
    faiss = library("faiss", "faiss", "this format")
    index = faiss.IndexIDMap2(faiss.IndexFlatL2(rows.dim))
    for items, vectors in rows.blocks():
        index.add_with_ids(vectors, np.array([item.id for item in items], np.int64))
    with draft(path) as unfinished:
        unfinished.touch()  # where that fails, the system says why
        try:
            faiss.write_index(index, str(unfinished))
        except RuntimeError as error:
            raise unwritable(path, error) from error
