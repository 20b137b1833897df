"""What takes a while: made once in the background, kept until it is asked for anew."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from houndsight.errors import HoundsightError
from houndsight.web.problems import Problem, problem_of

__all__ = ["Made", "Making"]

T = TypeVar("T")
# The two cores are needed for searches as well: one thing is made at a time.
_TURN = threading.Lock()


@dataclass(frozen=True, slots=True)
class Making(Generic[T]):
    """How far it is.

    Attributes
    ----------
    value
        What was made last, if anything was.
    contents
        What it was made of: it is out of date where that has changed since.
    running
        Whether it is being made, or waits for its turn.
    done, total
        How much of that is done, where it is known; 0 where it is not.
    problem
        Why it could not be made.
    """

    value: T | None = None
    contents: object = None
    running: bool = False
    done: int = 0
    total: int = 0
    problem: Problem | None = None


class Made(Generic[T]):
    """Something that is made in the background.

    Parameters
    ----------
    make
        Makes it; is given what to call with (done, total).
    """

    def __init__(self, make: Callable[[Callable[[int, int], None]], T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._state: Making[T] = Making()
        self._given_up = False

    @property
    def state(self) -> Making[T]:
        """How far it is."""
        return self._state

    def start(self, contents: object) -> None:
        """Begin to make it of what there is now, unless it is being made."""
        with self._lock:
            if self._state.running:
                return
            self._state = replace(self._state, running=True, done=0, total=0, problem=None)
        # A daemon: nothing of it is written, so that the process may end in the midst of it.
        threading.Thread(target=self._run, args=(contents,), daemon=True).start()

    def give_up(self) -> None:
        """Say that nobody waits for it any more: what it is made of is about to be closed."""
        self._given_up = True

    def _run(self, contents: object) -> None:
        try:
            with _TURN:
                value = self._make(self._progress)
            self._state = Making(value, contents)
        except HoundsightError as error:
            self._state = replace(self._state, running=False, problem=problem_of(error))
        except BaseException:
            if self._given_up:
                return
            problem = Problem(500, "internal_error", "this could not be made", "See the log")
            self._state = replace(self._state, running=False, problem=problem)
            raise  # to the log, by threading's own hook

    def _progress(self, done: int, total: int) -> None:
        self._state = replace(self._state, done=done, total=total)
