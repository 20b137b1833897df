"""What reads and embeds photos when a gallery is brought up to date."""

from typing import TYPE_CHECKING

import click

from houndsight.cli.console import out
from houndsight.errors import counted

if TYPE_CHECKING:
    from houndsight.cluster import RayCluster
    from houndsight.indexing import Engine

__all__ = ["connected", "engine", "isolate_option", "ray_option", "tell_nodes"]

isolate_option = click.option(
    "--isolate",
    is_flag=True,
    help="Decode photos in processes of their own, with 2 GiB and 60 seconds for each: a decoder "
    "that crashes costs one photo.",
)


ray_option = click.option(
    "--ray",
    metavar="auto|HOST:PORT",
    help="Read and embed on the nodes of a Ray cluster: the one this machine belongs to, or that "
    "of a head. Nodes need houndsight, and PHOTOS where this machine has them.",
)


def engine(isolate: bool, cluster: "RayCluster | None" = None) -> "Engine":
    """Return the engine that the flags name."""
    from houndsight.indexing import HERE
    from houndsight.isolating import Isolated

    if cluster is not None:
        return cluster
    return Isolated() if isolate else HERE


def connected(address: str) -> "RayCluster":
    """Return the Ray cluster at an address."""
    import logging
    import os

    from houndsight.cluster import RayCluster

    # What Ray says while it works is for those who look into it: its own files have it. Of what it
    # finds wrong itself, all that matters here comes as an error of Python.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    cluster = RayCluster(address)
    for name in ("ray", "ray.data"):  # it sets them up as it is loaded
        logging.getLogger(name).setLevel(logging.ERROR)
    return cluster


def tell_nodes(cluster: "RayCluster", seconds: float) -> None:
    """Print what each node did, and what was done again."""
    for node, photos in sorted(cluster.embedded.items()):
        out().print(f"{node}: {counted(photos, 'photo')}, {photos / seconds:.1f} images/s")
    twice = cluster.embedded.total() - cluster.received
    if twice:
        out().print(
            f"embedded once more, as a node or a worker was lost: {counted(twice, 'photo')}"
        )
