"""What runs on the nodes of a cluster: one network for each CPU or GPU, and one who writes."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from houndsight.cluster.rows import Answer, answers_packed, packed, unpacked
from houndsight.embedder import Embedder
from houndsight.errors import HoundsightError
from houndsight.gallery import Gallery
from houndsight.reading import Reader
from houndsight.runtime import OnnxRuntime
from houndsight.stores.address import TOKEN
from houndsight.taking import Taking, Terms
from houndsight.types import Found

__all__ = ["Desk", "Job", "Order", "Worker", "Writer"]


class Job:
    """What workers need: the reader, and the embedder without what cannot be sent."""

    def __init__(self, embedder: Embedder, reader: Reader) -> None:
        self.settings = embedder.settings()
        self.network = embedder.network
        # Weights need not be on every node.
        self.graph = None if embedder.network else embedder.float_graph()
        self.reader = reader

    def embedder(self) -> Embedder:
        """Return the same embedder, on the node that this is called on."""
        runtime = None if self.graph is None else OnnxRuntime(self.graph)
        return Embedder.reopen(self.settings, network=self.network, runtime=runtime)


class Order:
    """What the one who writes needs: where the gallery is, and how photos are taken in."""

    def __init__(self, gallery: Gallery, terms: Terms) -> None:
        self.place = os.fspath(gallery.place)
        self.token = os.environ.get(TOKEN, "")
        self.terms = terms


class Desk:
    """Hands out what is to be done, and counts photos that went through a network, by node."""

    def __init__(self, job: Job, order: Order | None) -> None:
        self.given = job
        self.ordered = order
        self.by_node: Counter[str] = Counter()

    def job(self) -> Job:
        """Return what is to be read and embedded."""
        return self.given

    def order(self) -> Order | None:
        """Return where it is to be written; None where no node does that."""
        return self.ordered

    def add(self, node: str, photos: int) -> None:
        """Count photos."""
        self.by_node[node] += photos

    def counts(self) -> dict[str, int]:
        """Return how many photos were counted, by node."""
        return dict(self.by_node)


class Worker:
    """One network, for one CPU or GPU; Ray calls it with blocks of files."""

    def __init__(self, desk: Any) -> None:
        import ray

        job = ray.get(desk.job.remote())
        context = ray.get_runtime_context()
        if not context.get_accelerator_ids().get("GPU"):
            os.environ["HOUNDSIGHT_THREADS"] = "1"  # as many workers as CPUs
        self.node = _name(ray, context.get_node_id())
        self.desk = desk
        self.reader: Reader = job.reader
        self.embedder: Embedder = job.embedder()

    def __call__(self, block: dict[str, NDArray[Any]]) -> dict[str, Any]:
        """Return columns of what was made of a block's files."""
        columns = (block[name].tolist() for name in ("path", "size", "mtime_ns"))
        work = [Found(path, size, time, 0) for path, size, time in zip(*columns, strict=True)]
        done = [
            one
            for batch in self.embedder.stream(self.reader.sources(work), self.reader)
            for one in batch
        ]
        self.desk.add.remote(self.node, sum(vector is not None for _, vector in done))
        return packed(block["n"], done, self.node)


class Writer:
    """Takes into a gallery on a server what workers have made; Ray calls it with rows."""

    def __init__(self, desk: Any) -> None:
        import ray

        self.order: Order = ray.get(desk.order.remote())
        self.node = _name(ray, ray.get_runtime_context().get_node_id())
        self.taking: Taking | None = None

    def __call__(self, block: dict[str, NDArray[Any]]) -> dict[str, Any]:
        """Return columns of what has become of a block's photos, once they are in the gallery."""
        batch = unpacked(block)
        try:
            kinds = self._taking().take([(replace(read, thumbnail=None), v) for read, v in batch])
        except HoundsightError as error:  # as an exception, it would come back as Ray's
            told = Answer(
                "",
                error=type(error).__name__,
                path=os.fsencode(self.order.place if error.path is None else error.path),
                cause=f"{error.cause} (on {self.node})",
                remedy=error.remedy or "",
            )
            return answers_packed(block["n"], [told] * len(batch))
        # Thumbnails are kept by the machine that gives the command.
        return answers_packed(
            block["n"],
            [
                Answer(kind, vector is not None, read.digest, read.thumbnail or b"")
                for kind, (read, vector) in zip(kinds, batch, strict=True)
            ],
        )

    def _taking(self) -> Taking:
        if self.taking is None:
            if self.order.token:
                os.environ[TOKEN] = self.order.token
            self.taking = Taking(Gallery(self.order.place), self.order.terms)
        return self.taking


def _name(ray: Any, node: str) -> str:
    """Return a node's address, and a part of its id where several are on one machine."""
    alive = {one["NodeID"]: one["NodeManagerAddress"] for one in ray.nodes() if one["Alive"]}
    address = str(alive.get(node, "?"))
    return address if list(alive.values()).count(address) < 2 else f"{address}/{node[:6]}"
