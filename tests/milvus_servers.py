"""Galleries in Milvus for tests: Milvus Lite as a file, and as a server of its own process."""

import contextlib
import importlib.util
import os
import socket
import subprocess
import sys
import time

import pytest

# Threads of OpenMP that spin while they wait make building an index of 2,000 vectors take a minute
# on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

HERE = all(importlib.util.find_spec(name) for name in ("pymilvus", "milvus_lite"))
needs_milvus = pytest.mark.skipif(not HERE, reason="needs the extra milvus")


def started(folder):
    """Start Milvus Lite as a server; returns the process and its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["server", "--data-dir", str(folder), "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(
        [sys.executable, "-m", "milvus_lite", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 30
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process, port
        time.sleep(0.05)
    process.kill()
    raise TimeoutError("Milvus Lite did not start")


@contextlib.contextmanager
def serving(folder):
    """Milvus Lite as a server of a process of its own; yields its port."""
    process, port = started(folder)
    try:
        yield port
    finally:
        process.kill()
        process.wait()


class Killed(BaseException):
    """What `dying` raises."""


def dying(server, names, left):
    """Return the methods of `Server` by name, which raise Killed after so many calls.

    Not where rights are asked for, which are over by themselves. After the first, what would tidy
    up on the way out fails too, as in a process that is killed.
    """

    def method(name):
        real = getattr(server, name)

        def call(self, collection, *more, **how):
            nonlocal left
            if collection != "lock" and (not more or more[0]):
                if left <= 0:
                    raise Killed
                left -= 1
            return real(self, collection, *more, **how)

        return call

    return {name: method(name) for name in names}
