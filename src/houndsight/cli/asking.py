"""The command that asks a gallery about labels: classify."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from houndsight.cli.console import (
    DONE,
    FAILED,
    gallery_option,
    json_option,
    k_option,
    metric_option,
    out,
    reopen_embedder,
    show_skipped,
    write_json,
)
from houndsight.cli.output import html_option
from houndsight.errors import InputError

if TYPE_CHECKING:
    from houndsight.gallery import Gallery
    from houndsight.queries import Queries

__all__ = ["COMMANDS", "exit_code", "labels_option", "not_nan", "photos_argument", "self_option"]


def not_nan(_: click.Context, __: click.Parameter, value: float | None) -> float | None:
    """Refuse NaN, which no range of click's refuses."""
    if value is not None and math.isnan(value):
        raise click.BadParameter("nan is no number")
    return value


photos_argument = click.argument("photos", nargs=-1, required=True, metavar="IMAGE_OR_FOLDER...")
labels_option = click.option(
    "--labels",
    metavar="folder|none|FILE.csv",
    help="Where the queries' own labels come from; unless given, from the folder's name.",
)
self_option = click.option("--self", "with_self", is_flag=True, help="Show the query's own file.")


def _read(gallery: "Gallery", photos: Sequence[str], labels: str | None) -> "Queries":
    from houndsight.queries import read_queries

    return read_queries(gallery, reopen_embedder(gallery), photos, labels=labels)


def exit_code(queries: "Queries") -> int:
    """List the queries that were skipped; return the exit code, `FAILED` where none is left."""
    code = show_skipped(queries.skipped)
    return code if queries.photos or code == DONE else FAILED


@click.command(epilog="Example: houndsight classify -g my-gallery unknown-dog.jpg --precision 0.9")
@photos_argument
@gallery_option
@k_option
@metric_option
@click.option(
    "--precision",
    type=click.FloatRange(0, 1),
    callback=not_nan,
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
        queries = _read(library, photos, None)
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
