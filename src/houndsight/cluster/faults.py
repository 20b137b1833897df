"""What goes wrong in a Ray cluster, in our words."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from houndsight.errors import ClusterError, HoundsightError

__all__ = ["reason", "reported"]


@contextmanager
def reported() -> Generator[None]:
    """Say in our words that Ray gave up."""
    try:
        yield
    except (HoundsightError, GeneratorExit, KeyboardInterrupt):
        raise
    except Exception as error:
        # What was thrown by whoever takes the batches is theirs.
        if not type(error).__module__.startswith("ray."):
            raise
        raise ClusterError(
            f"the cluster failed: {reason(error)}",
            remedy="Run the command again: it goes on where it was",
        ) from error


def reason(error: BaseException) -> str:
    """Return in one line what went wrong."""
    # What went wrong on a node comes as text: that of the first cause, and then of what followed.
    text = str(error).partition("\n\nThe above exception was")[0]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:300]
