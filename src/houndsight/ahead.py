"""Work on threads, a bounded number of results ahead of whoever takes them."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from queue import SimpleQueue
from threading import Event, Semaphore, Thread
from typing import TypeVar

__all__ = ["ahead", "gathered"]

# How long what gives lists may take to stop. It may wait for what never comes.
STOPPING_S = 5.0

S = TypeVar("S")
R = TypeVar("R")


def ahead(
    function: Callable[[S], R], sources: Iterable[S], *, threads: int, depth: int
) -> Generator[R]:
    """Map on threads, in order, with at most `depth` results waiting."""
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[R]] = deque()
        try:
            for source in sources:
                waiting.append(pool.submit(function, source))
                if len(waiting) >= depth:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def gathered(lists: Generator[list[S]], *, most: int) -> Generator[list[S]]:
    """Go through lists on a thread; all that came while the last was in use come as one.

    At most `most` lists wait. What `lists` raises is raised here, after what came before it.
    """
    waiting: SimpleQueue[list[S]] = SimpleQueue()
    room, over = Semaphore(most), Event()
    ended: list[BaseException | None] = []

    def take() -> None:
        fault = None
        try:
            with closing(lists):
                for one in lists:
                    room.acquire()
                    if over.is_set():
                        break
                    waiting.put(one)
        except BaseException as error:
            fault = error
        ended.append(fault)
        waiting.put([])  # wakes who waits

    thread = Thread(target=take, daemon=True)
    thread.start()
    try:
        while not (ended and waiting.empty()):
            some = list(waiting.get())
            room.release()
            while not waiting.empty():
                some += waiting.get()
                room.release()
            if some:
                yield some
        if ended[0] is not None:
            raise ended[0]
    finally:
        over.set()
        room.release()
        thread.join(STOPPING_S)
