"""A connection to Milvus: its calls, tried again a few times, with errors that say what to do."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from houndsight.errors import GalleryError
from houndsight.stores.address import TOKEN, Address
from houndsight.stores.milvus.lite import cleared, leave, library, mended, serve

__all__ = ["BYTES", "Field", "Server", "quoted"]

Field = tuple[str, str, dict[str, Any]]  # a name, a type of Milvus, and what else there is to say

WAITS_S = (0.2, 1.0)  # before the second and the third attempt
CALL_S = 30.0  # the longest that one attempt may take; the client tries again within it
CONNECT_S = 10.0
BUILD_S = 86_400.0  # an index of many vectors takes hours
STRONG = "Strong"  # every read sees every write that was acknowledged before it
BATCH = 1000  # values in one filter; rows of one answer
BYTES = 8 << 20  # of vectors in one message: servers refuse some 64 MB
# Numbers of gRPC's status codes that a second attempt may change, and their names.
_PASSING = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED"}
_REFUSED = re.compile(r"\bauth\b|unauth|authenticat|authoriz|permission.?denied", re.IGNORECASE)
_CONNECTING = 2  # the client's code for a server that cannot be reached


class Server:
    """The calls of Milvus that a store needs, on the collections of one gallery.

    Parameters
    ----------
    address
        Where it is. A file of Milvus Lite is served within this process, and by one process at a
        time.

    Raises
    ------
    InputError
        If the client is not installed.
    GalleryBusy
        If another process has the file of Milvus Lite open.
    GalleryError
        If there is no server, or it refuses.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self._library = library("pymilvus")
        uri = address.server if address.file is None else serve(address)
        try:
            self._client = self._again(
                lambda: self._library.MilvusClient(
                    uri=uri, token=os.environ.get(TOKEN, ""), timeout=CONNECT_S, dedicated=True
                )
            )
        except BaseException:
            leave(address)
            raise

    def close(self) -> None:
        """End the connection, and what serves the file of Milvus Lite if nobody uses it."""
        if self._client is not None:
            with contextlib.suppress(Exception):  # there is nothing that could be done about it
                self._client.close()
            self._client = None
            leave(self.address)

    def name(self, collection: str) -> str:
        """Return the full name of one of the gallery's collections."""
        return f"{self.address.name}_{collection}"

    # Collections

    def has(self, collection: str) -> bool:
        """Return whether the gallery has a collection."""
        return bool(self._call("has_collection", collection))

    def make(
        self,
        collection: str,
        fields: Sequence[Field],
        *,
        flat: bool = True,
        derived: bool = False,
        asked_for: Sequence[str] = (),
    ) -> None:
        """Make a collection of (name, type, how) fields, searched by brute force, and load it.

        Where not `flat`, `build` makes it one that can be searched; `derived` are those that can be
        made of others. Rows are found by the texts in fields that are `asked_for` without a look at
        all others. What was made of it before is gone on with; GalleryError if that has other
        fields.
        """
        if self.has(collection):
            self.fits(collection, fields)
        else:
            schema = self._library.MilvusClient.create_schema(
                auto_id=False, enable_dynamic_field=False
            )
            for name, kind, how in fields:
                schema.add_field(name, getattr(self._library.DataType, kind), **how)
            with cleared(self.address, self.name(collection), derived=derived):
                self._call("create_collection", collection, schema=schema, consistency_level=STRONG)
        if flat:
            kinds = {"vector": "FLAT", **dict.fromkeys(asked_for, "INVERTED")}
            lacking = {name: kinds[name] for name in kinds if not self.indexed(collection, name)}
            if lacking:
                # It would sleep half a second for each, and there are no rows to wait for.
                index = self._indexes(lacking, {})
                self._call("create_index", collection, index_params=index, sync=False)
            self.load(collection)

    def indexed(self, collection: str, field: str) -> bool:
        """Return whether a field of a collection has an index."""
        return bool(self._call("list_indexes", collection, field_name=field))

    def build(self, collection: str, kind: str, parameters: Mapping[str, int]) -> None:
        """Index the rows of a collection that was made without, and load it; waits for it."""
        index = self._indexes({"vector": kind}, parameters)
        self._call("flush", collection, timeout=BUILD_S)
        self._call("create_index", collection, timeout=BUILD_S, index_params=index)
        self.load(collection)

    def load(self, collection: str) -> None:
        """Make sure that a collection can be searched."""
        try:
            self._call("load_collection", collection, timeout=BUILD_S)
        except GalleryError:
            if self.address.file is None:
                raise
            with mended(self.address, self.name(collection)):
                self._call("load_collection", collection, timeout=BUILD_S)

    def _indexes(self, kinds: Mapping[str, str], parameters: Mapping[str, int]) -> Any:
        """Return what makes an index of a kind for each field; `parameters` are of the vectors'."""
        indexes = self._library.MilvusClient.prepare_index_params()
        # Within "params", as they are sent as JSON: servers read both, Milvus Lite only that.
        inner = {"params": dict(parameters)} if parameters else {}
        for field, kind in kinds.items():
            how = {"metric_type": "L2", "params": inner} if field == "vector" else {}
            indexes.add_index(field, index_type=kind, **how)
        return indexes

    def check(self, collection: str, fields: Sequence[Field]) -> int:
        """Load a collection; GalleryError unless it has these fields. Returns its vectors' dim."""
        dim = self.fits(collection, fields)
        self.load(collection)
        return dim

    def fits(self, collection: str, fields: Sequence[Field]) -> int:
        """Return the dim of a collection's vectors; GalleryError unless it has these fields."""
        found = {
            one["name"]: one for one in self._call("describe_collection", collection)["fields"]
        }
        for name, kind, _ in fields:
            if name not in found:
                raise self._foreign(collection, f"has no field {name}")
            if found[name]["type"] != getattr(self._library.DataType, kind):
                raise self._foreign(collection, f"has a field {name} that is no {kind}")
        return int(found["vector"]["params"]["dim"])

    def _foreign(self, collection: str, fault: str) -> GalleryError:
        return GalleryError(
            f"its collection {self.name(collection)} {fault}, so houndsight did not make it",
            path=self.address,
            remedy="Name another gallery, or another database",
        )

    def drop(self, collection: str) -> None:
        """Delete a collection."""
        self._call("drop_collection", collection)

    # Rows

    def write(self, collection: str, rows: Sequence[dict[str, Any]], size: int = 1000) -> None:
        """Write rows by their keys, those that are there too; `size` is what one has of bytes."""
        step = max(1, min(BATCH, BYTES // size))
        for start in range(0, len(rows), step):
            self._call("upsert", collection, data=list(rows[start : start + step]))

    def delete(self, collection: str, keys: Sequence[Any]) -> None:
        """Delete rows by their keys."""
        for start in range(0, len(keys), BATCH):
            self._call("delete", collection, ids=list(keys[start : start + BATCH]))

    def settle(self, collection: str) -> None:
        """Have Milvus Lite put rows that were written where reading is quick.

        Until then it goes through them one by one for each answer, a tenth of a millisecond for
        each. A server does all this by itself, and should not be told to. To be called by who has
        the right to write: Lite may lose what others write meanwhile, and readers do not see what
        is on its way.
        """
        if self._is_lite:
            self._call("flush", collection)

    @functools.cached_property
    def _is_lite(self) -> bool:
        if self.address.file is not None:
            return True
        with contextlib.suppress(GalleryError):
            version = self._again(lambda: self._client.get_server_version(timeout=CALL_S))
            return str(version).startswith("milvus_lite")
        return False  # who does not say so is none

    def rows(
        self,
        collection: str,
        field: str,
        values: Sequence[Any],
        out: Sequence[str],
        condition: str = "",
        size: int = 1000,
    ) -> list[dict[str, Any]]:
        """Return the rows whose field has one of these values, numbers or plain texts."""
        found: list[dict[str, Any]] = []
        step = max(1, min(BATCH, BYTES // size))
        for start in range(0, len(values), step):
            among = f"{field} in [{', '.join(map(quoted, values[start : start + step]))}]"
            asked = f"{among} and {condition}" if condition else among
            found += self._call(
                "query",
                collection,
                filter=asked,
                output_fields=list(out),
                consistency_level=STRONG,
            )
        return found

    def every(
        self, collection: str, condition: str, out: Sequence[str], size: int = 1000
    ) -> Iterator[list[dict[str, Any]]]:
        """Yield all rows that fulfil a condition, some at a time."""
        walk = self._call(
            "query_iterator",
            collection,
            batch_size=max(1, min(BATCH, BYTES // size)),
            filter=condition,
            output_fields=list(out),
            consistency_level=STRONG,
        )
        try:
            while rows := self._again(walk.next):
                yield rows
        finally:
            walk.close()

    def count(self, collection: str, condition: str = "") -> int:
        """Return how many rows fulfil a condition."""
        found = self._call(
            "query",
            collection,
            filter=condition,
            output_fields=["count(*)"],
            consistency_level=STRONG,
        )
        return int(found[0]["count(*)"])

    def search(
        self,
        collection: str,
        queries: Sequence[Any],
        limit: int,
        condition: str,
        told: Mapping[str, int] | None = None,
    ) -> list[list[dict[str, Any]]]:
        """Return for each query the nearest rows: `id` and `distance`, which is squared.

        `told` is what the search of an index needs to know.
        """
        found = self._call(
            "search",
            collection,
            data=list(queries),
            anns_field="vector",
            limit=limit,
            filter=condition,
            output_fields=["id"],
            search_params={"metric_type": "L2", "params": dict(told or {})},
            consistency_level=STRONG,
        )
        return [list(one) for one in found]

    def _call(self, method: str, collection: str, timeout: float = CALL_S, **how: Any) -> Any:
        call = getattr(self._client, method)
        return self._again(lambda: call(self.name(collection), timeout=timeout, **how))

    def _again(self, call: Any) -> Any:
        """Call; where what failed may pass, twice more. Every call here may be made twice."""
        for wait in (*WAITS_S, None):
            try:
                return call()
            except Exception as error:
                # Also what its libraries raise: gRPC's errors, or ValueError on a closed channel.
                if wait is None or not _passing(error):
                    raise self._told(error) from error
                time.sleep(wait)
        raise AssertionError  # not reached: the last attempt returns or raises

    def _told(self, error: Exception) -> GalleryError:
        text = " ".join(str(getattr(error, "message", "") or error).split())
        if _code(error) == _CONNECTING:
            return GalleryError(
                "there is no answer from a Milvus server",
                path=self.address,
                remedy=f"Check that it runs, host and port, {TOKEN} if it asks for a token, and "
                "whether it wants milvus+tls://",
            )
        if _passing(error):
            return GalleryError(
                f"Milvus did not answer in time, {len(WAITS_S) + 1} times: {text[:200]}",
                path=self.address,
                remedy="Check the server's health, and run the command again: it goes on where "
                "it was",
            )
        if _REFUSED.search(text):
            return GalleryError(
                "Milvus refuses the token, or asks for one",
                path=self.address,
                remedy=f"Put the right one into {TOKEN}",
            )
        return GalleryError(
            f"Milvus answers with an error: {text[:300]}",
            path=self.address,
            remedy="The server's log says more",
        )


def quoted(value: Any) -> str:
    """Return a number or a text as a filter has it.

    Filters here are made of numbers and of hexadecimal texts alone, so that nothing needs be
    escaped: servers differ in what escapes they know.
    """
    if isinstance(value, str):
        if not value.isascii() or not value.replace("-", "").replace(".", "").isalnum():
            raise ValueError(value)
        return f'"{value}"'
    return str(int(value))


def _code(error: Exception) -> Any:
    code = getattr(error, "code", None)
    return code() if callable(code) else code


def _passing(error: Exception) -> bool:
    code = _code(error)
    return (
        code == _CONNECTING
        or getattr(code, "name", None) in _PASSING
        or bool(getattr(error, "retriable", False))
        or isinstance(error, TimeoutError | ConnectionError)
    )
