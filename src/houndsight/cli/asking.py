"""The command that asks a gallery about labels: classify."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import click

from houndsight.cli.console import (
    complete_files,
    gallery_option,
    json_option,
    k_option,
    metric_option,
    nothing_read,
    out,
    reopen_embedder,
    show_skipped,
    write_json,
)
from houndsight.cli.numbers import Share
from houndsight.cli.output import html_option
from houndsight.errors import InputError

if TYPE_CHECKING:
    from houndsight.cropping import View
    from houndsight.embedder import Embedder
    from houndsight.gallery import Gallery
    from houndsight.queries import Queries

__all__ = [
    "COMMANDS",
    "ask",
    "exit_code",
    "labels_option",
    "loader",
    "photos_argument",
    "self_option",
]


photos_argument = click.argument(
    "photos", nargs=-1, required=True, metavar="IMAGE_OR_FOLDER...", shell_complete=complete_files
)
labels_option = click.option(
    "--labels",
    metavar="folder|none|FILE.csv",
    help="Where the queries' own labels come from; unless given, from the folder's name.",
)
self_option = click.option("--self", "with_self", is_flag=True, help="Show the query's own file.")


def loader(gallery: "Gallery") -> "Callable[[], Embedder]":
    """Return what loads a gallery's embedder, once, when it is first needed."""
    return cache(lambda: reopen_embedder(gallery))


def ask(
    gallery: "Gallery",
    load: "Callable[[], Embedder]",
    names: Sequence[str],
    *,
    metric: str | None,
    labels: str | None = None,
    view: "View | None" = None,
) -> "Queries":
    """Return photos as queries, or items of the gallery, for which no network is needed.

    `metric` is what they are to be searched for in.
    """
    from houndsight.cropping import WHOLE
    from houndsight.queries import items_named, read_queries, stored_queries

    view = view or WHOLE
    items = items_named(gallery, names)
    if items is None:
        embedder = _loaded(gallery, load, metric)
        return read_queries(gallery, embedder, names, labels=labels, view=view)
    if view != WHOLE and gallery.foreign is None:
        raise InputError(
            f"{items[0].key} is known by its vector, which is that of the whole photo",
            remedy="Name the photo by its path to search for a part of it",
        )
    if view != WHOLE:
        load()  # says that there is no network
    if labels not in (None, "none"):
        raise InputError(
            f"{items[0].key} has its label in the gallery", remedy="Leave --labels out"
        )
    return stored_queries(gallery, items)


def _loaded(gallery: "Gallery", load: "Callable[[], Embedder]", metric: str | None) -> "Embedder":
    """Load the embedder, and meanwhile what else a search takes: each is a tenth of a second.

    The embedder on this thread: Ctrl-C stops a download, and would wait for another's.
    """
    gallery.named(metric)  # before anything is loaded
    with ThreadPoolExecutor(1) as other:
        reading = other.submit(_read, gallery, metric)
        embedder = load()
        reading.result()
    return embedder


def _read(gallery: "Gallery", metric: str | None) -> None:
    """Read what any search reads, by a search for nothing, and load what draws the answer."""
    import numpy as np

    from houndsight.types import Vectors

    nothing = np.empty((0, gallery.settings["dim"]), np.float32)
    gallery.search(Vectors(nothing, gallery.fingerprint), metric=metric)

    import houndsight.render.text  # noqa: F401

    out()


def exit_code(queries: "Queries") -> int:
    """List the queries that were skipped; return the exit code. InputError where none is left."""
    if queries.skipped and not queries.photos:
        raise nothing_read(queries.skipped)
    return show_skipped(queries.skipped)


@click.command(epilog="Example: houndsight classify -g my-gallery unknown-dog.jpg --precision 0.9")
@photos_argument
@gallery_option
@k_option
@metric_option
@click.option(
    "--precision",
    type=Share(0, 1),
    metavar="P",
    help="Answer only where so large a share of answers was right, 0 to 1; else none of these.",
)
@html_option
@self_option
@json_option
def classify(
    photos: tuple[str, ...],
    gallery: str,
    k: int,
    metric: str | None,
    precision: float | None,
    html: str | None,
    with_self: bool,
    as_json: bool,
) -> int:
    """Say which label a photo has, by its nearest labelled photos.

    The label with most votes; ties go to the tied label whose photo is nearest. After houndsight
    learn or calibrate: the most probable label with its probability, or none of these.
    A photo of the gallery can be named by its id.
    """
    from houndsight.gallery import Gallery
    from houndsight.render import records, text
    from houndsight.voting import classify_queries

    with Gallery(gallery) as library:
        if not library.labels():
            raise InputError(
                "holds no labelled photo",
                path=library.place,
                remedy="Give labels with houndsight index --labels, or houndsight label",
            )
        name = library.named(metric)
        queries = ask(library, loader(library), photos, metric=metric)
        own = None if with_self else [query.own for query in queries.photos]
        votes = classify_queries(
            library, queries.vectors, k=k, metric=name, exclude=own, precision=precision
        )
        if as_json:
            write_json(records.classify_records(queries, votes))
        else:
            out().print(text.classify_table(queries, votes))
        if html is not None:
            from houndsight.render.found import classify_content
            from houndsight.render.html import write_page

            write_page(Path(html), classify_content(library, queries, votes, metric=name))
        return exit_code(queries)


COMMANDS = [classify]
