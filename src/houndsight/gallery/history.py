"""Changes that can be undone: labels, removals, photos added by hand, and where a root is."""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from houndsight.errors import InputError, printable
from houndsight.gallery.documents import Documented, understood
from houndsight.listing import is_place
from houndsight.types import Item

__all__ = ["Change", "History"]


@dataclass(frozen=True, slots=True)
class Change:
    """A change by its number on record (None where nothing changed), and how many items it met."""

    number: int | None
    count: int


class History(Documented):
    """The part of a gallery that changes what is known of its items, never their vectors.

    Every change is a document ``history/<number>`` with the values before and after it.
    """

    def set_labels(self, labels: Mapping[int, str | None], *, source: str) -> Change:
        """Give items labels, by id; None takes a label away.

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
            return self._change("label", source, changes)

    def remove(self, ids: Collection[int], *, by: str = "user") -> Change:
        """Take items out; their photos stay where they are.

        Indexing again does not bring back what the ``user`` removed, unless the file has changed.
        Copies of photos that were added by hand are deleted when the gallery is compacted.
        """
        with self.store.transaction():
            changes = {
                item: {"removed": by} for item in self.store.items(ids) if item.removed is None
            }
            return self._change("remove", by, changes)

    def relocate(self, old: bytes, new: bytes) -> None:
        """Say that a root has moved; its items keep their ids.

        Raises
        ------
        InputError
            If `old` is no root, or `new` is no folder or a root already.
        """
        if not is_place(new):
            raise InputError(
                "there is no such folder or archive",
                path=new,
                remedy="Name the folder as it is called now",
            )
        with self.store.transaction(), understood(self.place, "its folders"):
            roots = self.document("roots")
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

    def undo(self, number: int | None = None) -> dict[str, Any] | None:
        """Take back a change.

        Parameters
        ----------
        number
            Which change, whatever came after it; the last that was not taken back yet when None.

        Returns
        -------
        dict or None
            What is on record of the change, and its ``number``; None if there is none left.

        Raises
        ------
        InputError
            If it cannot be taken back: its path is another item's now, or another root's, or its
            vector was given up. With a number also if there is no such change, it was taken back
            already, or what it changed was changed again since.
        """
        with self.store.transaction(), understood(self.place, "changes"):
            name = self._last() if number is None else f"history/{number:012d}"
            if name is None:
                return None
            body: dict[str, Any] | None = self.store.document(name)
            if body is None:
                raise InputError(
                    f"there is no change {number}",
                    path=self.place,
                    remedy="Leave the number out to take back the last change",
                )
            if number is not None:
                self._check_untouched(number, body)
            if body["action"] == "relocate":
                roots = self.document("roots")
                if any(root["place"] == body["before"] for root in roots.values()):
                    raise InputError("is an indexed folder of its own by now", path=body["before"])
                roots[body["root"]]["place"] = body["before"]
                self.store.put_document("roots", roots)
            else:
                self._restore({int(key, 16): before for key, before, _ in body["changes"]})
            self.store.put_document(name, {**body, "undone": True})
        return {"number": _number(name), **body}

    def _last(self) -> str | None:
        """Return the name of the newest change that was not taken back."""
        for name in reversed(self.store.names("history/")):
            if not self.store.document(name)["undone"]:
                return name
        return None

    def _check_untouched(self, number: int, body: Mapping[str, Any]) -> None:
        """Raise InputError if a change was taken back, or what it gave is no longer so."""
        if body["undone"]:
            why = "was made final by compact" if body.get("final") else "was taken back already"
            raise InputError(f"change {number} {why}", path=self.place)
        by_hand = "Change it again by hand, or take back the later change first"
        if body["action"] == "relocate":
            roots = self.document("roots")
            if roots[body["root"]]["place"] != body["after"]:
                raise InputError(
                    f"was relocated again since change {number}",
                    path=roots[body["root"]]["place"],
                    remedy=by_hand,
                )
            return
        ids = [int(key, 16) for key, *_ in body["changes"]]
        items = {item.key: item for item in self.store.items(ids)}
        for key, _, after in body["changes"]:
            if key not in items:
                raise InputError(
                    f"item {key} of change {number} is gone, compact has forgotten it",
                    path=self.place,
                )
            if any(getattr(items[key], name) != value for name, value in after.items()):
                raise InputError(
                    f"item {key} was changed again since change {number}",
                    path=items[key].path,
                    remedy=by_hand,
                )

    def _restore(self, before: Mapping[int, Mapping[str, Any]]) -> None:
        items = self.store.items(before)
        back = [
            item
            for item in items
            if item.removed is not None and before[item.id].get("removed", "") is None
        ]
        there = {item.id for item in self.store.with_digests({item.digest for item in back})}
        for item in back:
            if item.id not in there:
                raise InputError("cannot come back: compact gave up its vector", path=item.path)
            # Who is at the path now?
            rivals = self.store.at(item.root, [item.path])
            if any(rival.removed is None for rival in rivals):
                raise InputError("cannot come back: its path is another item's now", path=item.path)
        self.store.put([replace(item, **before[item.id]) for item in items], {})

    def _make_final(self) -> None:
        """Put changes that can no longer be undone on record as such.

        Those are removals of which a vector was given up, and what is of forgotten items alone.
        """
        with self.store.transaction(), understood(self.place, "changes"):
            for name, body in self.store.documents("history/").items():
                if body["undone"] or "changes" not in body:
                    continue
                ids = {int(key, 16) for key, *_ in body["changes"]}
                items = self.store.items(ids)
                there = self.store.with_digests({item.digest for item in items})
                given_up = not ids <= {item.id for item in there}
                if not items or (body["action"] == "remove" and given_up):
                    self.store.put_document(name, {**body, "undone": True, "final": True})

    def _change(self, action: str, by: str, changes: Mapping[Item, Mapping[str, Any]]) -> Change:
        if not changes:
            return Change(None, 0)
        self.store.put([replace(item, **after) for item, after in changes.items()], {})
        rows = [
            [item.key, {name: getattr(item, name) for name in after}, dict(after)]
            for item, after in changes.items()
        ]
        number = self._record({"action": action, "by": by, "changes": rows})
        return Change(number, len(rows))

    def _record(self, body: dict[str, Any]) -> int:
        with understood(self.place, "changes"):
            number = max(map(_number, self.store.names("history/")), default=0) + 1
        time = datetime.now(UTC).isoformat(timespec="seconds")
        self.store.put_document(f"history/{number:012d}", {"time": time, "undone": False, **body})
        return number


def _number(name: str) -> int:
    return int(name.removeprefix("history/"))
