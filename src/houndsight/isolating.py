"""Indexing with photos decoded in processes of their own."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from houndsight.embedder import Embedder
from houndsight.indexing import HERE, Here
from houndsight.isolation import Limits, Workers
from houndsight.isolation.workers import COMMAND
from houndsight.reading import Reader
from houndsight.taking import Batches
from houndsight.types import Found

__all__ = ["Isolated"]


@dataclass(frozen=True, slots=True)
class Isolated(Here):
    """An engine of `index` that a photo cannot stop, whatever it does to its decoder.

    Attributes
    ----------
    limits
        What one photo may take.
    command
        As for `Workers`.
    """

    limits: Limits = field(default_factory=Limits)
    command: Sequence[str] = COMMAND

    def stream(self, embedder: Embedder, reader: Reader, work: list[Found]) -> Batches:
        """Read and embed files, in order."""
        with Workers(self.limits, self.command) as workers:
            yield from HERE.stream(embedder, replace(reader, shaper=workers), work)
