"""What counts as damage of a gallery in Milvus."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator

from houndsight.errors import DamagedGallery
from houndsight.stores.milvus.client import Server
from houndsight.stores.milvus.near import Near
from houndsight.stores.milvus.rows import ITEMS, OUT, Row, crc_of, faults
from houndsight.stores.milvus.texts import Texts, key_of, name_of

__all__ = ["damage"]


def damage(
    server: Server, texts: Texts, near: Near, passed: Collection[int], size: int
) -> Iterator[str]:
    """Say what is damaged, but not of items whose ids are `passed` over.

    `size` is that of a row in bytes.
    """
    for key in texts.keys(key_of("")):
        try:
            for _, text in texts.read([key]).values():
                json.loads(text)
        except DamagedGallery as error:
            yield error.cause
        except ValueError:
            yield f"document {name_of(key)!r}: is not JSON"
    count = 0
    places: dict[tuple[int, bytes], int] = {}
    live: dict[int, int] = {}  # checksums of vectors
    for some in server.every(ITEMS, "", [*OUT, "vector"], size):
        count += len(some)
        for row in some:
            if int(row["id"]) in passed:
                continue
            name, found = f"item {int(row['id']):016x}", faults(row)
            yield from (f"{name}: {fault}" for fault in found)
            if not row["removed"]:
                live[int(row["id"])] = row["vector_crc"]
            if not found and not row["removed"]:
                item = Row.read(row).item
                if places.setdefault((item.root, item.path), item.id) != item.id:
                    yield f"{name}: its path is also another item's"
    counted = server.count(ITEMS)
    if counted != count:
        yield f"Milvus counts {counted:,} items and returns {count:,}"
    if near.index() is not None:
        yield from _of_index(near, passed, live)


def _of_index(near: Near, passed: Collection[int], live: dict[int, int]) -> Iterator[str]:
    """Say whether the index has other vectors than those of live items, by their checksums."""
    left, wrong = dict(live), 0
    for some in near.every():
        for row in some:
            if int(row["id"]) not in passed:
                wrong += left.pop(int(row["id"]), None) != crc_of(row["vector"])
    if wrong or left:
        yield (
            f"the index for approximate searches lacks {len(left):,} vectors and has {wrong:,} "
            "that are not as stored: run houndsight tune --rebuild; exact searches are right"
        )
