"""Vectors and catalogue as Apache Parquet."""

from pathlib import Path
from typing import Any

from houndsight.drafts import draft
from houndsight.exchange.extras import library
from houndsight.exchange.rows import Rows, utf8

__all__ = ["arrow", "write"]


def arrow() -> tuple[Any, Any]:
    """Return pyarrow and pyarrow.parquet; InputError if they are not installed."""
    return library("pyarrow", "parquet"), library("pyarrow.parquet", "parquet")


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
