"""Changes that can be undone: labels, removals, and where a root is."""

import os
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from houndsight.errors import InputError, printable
from houndsight.stores import Store
from houndsight.types import Item

__all__ = ["History"]


class History:
    """The part of a gallery that changes what is known of its items, never their vectors.

    Every change is a document ``history/<number>`` with the values before and after it.
    """

    store: Store

    def set_labels(self, labels: Mapping[int, str | None], *, source: str) -> int:
        """Give items labels, by id; None takes a label away. Returns how many changed.

        A label whose source is ``user`` is only changed by the source ``user``.
        """
        with self.store.transaction():
            changes: dict[Item, Mapping[str, Any]] = {}
            for item in self.store.items(labels):
                label = labels[item.id]
                # That a user took a label away is kept as well, or indexing would put it back.
                origin = source if label is not None or source == "user" else None
                if item.removed is not None or (item.label_source == "user" != source):
                    continue
                if (item.label, item.label_source) != (label, origin):
                    changes[item] = {"label": label, "label_source": origin}
            self._change("label", source, changes)
        return len(changes)

    def remove(self, ids: Collection[int], *, by: str = "user") -> int:
        """Take items out; their photos stay where they are. Returns how many were taken out.

        Indexing again does not bring back what the ``user`` removed, unless the file has changed.
        """
        with self.store.transaction():
            changes = {
                item: {"removed": by} for item in self.store.items(ids) if item.removed is None
            }
            self._change("remove", by, changes)
        return len(changes)

    def relocate(self, old: bytes, new: bytes) -> None:
        """Say that a root has moved; its items keep their ids.

        Raises
        ------
        InputError
            If `old` is no root, or `new` is no folder or a root already.
        """
        if not os.path.isdir(new):
            raise InputError(
                "there is no such folder", path=new, remedy="Name the folder as it is called now"
            )
        with self.store.transaction():
            roots = self.store.documents("roots")["roots"]
            by_place = {os.fsencode(root["place"]): number for number, root in roots.items()}
            if old not in by_place:
                known = ", ".join(printable(place) for place in by_place) or "none"
                raise InputError(
                    "is not an indexed folder", path=old, remedy=f"Indexed folders: {known}"
                )
            if new in by_place:
                raise InputError("is an indexed folder already", path=new)
            number = by_place[old]
            roots[number]["place"] = os.fsdecode(new)
            self.store.put_document("roots", roots)
            moved = {"root": number, "before": os.fsdecode(old), "after": os.fsdecode(new)}
            self._record({"action": "relocate", "by": "user", **moved})

    def undo(self) -> dict[str, Any] | None:
        """Take back the last change that was not taken back yet; returns its record, or None.

        Raises
        ------
        InputError
            If it cannot be taken back: the path is another item's now, or another root's.
        """
        with self.store.transaction():
            left = {
                name: body
                for name, body in self.store.documents("history/").items()
                if not body["undone"]
            }
            if not left:
                return None
            name = max(left)
            body: dict[str, Any] = left[name]
            if body["action"] == "relocate":
                roots = self.store.documents("roots")["roots"]
                if any(root["place"] == body["before"] for root in roots.values()):
                    raise InputError("is an indexed folder of its own by now", path=body["before"])
                roots[body["root"]]["place"] = body["before"]
                self.store.put_document("roots", roots)
            else:
                self._restore({int(key, 16): before for key, before, _ in body["changes"]})
            self.store.put_document(name, {**body, "undone": True})
        return body

    def _restore(self, before: Mapping[int, Mapping[str, Any]]) -> None:
        items = self.store.items(before)
        # Who is at the path now, for an item that would come back to it.
        for item in items:
            back = item.removed is not None and "removed" in before[item.id]
            rivals = self.store.at(item.root, [item.path]) if back else []
            if any(rival.removed is None for rival in rivals):
                raise InputError("cannot come back: its path is another item's now", path=item.path)
        self.store.put([replace(item, **before[item.id]) for item in items], {})

    def _make_final(self) -> None:
        """Put removals that can no longer be undone on record as such: their vectors are gone."""
        with self.store.transaction():
            for name, body in self.store.documents("history/").items():
                if body["action"] == "remove" and not body["undone"]:
                    ids = {int(key, 16) for key, *_ in body["changes"]}
                    items = self.store.items(ids)
                    there = self.store.with_digests({item.digest for item in items})
                    if not ids <= {item.id for item in there}:
                        self.store.put_document(name, {**body, "undone": True})

    def _change(self, action: str, by: str, changes: Mapping[Item, Mapping[str, Any]]) -> None:
        if not changes:
            return
        self.store.put([replace(item, **after) for item, after in changes.items()], {})
        rows = [
            [item.key, {name: getattr(item, name) for name in after}, dict(after)]
            for item, after in changes.items()
        ]
        self._record({"action": action, "by": by, "changes": rows})

    def _record(self, body: dict[str, Any]) -> None:
        last = max(self.store.documents("history/"), default="history/0")
        number = int(last.split("/")[1]) + 1
        time = datetime.now(UTC).isoformat(timespec="seconds")
        self.store.put_document(f"history/{number:012d}", {"time": time, "undone": False, **body})
