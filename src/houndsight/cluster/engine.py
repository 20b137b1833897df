"""A Ray cluster as what reads and embeds: Ray Data over workers, and who takes what they made."""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import closing
from typing import Any, TypeVar

from houndsight import errors
from houndsight.ahead import gathered
from houndsight.cluster.faults import reason, reported
from houndsight.cluster.finding import SHARE, Finder
from houndsight.cluster.rows import Answer, answers, unpacked
from houndsight.cluster.worker import Desk, Job, Order, Worker, Writer
from houndsight.embedder import Embedder
from houndsight.errors import ClusterError, HoundsightError
from houndsight.extras import library
from houndsight.listing import Listing
from houndsight.reading import Reader
from houndsight.stores.address import Address
from houndsight.taking import Batches, Taking
from houndsight.types import Found

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
# Rows, or more where blocks are larger, that a node takes into a server's gallery with one commit.
WRITTEN = 64
# Of a CPU, for the one who does.
WRITING = 0.1
# How long a head may take to answer.
KNOCK_S = 10

T = TypeVar("T")


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
        Photos of which the vector came back, or was taken in by a node.

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
                    f"no Ray cluster answers at {address}: {reason(error)}",
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

    def find(self, place: bytes) -> Listing:
        """Return what `find_photos` does, looked up by the nodes where that is worth it.

        Raises
        ------
        InputError
            As `find_photos` does.
        ClusterError
            If Ray gives up.
        """
        return Finder(self._ray).find(place)

    def taken(
        self, embedder: Embedder, reader: Reader, work: list[Found], taking: Taking
    ) -> Generator[Counter[str]]:
        """Read, embed and take in files; see `houndsight.indexing.Engine`.

        Rows go from the workers straight to a server of Milvus: one of the nodes takes them in.
        Into any other gallery this process does. Either way every file is counted once.

        Raises
        ------
        ClusterError
            If the cluster has no CPU, or Ray gives up.
        GalleryError
            If nothing can be written into the gallery.
        """
        place = taking.gallery.place
        server = place if isinstance(place, Address) and place.server else None
        order = None if server is None else Order(taking.gallery, taking.terms)
        desk = self._desk(Job(embedder, reader), order)
        kind, workers = self._room()
        block = GPU_BLOCK if "num_gpus" in kind else BLOCK
        made = self._made(work, desk, kind, workers, block)
        if server is None:
            return taking.all_of(self._batches(self._once(made, unpacked, len(work), desk)))
        written = self._written(made, desk, server, max(block, WRITTEN))
        return self._answered(self._once(written, answers, len(work), desk), taking)

    def _batches(self, coming: Generator[list[tuple[int, Any]]]) -> Batches:
        """Yield what was read and embedded."""
        with closing(coming):
            for some in coming:
                batch = [row for _, row in some]
                self.received += sum(vector is not None for _, vector in batch)
                yield batch

    def _answered(
        self, coming: Generator[list[tuple[int, Answer]]], taking: Taking
    ) -> Generator[Counter[str]]:
        """Yield what the one who writes has done; thumbnails are kept here."""
        with closing(coming):
            for some in coming:
                done: Counter[str] = Counter()
                for n, answer in some:
                    if answer.error:
                        kind_of_error: type[HoundsightError] = getattr(errors, answer.error)
                        raise kind_of_error(
                            answer.cause, path=answer.path, remedy=answer.remedy or None
                        )
                    kind = answer.kind
                    if kind == "unchanged":  # it was written, and who did was lost before saying so
                        kind = "new" if n < taking.terms.fresh else "changed"
                    done[kind] += 1
                    done["embedded"] += answer.embedded
                    if answer.thumbnail:
                        taking.gallery.keep_thumbnail(answer.digest, answer.thumbnail)
                self.received += done["embedded"]
                yield done

    def _once(
        self, blocks: Any, read: Callable[[Any], list[T]], count: int, desk: Any
    ) -> Generator[list[tuple[int, T]]]:
        """Yield what comes of files, each with its number and once, in any order."""

        def come() -> Generator[list[tuple[int, T]]]:
            with reported():
                for one in blocks.iter_batches(batch_size=None, batch_format="numpy"):
                    yield list(zip(one["n"].tolist(), read(one), strict=True))

        missing = set(range(count))
        with closing(gathered(come(), most=WAITING)) as coming:
            for some in coming:
                rows = []
                for n, row in some:
                    if n in missing:
                        missing.remove(n)
                        rows.append((n, row))
                with reported():
                    self.embedded = Counter(self._ray.get(desk.counts.remote()))
                yield rows
        if missing:
            raise ClusterError(
                f"{len(missing):,} of {count:,} photos did not come back from the cluster",
                remedy="Run the command again: it goes on where it was",
            )

    def _made(
        self, work: list[Found], desk: Any, kind: dict[str, Any], workers: int, block: int
    ) -> Any:
        """Return what workers make of files: a dataset of rows."""
        data = self._ray.data
        context = data.DataContext.get_current()
        context.enable_progress_bars = False
        # Rows come back as soon as they are done, whatever order that is.
        context.execution_options.preserve_order = False
        # A block that is lost with its node is made again; a photo that is at fault says so itself.
        context.max_errored_blocks = 0
        count = max(1, -(-len(work) // block))
        workers = min(workers, count)
        return data.from_items(
            [
                {"n": n, "path": found.path, "size": found.size, "mtime_ns": found.mtime_ns}
                for n, found in enumerate(work)
            ],
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

    def _written(self, made: Any, desk: Any, place: Address, together: int) -> Any:
        """Return what becomes of rows that a node takes into a gallery: a dataset of answers."""
        where: dict[str, Any] = {"num_cpus": WRITING}
        if place.loopback:
            where = {"num_cpus": 0, "label_selector": {"ray.io/node-id": self._here()}}
        return made.map_batches(
            Writer,
            batch_size=together,
            fn_constructor_args=(desk,),
            # One, as one at a time can write, and fewer commits with more in each are quicker.
            compute=self._ray.data.ActorPoolStrategy(
                size=1, max_tasks_in_flight_per_actor=IN_FLIGHT
            ),
            **where,
        )

    def _desk(self, job: Job, order: Order | None) -> Any:
        """Return an actor on this machine, so that no other node takes it along."""
        here = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            self._here(), soft=False
        )
        desk = self._ray.remote(num_cpus=0, scheduling_strategy=here)(Desk)
        return desk.remote(self._ray.put(job), self._ray.put(order))

    def _here(self) -> str:
        """Return the id of this machine's node."""
        return str(self._ray.get_runtime_context().get_node_id())

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
