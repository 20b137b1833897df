"""What a process does that decodes.

It reads messages from a socket that it has inherited and answers each. For a photo: settings of
its preprocessing (JSON), path, bytes. The answer: JSON, and if that tells of no trouble a thumbnail
and pixels. Nothing is pickled: whoever reads the answer need not trust who wrote it.
"""

import contextlib
import json
from multiprocessing.connection import Connection
from typing import Any

from houndsight.errors import ImageError
from houndsight.preprocess import Preprocessing
from houndsight.shaping import Shaped, shaped

__all__ = ["READY", "main"]

READY = b"ready"


def _limit(memory: int) -> None:
    """Let the process take so many bytes more than it has; and leave no dump of its memory."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    used = 0
    with contextlib.suppress(OSError), open("/proc/self/statm", "rb") as file:  # Linux's
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + memory,) * 2)


def _decoded(path: bytes, data: bytes, settings: dict[str, Any], memory: int) -> Shaped:
    lists = {name: tuple(one) for name, one in settings.items() if isinstance(one, list)}
    try:
        return shaped(data, path, Preprocessing(**{**settings, **lists}))
    except MemoryError:
        raise ImageError(
            f"needs more than {memory >> 20:,} MiB of memory to decode", path=path
        ) from None


def main(handle: int, memory: int) -> None:
    """Answer until nobody asks any more.

    Parameters
    ----------
    handle
        Of the inherited socket.
    memory
        Bytes that the process may take beside what it has at the start.
    """
    connection = Connection(handle)
    _limit(memory)
    connection.send_bytes(READY)
    with contextlib.suppress(EOFError):
        while True:
            settings = json.loads(connection.recv_bytes())
            path, data = connection.recv_bytes(), connection.recv_bytes()
            try:
                made = _decoded(path, data, settings, memory)
            except ImageError as error:
                lacks = isinstance(error.__cause__, ImportError)
                told = {"cause": error.cause, "remedy": error.remedy, "lacks": lacks}
                connection.send_bytes(json.dumps(told).encode())
                continue
            connection.send_bytes(json.dumps({"size": [made.width, made.height]}).encode())
            connection.send_bytes(made.thumbnail)
            connection.send_bytes(made.pixels.tobytes())
