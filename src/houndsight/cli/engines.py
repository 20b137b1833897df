"""What reads and embeds photos when a gallery is brought up to date."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from houndsight.indexing import Engine

__all__ = ["engine", "isolate_option"]

isolate_option = click.option(
    "--isolate",
    is_flag=True,
    help="Decode photos in processes of their own, with 2 GiB and 60 seconds for each: a decoder "
    "that crashes costs one photo.",
)


def engine(isolate: bool) -> "Engine":
    """Return the engine that the flags name."""
    from houndsight.indexing import here
    from houndsight.isolating import Isolated

    return Isolated() if isolate else here
