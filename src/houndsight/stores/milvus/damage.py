"""What counts as damage of a gallery in Milvus."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping

from houndsight.errors import DamagedGallery, GalleryError
from houndsight.stores.milvus.client import Server
from houndsight.stores.milvus.derived import Derived
from houndsight.stores.milvus.rows import ITEMS, OUT, Row, faults
from houndsight.stores.milvus.texts import Texts, key_of, name_of

__all__ = ["damage"]


def damage(
    server: Server,
    texts: Texts,
    derived: Mapping[str, Derived | None],
    passed: Collection[int],
    size: int,
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
    live: set[int] = set()
    for some in server.every(ITEMS, "", [*OUT, "vector"], size):
        count += len(some)
        for row in some:
            if int(row["id"]) in passed:
                continue
            name, found = f"item {int(row['id']):016x}", faults(row)
            yield from (f"{name}: {fault}" for fault in found)
            if not row["removed"]:
                live.add(int(row["id"]))
            if not found and not row["removed"]:
                item = Row.read(row).item
                if places.setdefault((item.root, item.path), item.id) != item.id:
                    yield f"{name}: its path is also another item's"
    counted = server.count(ITEMS)
    if counted != count:
        yield f"Milvus counts {counted:,} items and returns {count:,}"
    for name, one in derived.items():
        if one is None:
            yield (
                f"what the collection {server.name(name)} is made by cannot be read: run "
                "houndsight compact, which takes it away; searches are right"
            )
        else:
            yield from _of_derived(one, live, passed)


def _of_derived(one: Derived, live: Collection[int], passed: Collection[int]) -> Iterator[str]:
    told = one.whole()
    if told is None:
        return
    try:
        lacking, wrong = one.differences(live, passed)
    except GalleryError as error:
        if one.whole() == told:
            yield f"{one.called} cannot be read: {error.cause}: {one.remedy}"
        return
    if lacking or wrong:
        yield (
            f"{one.called} lacks {lacking:,} vectors and has {wrong:,} that are not as stored: "
            f"{one.remedy}"
        )
