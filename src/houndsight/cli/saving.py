"""Commands against the loss of a gallery: repair, backup."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from houndsight.cli.console import (
    DAMAGED,
    DONE,
    LISTED,
    complete_folders,
    err,
    gallery_option,
    out,
    reopen_embedder,
    step_bar,
)
from houndsight.cli.rehearsing import dry_run_option, opened
from houndsight.errors import counted, printable

if TYPE_CHECKING:
    from houndsight.gallery import Gallery
    from houndsight.types import Item

__all__ = ["COMMANDS"]


@click.command(epilog="Example: houndsight repair -g my-gallery --dry-run")
@gallery_option
@dry_run_option
def repair(gallery: str, dry_run: bool) -> int:
    """Make damaged vectors again from their photos, and what makes searches quick.

    Photos are embedded again where they are still there with the same bytes; the others are named.
    A damaged catalogue cannot be repaired: restore it from a backup.
    """
    from houndsight import repairing

    with opened(gallery, dry_run) as library:
        if dry_run:
            found = repairing.examine(library)
            _tell_lost(library, found.lost)
            out().print(
                f"dry run, nothing was changed: {counted(len(found.embedded), 'photo')} would be "
                f"embedded again, {counted(len(found.copied), 'vector')} copied from equal photos, "
                f"{len(found.lost):,} are lost"
            )
            return DAMAGED if found.lost else DONE
        with step_bar() as progress:
            done = repairing.repair(
                library,
                embedder=partial(reopen_embedder, library),
                progress=lambda now, of: progress("embedding", now, of),
            )
        _tell_lost(library, done.lost)
        # Of lost vectors was told with the reason.
        named = {f"item {item.key}" for item, _ in done.lost}
        left = [line for line in done.damage if line.split(":")[0] not in named]
        for line in left[:LISTED]:
            err(f"still damaged: {line}")
        out().print(
            f"{counted(len(done.mended), 'vector')} mended, {len(done.damage):,} still damaged"
        )
    return DAMAGED if done.damage else DONE


def _tell_lost(library: "Gallery", lost: "list[tuple[Item, str]]") -> None:
    for item, reason in lost[:LISTED]:
        err(f"lost: {item.key}, {printable(library.path_of(item))}: {reason}")
    if len(lost) > LISTED:
        err(f"and {len(lost) - LISTED:,} more")
    if lost:
        err("Put the photos back and run it again; or remove these, and then houndsight compact")


@click.command(epilog="Example: houndsight backup -g my-gallery backups/my-gallery")
@click.argument("target", shell_complete=complete_folders)
@gallery_option
def backup(target: str, gallery: str) -> int:
    """Copy a gallery to the new folder TARGET, also while it is in use.

    The copy is of one moment, and is checked. Thumbnails are left out: they are made again.
    """
    from houndsight.gallery import Gallery
    from houndsight.gallery import backup as copy

    with Gallery(gallery) as library:
        count = copy(library, Path(target))
        out().print(f"{counted(count, 'photo')} in {printable(target)}, all well")
    return DONE


COMMANDS = [repair, backup]
