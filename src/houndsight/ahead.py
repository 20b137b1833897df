"""Work on threads, a bounded number of results ahead of whoever takes them."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["ahead"]

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
