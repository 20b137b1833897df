"""A folder that FiftyOne reads as a data set: its format FiftyOneDataset, without FiftyOne."""

import base64
import hashlib
import io
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from houndsight.drafts import draft_folder
from houndsight.exchange.rows import Rows, utf8
from houndsight.types import Item

__all__ = ["write"]

# Newer releases of FiftyOne bring the folder up to date while they read it.
VERSION = "1.0.0"
FIELDS = "fiftyone.core.fields."
OBJECT_ID, STRING, INTEGER = f"{FIELDS}ObjectIdField", f"{FIELDS}StringField", f"{FIELDS}IntField"
LIST, DOCUMENT = f"{FIELDS}ListField", f"{FIELDS}EmbeddedDocumentField"
FLOAT, TIME, VECTOR = f"{FIELDS}FloatField", f"{FIELDS}DateTimeField", f"{FIELDS}VectorField"


def write(path: Path, rows: Rows) -> None:
    """Write ``metadata.json`` and ``samples.json``; photos stay where they are.

    A sample has `filepath`, `metadata` (bytes, width, height), `ground_truth` (a Classification,
    where the photo has a label), `houndsight_id` (16 hex digits) and the vector `embedding`.
    """
    names = iter(rows.paths)
    with draft_folder(path) as folder:
        _dump(folder / "metadata.json", _metadata(rows))
        with (folder / "samples.json").open("w", encoding="ascii") as file:
            file.write('{"samples": [')
            comma = ""
            for items, vectors in rows.blocks():
                for item, vector in zip(items, vectors, strict=True):
                    file.write(f"{comma}\n{json.dumps(_sample(item, next(names), vector))}")
                    comma = ","
            file.write("\n]}\n")


def _dump(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="ascii")


def _object_id(*of: str) -> dict[str, str]:
    """Return an identifier as MongoDB's are, 24 hex digits; the same for the same words."""
    return {"$oid": hashlib.sha256("\0".join(of).encode()).hexdigest()[:24]}


def _sample(item: Item, path: str, vector: NDArray[np.float32]) -> dict[str, Any]:
    label = None
    if item.label is not None:
        label = {
            "_id": _object_id("label", item.key),
            "_cls": "Classification",
            "tags": [],
            "label": item.label,
        }
    return {
        "_id": _object_id("sample", item.key),
        "filepath": utf8(path),
        "tags": [],
        "metadata": {
            "_cls": "ImageMetadata",
            "size_bytes": item.size,
            "width": item.width,
            "height": item.height,
        },
        "_media_type": "image",
        # FiftyOne draws random samples by it; any number from 0 to 1 will do.
        "_rand": item.id / (1 << 63),
        "houndsight_id": item.key,
        "ground_truth": label,
        "embedding": _packed(vector),
    }


def _packed(vector: NDArray[np.float32]) -> dict[str, Any]:
    """Return a vector as FiftyOne keeps it: NumPy's own format, compressed, in base 64."""
    buffer = io.BytesIO()
    np.save(buffer, vector, allow_pickle=False)
    data = base64.b64encode(zlib.compress(buffer.getvalue())).decode("ascii")
    return {"$binary": {"base64": data, "subType": "00"}}


def _field(
    name: str,
    kind: str,
    *,
    stored: str | None = None,
    of: str | None = None,
    subfield: str | None = None,
    fields: tuple[dict[str, Any], ...] = (),
    description: str | None = None,
) -> dict[str, Any]:
    return {
        "name": name,
        "ftype": kind,
        "embedded_doc_type": of,
        "subfield": subfield,
        "fields": list(fields),
        "db_field": stored or name,
        "description": description,
        "info": None,
        "read_only": False,
        "created_at": None,
    }


def _metadata(rows: Rows) -> dict[str, Any]:
    name = f"houndsight-{rows.gallery.fingerprint[:12]}"
    made = _object_id("data set", rows.gallery.fingerprint)
    tags = _field("tags", LIST, subfield=STRING)
    sizes = ("size_bytes", "width", "height", "num_channels")
    return {
        "_id": made,
        "name": name,
        "slug": name,
        "version": VERSION,
        "sample_collection_name": f"samples.{made['$oid']}",
        "persistent": False,
        "media_type": "image",
        "group_media_types": {},
        "tags": [],
        "info": {
            "made_by": "houndsight",
            "model": rows.gallery.model,
            "metric": rows.metric,
            "fingerprint": rows.fingerprint,
        },
        "app_config": {},
        "classes": {},
        "default_classes": [],
        "mask_targets": {},
        "default_mask_targets": {},
        "skeletons": {},
        "sample_fields": [
            _field("id", OBJECT_ID, stored="_id"),
            _field("filepath", STRING),
            tags,
            _field(
                "metadata",
                DOCUMENT,
                of="fiftyone.core.metadata.ImageMetadata",
                fields=(
                    *(_field(size, INTEGER) for size in sizes),
                    _field("mime_type", STRING),
                ),
            ),
            _field("_media_type", STRING),
            _field("_rand", FLOAT),
            _field("_dataset_id", OBJECT_ID),
            _field("created_at", TIME),
            _field("last_modified_at", TIME),
            _field("houndsight_id", STRING, description="The photo's id in the gallery"),
            _field(
                "ground_truth",
                DOCUMENT,
                of="fiftyone.core.labels.Classification",
                fields=(
                    _field("id", OBJECT_ID, stored="_id"),
                    tags,
                    _field("label", STRING),
                    _field("confidence", FLOAT),
                    _field("logits", VECTOR),
                ),
            ),
            _field("embedding", VECTOR, description=f"{rows.gallery.model}, {rows.metric}"),
        ],
        "frame_fields": [],
        "saved_views": [],
        "workspaces": [],
        "annotation_runs": {},
        "brain_methods": {},
        "evaluations": {},
        "runs": {},
    }
