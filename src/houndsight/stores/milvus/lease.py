"""The right to do something alone, among all who are connected to one Milvus."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from houndsight.errors import GalleryBusy, GalleryError
from houndsight.stores.milvus.client import Field, Server

__all__ = ["FIELDS", "LOCK", "Lease"]

LOCK = "lock"
FIELDS: tuple[Field, ...] = (
    ("key", "VARCHAR", {"is_primary": True, "max_length": 64}),
    ("right", "VARCHAR", {"max_length": 64}),
    ("who", "VARCHAR", {"max_length": 1024}),
    ("machine", "VARCHAR", {"max_length": 1024}),
    ("pid", "INT64", {}),
    ("until_ms", "INT64", {}),
    ("vector", "FLOAT_VECTOR", {"dim": 2}),  # Milvus wants one
)
OUT = [name for name, *_ in FIELDS if name != "vector"]
LASTS_S = 60.0  # a claim that is not renewed counts for so long
RENEWED_S = 10.0
# Half: the other half is for clocks that differ, and for messages on their way.
SURE_S = LASTS_S / 2


class Lease:
    """A right, by its name, that one at a time can hold.

    Whoever wants it writes a claim and then reads all claims: it is theirs if there is no other;
    else they take theirs back and try again a little later. Reads see every write that was
    acknowledged before, so of two who claim at the same time the one who reads last sees the other:
    never both hold it. That asks nothing of the order in which Milvus gives out numbers, which
    several of its proxies do not keep. A claim counts until its time is over, and is renewed
    while it is held; that of a process of this machine that is gone does not count.
    """

    def __init__(self, server: Server, right: str) -> None:
        self._server = server
        self._right = right
        self._key = ""
        self._renewed = 0.0

    @contextlib.contextmanager
    def held(self, patience_s: float) -> Iterator[None]:
        """Hold the right; GalleryBusy, with who has it, if it is not to be had in time."""
        self._claim(patience_s)
        over = threading.Event()
        keeper = threading.Thread(target=self._keep, args=(over,), daemon=True)
        keeper.start()
        try:
            yield
        finally:
            over.set()
            keeper.join()
            # Where that fails it is over by itself in a while.
            with contextlib.suppress(GalleryError):
                self._server.delete(LOCK, [self._key])

    def check(self) -> None:
        """Raise GalleryError if others may think that the right is free."""
        if time.monotonic() - self._renewed > SURE_S:
            raise GalleryError(
                "the right to write was lost, as Milvus was not reached for too long; nothing of "
                "this step was stored",
                path=self._server.address,
                remedy="Run the command again",
            )

    def _claim(self, patience_s: float) -> None:
        until = time.monotonic() + patience_s
        while True:
            self._key = uuid.uuid4().hex
            self._write()
            others = self._others()
            if not others:
                return
            self._server.delete(LOCK, [self._key])
            if time.monotonic() > until:
                raise self._busy(others[0])
            time.sleep(random.uniform(0.02, 0.2))  # noqa: S311  so that two do not meet again

    def _write(self) -> None:
        now = time.monotonic()
        row = {
            "key": self._key,
            "right": self._right,
            "who": f"process {os.getpid()} on {socket.gethostname()}",
            "machine": _machine(),
            "pid": os.getpid(),
            "until_ms": int((time.time() + LASTS_S) * 1000),
            "vector": [0.0, 0.0],
        }
        self._server.write(LOCK, [row])
        self._renewed = now  # since it was sent, not since it was answered

    def _others(self) -> list[dict[str, Any]]:
        """Return the claims of others that count; those that are over for good are deleted."""
        claims = [
            row
            for row in self._server.rows(LOCK, "right", [self._right], OUT)
            if row["key"] != self._key
        ]
        dead = [
            row["key"] for row in claims if row["until_ms"] < time.time() * 1000 or _is_gone(row)
        ]
        if dead:
            self._server.delete(LOCK, dead)
        return [row for row in claims if row["key"] not in dead]

    def _busy(self, other: dict[str, Any]) -> GalleryBusy:
        left = max(1, round(other["until_ms"] / 1000 - time.time()))
        return GalleryBusy(
            f"{other['who']} is writing into this gallery",
            path=self._server.address,
            remedy="Wait until it is done; if it was killed, its right is over in at most "
            f"{left} s. Searching works meanwhile",
        )

    def _keep(self, over: threading.Event) -> None:
        while not over.wait(RENEWED_S):
            # A claim that was not renewed in time stays so: another may have the right by now.
            if time.monotonic() - self._renewed > SURE_S:
                return
            with contextlib.suppress(GalleryError):
                self._write()


def _machine() -> str:
    """Return what is equal for processes that see each other; else something like it."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _is_gone(row: dict[str, Any]) -> bool:
    """Return whether a claim is that of a process of this machine that has ended."""
    if not row["machine"] or row["machine"] != _machine():
        return False
    try:
        os.kill(row["pid"], 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
