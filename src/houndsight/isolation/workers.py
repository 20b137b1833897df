"""Processes that decode, one for each thread that asks; one that ends is replaced."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Pipe
from threading import Timer
from typing import Any

import numpy as np

from houndsight.errors import HoundsightError, ImageError, InputError
from houndsight.isolation.worker import READY
from houndsight.preprocess import Preprocessing
from houndsight.shaping import Shaped

__all__ = ["Limits", "Workers"]

# Without the working folder among the places that modules come from: it may be a folder of photos.
COMMAND = (
    *(sys.executable, "-P", "-c"),
    "import sys; from houndsight.isolation.worker import main; main(*map(int, sys.argv[1:]))",
)
START_S = 60.0
GRACE_S = 5.0
# More than any answer has: JSON of a size or a reason, a thumbnail.
MOST_TOLD = 1 << 20
# Threads of linear algebra, of which a worker needs none, each reserve memory.
_SINGLE = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True, slots=True)
class Limits:
    """What decoding one photo may take: bytes of memory, seconds.

    A photo of 179 million pixels with alpha, the largest that is admitted, takes 1.5 GB.
    """

    memory: int = 2 << 30
    seconds: float = 60.0


class _EndedError(Exception):
    """The process has ended, or was ended, before it answered."""


class _Worker:
    """One process, asked by one thread at a time."""

    def __init__(self, limits: Limits, command: Sequence[str]) -> None:
        self._limits = limits
        self._late = False
        ours, theirs = Pipe()
        with theirs:
            handle = theirs.fileno()
            self._process = subprocess.Popen(  # noqa: S603
                [*command, str(handle), str(limits.memory)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **_SINGLE},
                pass_fds=[handle],
                start_new_session=True,  # Ctrl-C is for us: what is under way is decoded to its end
            )
        self._connection = ours
        if not self._connection.poll(START_S) or self._received(len(READY)) != READY:
            self.end()
            raise HoundsightError(
                "the process that decodes photos cannot be started",
                remedy="Is there enough memory? Leave --isolate out to decode without it",
            )

    def _received(self, most: int) -> bytes:
        with contextlib.suppress(EOFError, OSError):
            return self._connection.recv_bytes(most)
        return b""

    def _stop(self) -> None:
        self._late = True
        self._process.kill()

    def ask(self, data: bytes, path: bytes, shape: Preprocessing) -> Shaped:
        """Have a photo decoded; ImageError for what is wrong with it."""
        timer = Timer(self._limits.seconds, self._stop)
        timer.daemon = True
        timer.start()
        try:
            for part in (json.dumps(asdict(shape)).encode(), path, data):
                self._connection.send_bytes(part)
            told = json.loads(self._connection.recv_bytes(MOST_TOLD))
            made = None if "cause" in told else self._made(told, shape)
        # Whatever it answers that makes no sense, it is not to be asked again.
        except (EOFError, OSError, ValueError, LookupError, TypeError) as error:
            raise _EndedError from error
        finally:
            timer.cancel()
            timer.join()  # from here on it is known whether it was in time
        if made is None:
            cause = ImportError() if told.get("lacks") else None
            raise ImageError(str(told["cause"]), path=path, remedy=told.get("remedy")) from cause
        return made

    def _made(self, told: dict[str, Any], shape: Preprocessing) -> Shaped:
        width, height = map(int, told["size"])
        thumbnail = self._connection.recv_bytes(MOST_TOLD)
        sides = (3, shape.size, shape.size)
        data = self._connection.recv_bytes(4 * shape.size * shape.size * 3)
        return Shaped(width, height, thumbnail, np.frombuffer(data, np.float32).reshape(sides))

    def why(self) -> str:
        """Return why it has ended, as what is wrong with the photo."""
        self._connection.close()
        if self._late:
            return f"takes longer than {self._limits.seconds:g} s to decode"
        try:
            status = self._process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            return "makes the decoder answer nonsense"
        with contextlib.suppress(ValueError):
            return f"makes the decoder crash ({signal.Signals(-status).name})"
        return f"makes the decoder end ({status})"

    @property
    def late(self) -> bool:
        """Whether it was ended for taking too long."""
        return self._late

    def end(self) -> None:
        """End the process, and wait until it has."""
        self._connection.close()
        self._process.kill()
        self._process.wait()


class Workers:
    """Decodes photos as `houndsight.shaping.shaped` does, in other processes.

    Safe to call from several threads; each gets a process of its own. To be closed, as by `with`.

    Parameters
    ----------
    limits
        What one photo may take.
    command
        What starts a process that answers as `houndsight.isolation.worker` does.

    Raises
    ------
    InputError
        This system has no limits for processes.
    """

    def __init__(self, limits: Limits | None = None, command: Sequence[str] = COMMAND) -> None:
        if os.name != "posix":
            raise InputError(
                "decoding in other processes needs limits of memory, which this system lacks",
                remedy="Leave --isolate out",
            )
        self._limits = limits or Limits()
        self._command = command
        self._idle: deque[_Worker] = deque()

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._idle:
            worker.end()
        self._idle.clear()

    def __call__(self, data: bytes, path: bytes, shape: Preprocessing) -> Shaped:
        """Decode a photo; see `houndsight.shaping.shaped`.

        Raises
        ------
        ImageError
            Also if the process crashed on it, or it took more memory or time than it may.
        HoundsightError
            No process can be started.
        """
        try:
            worker = self._idle.pop()
        except IndexError:
            worker = _Worker(self._limits, self._command)
        try:
            made = worker.ask(data, path, shape)
        except _EndedError:
            why = worker.why()
            worker.end()
            # What was too slow is tried again the next time: the machine may have been busy.
            cause = TimeoutError() if worker.late else None
            raise ImageError(why, path=path) from cause
        except ImageError:
            self._done(worker)
            raise
        self._done(worker)
        return made

    def _done(self, worker: _Worker) -> None:
        if worker.late:  # its time was over just as it answered
            worker.end()
        else:
            self._idle.append(worker)
