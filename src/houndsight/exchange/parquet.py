"""Vectors and catalogue as Apache Parquet."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from houndsight.drafts import draft
from houndsight.errors import InputError
from houndsight.exchange.incoming import COLUMNS, Incoming
from houndsight.exchange.rows import BLOCK, Rows, utf8
from houndsight.extras import library

__all__ = ["arrow", "read", "write"]

VECTORS = ("vector", "vectors", "embedding", "embeddings")


def arrow() -> tuple[Any, Any]:
    """Return pyarrow and pyarrow.parquet; InputError if they are not installed."""
    use = ("parquet", "this format")
    return library("pyarrow", *use), library("pyarrow.parquet", *use)


def write(path: Path, rows: Rows) -> None:
    """Write one row for each item, by id.

    Columns: `id` int64, `path`, `label`, `label_source` strings, `digest` binary (32), `width`,
    `height` int32, `vector` fixed-size list of float32. The file's metadata hold ``fingerprint``,
    ``metric``, ``model`` and ``settings`` (JSON) under ``houndsight.`` and the name. A path's bytes
    that are not UTF-8 are written as backslash escapes, as Parquet's strings are UTF-8.
    """
    pa, parquet = arrow()
    facts = {
        "fingerprint": rows.fingerprint,
        "metric": rows.metric,
        "model": rows.gallery.model,
        "settings": rows.settings,
    }
    columns = {
        "id": pa.int64(),
        "path": pa.string(),
        "label": pa.string(),
        "label_source": pa.string(),
        "digest": pa.binary(32),
        "width": pa.int32(),
        "height": pa.int32(),
        "vector": pa.list_(pa.float32(), rows.dim),
    }
    schema = pa.schema(columns, {f"houndsight.{name}": value for name, value in facts.items()})
    names = iter(rows.paths)
    with draft(path) as unfinished, parquet.ParquetWriter(unfinished, schema) as writer:
        for items, vectors in rows.blocks():
            values = [
                [item.id for item in items],
                [utf8(next(names)) for _ in items],
                [item.label for item in items],
                [item.label_source for item in items],
                [item.digest for item in items],
                [item.width for item in items],
                [item.height for item in items],
            ]
            arrays = [pa.array(column, schema.field(n).type) for n, column in enumerate(values)]
            arrays.append(pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), rows.dim))
            writer.write_batch(pa.record_batch(arrays, schema=schema))


def read(path: Path, column: str | None = None) -> Incoming:
    """Read vectors, and what else the file says of them.

    The vectors are lists of real numbers, of fixed size or not, in the column that `column` names,
    else ``vector``, ``vectors``, ``embedding`` or ``embeddings``. Other columns as `write` has
    them, as far as they are there; vectors are read block by block.

    Raises
    ------
    InputError
        If it cannot be read, or holds no such vectors.
    """
    pa, parquet = arrow()
    try:
        with parquet.ParquetFile(path) as file:
            schema, count = file.schema_arrow, file.metadata.num_rows
            known = {name: one for name, one in COLUMNS.items() if one in schema.names}
            table = file.read(columns=list(known.values()))
            name = column or next((one for one in VECTORS if one in schema.names), VECTORS[0])
            if name not in schema.names:
                raise InputError(
                    f"holds no column {name}, only {', '.join(schema.names)}",
                    path=path,
                    remedy="Name the one that holds the vectors with --column",
                )
            first = next(file.iter_batches(1, columns=[name]), None)
    except (OSError, pa.ArrowException) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot be read: {reason}", path=path) from error
    dim = 0 if first is None else _matrix(first.column(0), path, name).shape[1]

    def blocks() -> Iterator[NDArray[Any]]:
        with parquet.ParquetFile(path) as again:
            # One group of rows after the other: asked for all at once they stay in memory.
            groups = range(again.metadata.num_row_groups)
            for batch in chain.from_iterable(
                again.iter_batches(BLOCK, row_groups=[group], columns=[name]) for group in groups
            ):
                block = _matrix(batch.column(0), path, name)
                if block.shape[1] != dim:
                    raise InputError("holds vectors of unequal lengths", path=path)
                yield block

    prefix = "houndsight."
    facts = {
        key.decode().removeprefix(prefix): value.decode("utf-8", "replace")
        for key, value in (schema.metadata or {}).items()
        if key.startswith(prefix.encode())
    }
    columns = {name: table[one].to_pylist() for name, one in known.items()}
    return Incoming(path, (count, dim), blocks, columns, facts)


def _matrix(lists: Any, path: Path, name: str) -> NDArray[Any]:
    """Return a column of lists of equal lengths as an array (n, dim)."""
    pa, _ = arrow()
    kind = lists.type
    several = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    number = (pa.types.is_floating, pa.types.is_integer)
    if not any(is_(kind) for is_ in several) or not any(is_(kind.value_type) for is_ in number):
        raise InputError(f"column {name} is {kind}, not lists of real numbers", path=path)
    values = lists.flatten()
    if lists.null_count or values.null_count:
        raise InputError(f"column {name} holds a null in a vector's place", path=path)
    lengths = set(lists.value_lengths().to_pylist())
    if len(lengths) > 1:
        raise InputError("holds vectors of unequal lengths", path=path)
    dim = lengths.pop() if lengths else 0
    return np.asarray(values.to_numpy(zero_copy_only=False)).reshape(len(lists), dim)
