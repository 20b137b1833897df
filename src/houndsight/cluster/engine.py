"""A Ray cluster as what reads and embeds: Ray Data over workers, and who takes what they made."""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from houndsight.ahead import gathered
from houndsight.cluster.folders import Entries, answered, look_into, looked_into
from houndsight.cluster.rows import unpacked
from houndsight.cluster.worker import Desk, Job, Worker
from houndsight.embedder import Embedder
from houndsight.errors import ClusterError, HoundsightError
from houndsight.extras import library
from houndsight.gallery import GALLERY_MARK
from houndsight.listing import Entry, Scan, scan
from houndsight.reading import Read, Reader
from houndsight.types import Found

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from houndsight.indexing import Batches

    Rows = list[tuple[int, Read, NDArray[np.float32] | None]]

__all__ = ["BLOCK", "IN_FLIGHT", "RayCluster"]

# Files that are read and embedded together: what is lost with a worker is counted in these.
BLOCK = 16
# Where there are GPUs: four of their batches, so that some are decoded while others are embedded.
GPU_BLOCK = 256
# Blocks that a worker has at the same time, one being done and one that waits.
IN_FLIGHT = 2
# Blocks that may wait here for who writes. All that wait are written with one commit: in a store
# that is far away a commit costs about the same however much it holds.
WAITING = 64
# Of a CPU, for each worker. The rest is room for what Ray has to do on the node: without it, what
# was lost with another node is never made again.
SHARE = 0.8
# Folders that are looked into together; fewer are not worth asking others.
FOLDERS = 16
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
                if type(error).__name__ == "AuthenticationError":
                    raise ClusterError(
                        f"the Ray cluster at {address} wants a token, or another one",
                        remedy="Set RAY_AUTH_MODE=token, and put the cluster's token into "
                        "RAY_AUTH_TOKEN or ~/.ray/auth_token",
                    ) from error
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

    def scan(self, root: bytes) -> Scan:
        """Return what looks into folders: into a root and those below on the cluster, beforehand.

        All folders of a depth at once, where there are some dozens of them; links are not followed,
        nor is there a look at what galleries keep.

        Raises
        ------
        ClusterError
            If Ray gives up.
        """
        known: dict[bytes, Entries] = {}
        level = [root]
        while level:
            many = len(level) >= 2 * FOLDERS
            found = self._looked_into(level) if many else {one: look_into(one) for one in level}
            known |= found
            level = [
                os.path.join(folder, entry.name)
                for folder, entries in found.items()
                if not isinstance(entries, OSError)
                and all(entry.name != GALLERY_MARK for entry in entries)
                for entry in entries
                if entry.is_folder
            ]

        def look(folder: bytes) -> Sequence[Entry]:
            found = known.pop(folder, None)
            # Where a node could not look, or saw nothing, a drive may be away there: photos are
            # gone only when this machine says so.
            return found if found and not isinstance(found, OSError) else scan(folder)

        return look

    def _looked_into(self, folders: list[bytes]) -> dict[bytes, Entries]:
        data = self._ray.data
        data.DataContext.get_current().enable_progress_bars = False
        count = -(-len(folders) // FOLDERS)
        blocks = data.from_items(
            [{"folder": folder} for folder in folders], override_num_blocks=count
        ).map_batches(looked_into, batch_size=FOLDERS, num_cpus=SHARE)
        found: dict[bytes, Entries] = {}
        with _told():
            for block in blocks.iter_batches(batch_size=None, batch_format="numpy"):
                found |= answered(block)
        return found

    def stream(self, embedder: Embedder, reader: Reader, work: list[Found]) -> Batches:
        """Read and embed files on the cluster; see `houndsight.indexing.Engine`.

        Batches come as they are done, in any order; every file in one of them, and only once.

        Raises
        ------
        ClusterError
            If the cluster has no CPU, or Ray gives up.
        """
        kind, workers = self._room()
        desk = self._desk(Job(embedder, reader))
        missing = set(range(len(work)))
        with closing(gathered(self._rows(work, desk, kind, workers), most=WAITING)) as taking:
            for rows in taking:
                batch = []
                for n, read, vector in rows:
                    if n in missing:
                        missing.remove(n)
                        batch.append((read, vector))
                self.received += sum(vector is not None for _, vector in batch)
                with _told():
                    self.embedded = Counter(self._ray.get(desk.counts.remote()))
                yield batch
        if missing:
            raise ClusterError(
                f"{len(missing):,} of {len(work):,} photos did not come back from the cluster",
                remedy="Run the command again: it goes on where it was",
            )

    def _rows(
        self, work: list[Found], desk: Any, kind: dict[str, Any], workers: int
    ) -> Generator[Rows]:
        """Yield what was made of files, each with its number in `work`."""
        data = self._ray.data
        context = data.DataContext.get_current()
        context.enable_progress_bars = False
        # Rows come back as soon as they are done, whatever order that is.
        context.execution_options.preserve_order = False
        # A block that is lost with its node is made again; a photo that is at fault says so itself.
        context.max_errored_blocks = 0
        block = GPU_BLOCK if "num_gpus" in kind else BLOCK
        count = max(1, -(-len(work) // block))
        workers = min(workers, count)
        blocks = data.from_items(
            [{"n": n, **asdict(found)} for n, found in enumerate(work)],
            override_num_blocks=count,
        ).map_batches(
            Worker,
            batch_size=block,
            fn_constructor_args=(desk,),
            compute=data.ActorPoolStrategy(
                # Fewer will do, where others use the cluster or nodes are lost. But all at once:
                # left to itself Ray Data starts one after the other.
                min_size=1,
                max_size=workers,
                initial_size=workers,
                max_tasks_in_flight_per_actor=IN_FLIGHT,
            ),
            **kind,
        )
        with _told():
            for one in blocks.iter_batches(batch_size=None, batch_format="numpy"):
                yield [(n, *unpacked(work[n], one, at)) for at, n in enumerate(one["n"].tolist())]

    def _desk(self, job: Job) -> Any:
        """Return an actor on this machine, so that no other node takes it along."""
        here = self._ray.get_runtime_context().get_node_id()
        strategy = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            here, soft=False
        )
        desk = self._ray.remote(num_cpus=0, scheduling_strategy=strategy)(Desk)
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


def _knock(address: str) -> None:
    """Raise OSError if nobody listens at an address: Ray would try it for many minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if port.isdigit():
        socket.create_connection((host, int(port)), timeout=KNOCK_S).close()
    elif address != "auto":
        raise ValueError("this is neither auto nor HOST:PORT")


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
    # What went wrong on a node comes as text: that of the first cause, and then of what followed.
    text = str(error).partition("\n\nThe above exception was")[0]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:300]
