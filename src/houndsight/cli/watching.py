"""The command that indexes photos as they arrive."""

import signal
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from houndsight.cli.console import (
    DONE,
    complete_folders,
    gallery_option,
    index_line,
    log_index,
    model_options,
    note,
    out,
    show_skipped,
)
from houndsight.cli.embedding import own_embedder
from houndsight.cli.engines import engine, isolate_option
from houndsight.cli.log import LOG
from houndsight.cli.numbers import Number
from houndsight.cli.rehearsing import dry_run_option, rehearsed, tell
from houndsight.errors import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from houndsight.embedder import Embedder

__all__ = ["COMMANDS"]


@click.command(epilog="Example: houndsight watch photos -g my-gallery. It ends by Ctrl-C.")
@click.argument("photos", shell_complete=complete_folders)
@gallery_option
@click.option(
    "--labels",
    metavar="folder|none|FILE.csv",
    help="As for houndsight index.",
)
@click.option(
    "--settle",
    type=Number(0),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="How long files have to stay as they are before they are read.",
)
@click.option(
    "--poll",
    type=Number(0.1),
    metavar="SECONDS",
    help="Look into the folder so often; for network drives, where nothing tells of new files.",
)
@isolate_option
@dry_run_option
@model_options
def watch(
    photos: str,
    gallery: str,
    labels: str | None,
    settle: float,
    poll: float | None,
    isolate: bool,
    dry_run: bool,
    **model: Any,
) -> int:
    """Bring a gallery up to date with a folder of PHOTOS, and again whenever photos arrive.

    Photos that arrive together are taken in together, when their files have stopped growing. A
    folder that vanishes is waited for; nothing is removed meanwhile. With --dry-run it is said what
    would be taken in now, and nothing is watched.
    """
    from houndsight import watching

    watching.watched_folder(photos)  # before it is said that it is watched
    own = own_embedder(gallery, model, dry_run=dry_run)
    if dry_run:
        return _first(photos, gallery, labels, own, model, isolate)

    # A service is ended so; and in a container nothing would end it else.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    note(f"watching {printable(photos)}; Ctrl-C ends it")
    for one in watching.watch(
        photos,
        gallery,
        embedder=own,
        labels=labels,
        settle_s=settle,
        poll_s=poll,
        engine=engine(isolate),
        progress=lambda now: LOG.progress(now.done, now.total, now.seconds),
    ):
        if isinstance(one, watching.Waiting):
            reason = str(one.reason)
            note(f"waiting: {reason}", level="warning", event="waiting", reason=reason)
        else:
            log_index(photos, gallery, one.report)
            out().print(f"{datetime.now():%Y-%m-%d %H:%M:%S} {index_line(one.report)}")
            show_skipped(one.skipped)
    return DONE


def _first(
    photos: str,
    gallery: str,
    labels: str | None,
    own: "Callable[[], Embedder] | None",
    model: dict[str, Any],
    isolate: bool,
) -> int:
    """Say what the first look into the folder would do."""
    from houndsight import indexing

    with rehearsed(gallery, own, model) as library:
        report = indexing.index(photos, library, labels=labels, engine=engine(isolate))
        tell(library, index_line(report, timed=False))
    return show_skipped(report.skipped)


COMMANDS = [watch]
