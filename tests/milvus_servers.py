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
