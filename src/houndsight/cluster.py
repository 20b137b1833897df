"""Indexing on a Ray cluster: its nodes read, decode and embed; rows come back to one who writes.

Ray Data divides the files into blocks, starts workers where there is room, and makes again what a
lost node had; nothing of that is done here. https://docs.ray.io/en/latest/data/data.html
"""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from houndsight.embedder import Embedder
from houndsight.errors import ClusterError, HoundsightError
from houndsight.extras import library
from houndsight.reading import Read, Reader
from houndsight.runtime import OnnxRuntime
from houndsight.types import Found

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from houndsight.indexing import Batches

__all__ = ["BLOCK", "IN_FLIGHT", "RayCluster"]

# Files that are read and embedded together: what is lost with a worker is counted in these.
BLOCK = 32
# Blocks that a worker has at the same time, one being done and one that waits.
IN_FLIGHT = 2
# Of a CPU, for each worker. The rest is room for what Ray has to do on the node: without it, what
# was lost with another node is never made again.
SHARE = 0.8


# How long a head may take to answer.
KNOCK_S = 10


class RayCluster:
    """A Ray cluster that is running.

    Parameters
    ----------
    address
        ``auto`` for the one that this machine belongs to, else ``host:port`` of its head, or
        ``ray://host:port``.

    Attributes
    ----------
    embedded
        Photos that went through a network so far, by node: those that were embedded once more, as
        a node or a worker was lost, are counted each time.
    received
        Photos of which the vector came back.

    Raises
    ------
    InputError
        If Ray is not installed.
    ClusterError
        If there is no cluster at the address.
    """

    def __init__(self, address: str = "auto") -> None:
        self._ray = library("ray", "ray", "a Ray cluster")
        library("ray.data", "ray", "a Ray cluster")
        # Nothing is told to others without being asked.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        self._own = not self._ray.is_initialized()
        if self._own:
            try:
                _knock(address)
                self._ray.init(address, log_to_driver=False, logging_level="ERROR")
            except Exception as error:  # of many kinds, by what is at the address
                raise ClusterError(
                    f"no Ray cluster answers at {address}: {_reason(error)}",
                    remedy="Start one with: ray start --head; on other machines: ray start "
                    "--address HEAD:6379",
                ) from error
        self.embedded: Counter[str] = Counter()
        self.received = 0

    def close(self) -> None:
        """Let go of the cluster, which goes on running."""
        if self._own:
            self._ray.shutdown()

    def __enter__(self) -> RayCluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def stream(self, embedder: Embedder, reader: Reader, work: list[Found]) -> Batches:
        """Read and embed files on the cluster; see `houndsight.indexing.Engine`.

        Batches come as they are done, in any order; every file in one of them, and only once.

        Raises
        ------
        ClusterError
            If the cluster has no CPU, or Ray gives up.
        """
        kind, workers = self._room()
        data = self._ray.data
        desk = self._desk(_Job(embedder, reader))
        context = data.DataContext.get_current()
        context.enable_progress_bars = False
        # Rows come back as soon as they are done, whatever order that is.
        context.execution_options.preserve_order = False
        # A block that is lost with its node is made again; a photo that is at fault says so itself.
        context.max_errored_blocks = 0
        rows = data.from_items(
            [{"n": n, **asdict(found)} for n, found in enumerate(work)],
            override_num_blocks=max(1, -(-len(work) // BLOCK)),
        ).map_batches(
            _Worker,
            batch_size=BLOCK,
            fn_constructor_args=(desk,),
            compute=data.ActorPoolStrategy(
                min_size=1,
                max_size=workers,
                max_tasks_in_flight_per_actor=IN_FLIGHT,
            ),
            **kind,
        )
        missing = set(range(len(work)))
        with _told():
            for block in rows.iter_batches(batch_size=None, batch_format="numpy"):
                batch = [
                    _unpacked(work[n], block, at)
                    for at, n in enumerate(block["n"].tolist())
                    if n in missing
                ]
                missing -= set(block["n"].tolist())
                self.received += sum(vector is not None for _, vector in batch)
                self.embedded = Counter(self._ray.get(desk.counts.remote()))
                yield batch
        if missing:
            raise ClusterError(
                f"{len(missing):,} of {len(work):,} photos did not come back from the cluster",
                remedy="Run the command again: it goes on where it was",
            )

    def _desk(self, job: _Job) -> Any:
        """Return an actor on this machine, so that no other node takes it along."""
        here = self._ray.get_runtime_context().get_node_id()
        strategy = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            here, soft=False
        )
        desk = self._ray.remote(num_cpus=0, scheduling_strategy=strategy)(_Desk)
        return desk.remote(self._ray.put(job))

    def _room(self) -> tuple[dict[str, Any], int]:
        """Return what each worker takes of a node, and how many workers there may be."""
        there = self._ray.cluster_resources()
        if there.get("GPU", 0) >= 1:
            return {"num_gpus": 1, "num_cpus": SHARE}, int(there["GPU"])
        if there.get("CPU", 0) < 1:
            raise ClusterError(
                "the cluster has no CPU to work on",
                remedy="Add a machine: ray start --address HEAD:6379",
            )
        return {"num_cpus": SHARE}, int(there["CPU"])


class _Job:
    """What workers need: the reader, and the embedder without what cannot be sent."""

    def __init__(self, embedder: Embedder, reader: Reader) -> None:
        self.settings = embedder.settings()
        self.network = embedder.network
        # Weights need not be on every node.
        self.graph = embedder.network or embedder.float_graph()
        self.reader = reader

    def embedder(self) -> Embedder:
        runtime = OnnxRuntime(self.graph)
        return Embedder.reopen(self.settings, network=self.network, runtime=runtime)


class _Desk:
    """Hands out the job, and counts photos that went through a network, by node."""

    def __init__(self, job: _Job) -> None:
        self.given = job
        self.by_node: Counter[str] = Counter()

    def job(self) -> _Job:
        return self.given

    def add(self, node: str, photos: int) -> None:
        self.by_node[node] += photos

    def counts(self) -> dict[str, int]:
        return dict(self.by_node)


class _Worker:
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
        names = ("path", "size", "mtime_ns", "position")
        work = [Found(*of) for of in zip(*(block[name].tolist() for name in names), strict=True)]
        done = [
            one
            for batch in self.embedder.stream(self.reader.sources(work), self.reader)
            for one in batch
        ]
        self.desk.add.remote(self.node, sum(vector is not None for _, vector in done))
        return _packed(block["n"], done, self.node)


def _knock(address: str) -> None:
    """Raise OSError if nobody listens at an address: Ray would try it for many minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if port.isdigit():
        socket.create_connection((host, int(port)), timeout=KNOCK_S).close()
    elif address != "auto":
        raise ValueError("this is neither auto nor HOST:PORT")


def _name(ray: Any, node: str) -> str:
    """Return a node's address, and a part of its id where several are on one machine."""
    alive = {one["NodeID"]: one["NodeManagerAddress"] for one in ray.nodes() if one["Alive"]}
    address = str(alive.get(node, "?"))
    return address if list(alive.values()).count(address) < 2 else f"{address}/{node[:6]}"


def _packed(
    numbers: NDArray[np.int64], done: list[tuple[Read, NDArray[np.float32] | None]], node: str
) -> dict[str, Any]:
    """Put what was read into columns; bytes are kept as such, None as what is empty."""
    reads = [read for read, _ in done]
    return {
        "n": numbers,
        "digest": _objects(read.digest for read in reads),
        "size": np.array([read.size for read in reads], np.int64),
        "mtime_ns": np.array([read.mtime_ns for read in reads], np.int64),
        "width": np.array([read.width for read in reads], np.int64),
        "height": np.array([read.height for read in reads], np.int64),
        "thumbnail": _objects(read.thumbnail or b"" for read in reads),
        "vector": _objects(b"" if v is None else v.astype("<f4").tobytes() for _, v in done),
        "reason": _objects(
            "" if read.reason is None else f"{read.reason} (on {node})" for read in reads
        ),
        "passing": np.array([read.passing for read in reads], bool),
    }


def _objects(values: Iterator[Any]) -> NDArray[np.object_]:
    listed = list(values)
    column = np.empty(len(listed), object)
    column[:] = listed
    return column


def _unpacked(
    found: Found, block: dict[str, NDArray[Any]], at: int
) -> tuple[Read, NDArray[np.float32] | None]:
    """Return what `_packed` put into a row."""
    row = {name: column[at] for name, column in block.items()}
    read = Read(
        found,
        bytes(row["digest"]),
        size=int(row["size"]),
        mtime_ns=int(row["mtime_ns"]),
        width=int(row["width"]),
        height=int(row["height"]),
        thumbnail=bytes(row["thumbnail"]) or None,
        reason=str(row["reason"]) or None,
        passing=bool(row["passing"]),
    )
    vector = np.frombuffer(row["vector"], "<f4").astype(np.float32) if row["vector"] else None
    return read, vector


@contextmanager
def _told() -> Generator[None]:
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
            f"the cluster failed: {_reason(error)}",
            remedy="Run the command again: it goes on where it was",
        ) from error


def _reason(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:300]
