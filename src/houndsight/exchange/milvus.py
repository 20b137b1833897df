"""A folder for Milvus's bulk import: Parquet files, and the collection's schema as JSON."""

import json
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

from houndsight.drafts import draft_folder
from houndsight.exchange.parquet import arrow
from houndsight.exchange.rows import BLOCK, Rows, utf8

__all__ = ["write"]

# Milvus takes no file of more than 16 GB; its own writer begins a new one at 1 GiB.
FILE_BYTES = 1 << 30
# Numbers of Milvus's data types, as its clients write them.
INT32, INT64, VARCHAR, FLOAT_VECTOR = 4, 5, 21, 101
SHORTEST = 256
LONGEST = 65_535


def write(path: Path, rows: Rows) -> None:
    """Write ``1.parquet``, ``2.parquet`` and so on, and ``schema.json``.

    The schema is what pymilvus's ``CollectionSchema.construct_from_dict`` takes. Fields: `id` (the
    key), `path`, `label` ("" for none), `width`, `height` and `vector`. Milvus reads vectors from
    lists of any length, not from fixed-size ones.
    """
    pa, parquet = arrow()
    paths = [utf8(name) for name in rows.paths]
    labels = [item.label or "" for item in rows.items]
    schema = pa.schema(
        {
            "id": pa.int64(),
            "path": pa.string(),
            "label": pa.string(),
            "width": pa.int32(),
            "height": pa.int32(),
            "vector": pa.list_(pa.float32()),
        }
    )
    per_file = max(1, FILE_BYTES // (4 * rows.dim * BLOCK))  # blocks
    blocks = rows.blocks()
    done = 0
    with draft_folder(path) as folder:
        for number in count(1):
            some = islice(blocks, per_file)
            first = next(some, None)
            if first is None:
                break
            with parquet.ParquetWriter(folder / f"{number}.parquet", schema) as writer:
                for items, vectors in chain([first], some):
                    end = done + len(items)
                    ends = pa.array(range(0, vectors.size + 1, rows.dim), pa.int32())
                    arrays = [
                        pa.array([item.id for item in items], pa.int64()),
                        pa.array(paths[done:end], pa.string()),
                        pa.array(labels[done:end], pa.string()),
                        pa.array([item.width for item in items], pa.int32()),
                        pa.array([item.height for item in items], pa.int32()),
                        pa.ListArray.from_arrays(ends, pa.array(vectors.ravel())),
                    ]
                    writer.write_batch(pa.record_batch(arrays, schema=schema))
                    done = end
        text = json.dumps(_schema(rows, paths, labels), indent=1)
        (folder / "schema.json").write_text(text + "\n", encoding="utf-8")


def _schema(rows: Rows, paths: list[str], labels: list[str]) -> dict[str, Any]:
    fields = [
        {"name": "id", "type": INT64, "is_primary": True, "auto_id": False},
        {"name": "path", "type": VARCHAR, "params": {"max_length": _room(paths)}},
        {"name": "label", "type": VARCHAR, "params": {"max_length": _room(labels)}},
        {"name": "width", "type": INT32},
        {"name": "height", "type": INT32},
        {"name": "vector", "type": FLOAT_VECTOR, "params": {"dim": rows.dim}},
    ]
    return {
        "auto_id": False,
        "description": f"houndsight, {rows.gallery.model}, metric {rows.metric}, fingerprint "
        f"{rows.fingerprint}",
        "fields": [{"description": "", **field} for field in fields],
        "enable_dynamic_field": False,
    }


def _room(texts: list[str]) -> int:
    """Return the length in bytes that a column of texts needs, with some to spare."""
    longest = max((len(text.encode()) for text in texts), default=0)
    return min(LONGEST, max(SHORTEST, 2 * longest))
