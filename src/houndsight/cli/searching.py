"""The command that looks for photos that are alike: search."""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from houndsight.cli.asking import (
    ask,
    exit_code,
    labels_option,
    loader,
    photos_argument,
    self_option,
)
from houndsight.cli.console import (
    DONE,
    SKIPPED,
    gallery_option,
    json_option,
    k_option,
    metric_option,
    note,
    nothing_read,
    out,
    write_json,
)
from houndsight.cli.explaining import EXPLAINED, draw, draw_reasons, view_options
from houndsight.cli.numbers import Number
from houndsight.cli.output import check_picture, html_option
from houndsight.cli.terminal import picture_protocol, width
from houndsight.errors import counted

if TYPE_CHECKING:
    from houndsight.cropping import Crop, View
    from houndsight.embedder import Embedder
    from houndsight.gallery import Gallery
    from houndsight.queries import Combine, Queries, Query
    from houndsight.render.inline import Protocol
    from houndsight.types import Match, Where

__all__ = ["COMMANDS"]

F = TypeVar("F", bound=Callable[..., Any])


def combining_options(command: F) -> F:
    """Add the options that make one search of several photos."""
    for option in (
        click.option(
            "--unlike",
            multiple=True,
            metavar="IMAGE_OR_FOLDER",
            help="Stay away from these photos; repeatable. They are not shown.",
        ),
        click.option(
            "--combine",
            type=click.Choice(["mean", "min", "max"]),
            help="Search for all queries as one: like their mean, like any of them (min), or like "
            "every one of them (max).",
        ),
    ):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class _Asked:
    """What `search` was asked for, and in which form."""

    k: int
    wanted: tuple[str, ...]
    max_distance: float
    metric: str | None
    approximate: bool
    crop: "Crop | None"
    exclude_crop: "tuple[Crop, ...]"
    combine: "Combine | None"
    unlike: tuple[str, ...]
    with_self: bool
    labels: str | None
    as_json: bool
    paths0: bool
    grid: str | None
    explain: str | None
    html: str | None
    show: bool

    def __post_init__(self) -> None:
        if self.as_json and self.paths0:
            raise click.UsageError("--json and --paths0 exclude each other.")
        if self.show and (self.as_json or self.paths0):
            raise click.UsageError("--show is for the table, not for --json or --paths0.")
        if self.explain is not None and (self.combine or self.unlike):
            raise click.UsageError("--explain is for one photo, not for --combine or --unlike.")
        if self.approximate and self.combine == "max":
            raise click.UsageError("--approximate and --combine max exclude each other.")
        if self.explain is not None and self.explain == self.grid:
            raise click.UsageError("--grid and --explain need a name each.")

    @property
    def view(self) -> "View":
        from houndsight.cropping import View

        return View(self.crop, self.exclude_crop)


@click.command(epilog="Example: houndsight search -g my-gallery dog.jpg -k 10 --grid answer.png")
@photos_argument
@gallery_option
@k_option
@click.option("--label", "wanted", multiple=True, metavar="L", help="Only this label; repeatable.")
@click.option(
    "--max-distance",
    type=Number(0),
    default=float("inf"),
    metavar="D",
    help="Leave out what is farther away.",
)
@metric_option
@click.option(
    "--approximate",
    is_flag=True,
    help="Quicker in a very large gallery: without the proof that none is missing. What share it "
    "finds is measured on the gallery first; in Milvus by houndsight tune.",
)
@view_options
@combining_options
@click.option(
    "--grid",
    type=click.Path(),
    metavar="OUT.png",
    help="Draw the answer; for several queries, one picture each into the folder OUT.",
)
@click.option(
    "--explain",
    type=click.Path(),
    metavar="OUT.png",
    help=f"Draw which regions made the nearest {EXPLAINED} alike; several queries as for --grid.",
)
@click.option(
    "--show",
    is_flag=True,
    help="Show the pictures in the terminal, if it can: Kitty, Ghostty, iTerm2, WezTerm, and all "
    "that know Sixel.",
)
@html_option
@self_option
@labels_option
@json_option
@click.option("--paths0", is_flag=True, help="Write only the paths, each ended by NUL.")
def search(photos: tuple[str, ...], gallery: str, **options: Any) -> int:
    """Find the nearest images of each query photo.

    The query's own file is left out; equal bytes elsewhere are shown and flagged. A photo of the
    gallery can be named by its id.
    """
    from houndsight.gallery import Gallery
    from houndsight.listing import is_place

    asked = _Asked(**options)
    one = len(photos) == 1 and not is_place(os.fsencode(photos[0]))
    if asked.combine or one:  # else into folders
        for target in (Path(name) for name in (asked.grid, asked.explain) if name is not None):
            if target.suffix and not target.is_dir():
                check_picture(target)
    protocol = picture_protocol() if asked.show else None
    with Gallery(gallery) as library:
        load = loader(library)
        queries, found = _search(library, load, photos, asked)
        _show(library, queries, found, asked, protocol)
        code = exit_code(queries)
        if asked.grid is not None:
            _draw_grids(library, queries, found, Path(asked.grid))
        if asked.html is not None:
            _write(Path(asked.html), library, queries, found, asked.metric)
        if asked.explain is not None:
            target = Path(asked.explain)
            lacking = draw_reasons(library, load(), queries.photos, found, target, asked.metric)
            code = SKIPPED if lacking and code == DONE else code
        return code


def _search(
    gallery: "Gallery", load: "Callable[[], Embedder]", photos: Sequence[str], asked: _Asked
) -> "tuple[Queries, list[list[Match]]]":
    """Return the queries as they are to be shown, each with its neighbours."""
    from houndsight.combining import as_one, search_combined
    from houndsight.queries import known_labels
    from houndsight.stores import Indexed
    from houndsight.types import Where

    where = Where(labels=known_labels(gallery, asked.wanted) if asked.wanted else None)
    queries = ask(gallery, load, photos, metric=asked.metric, labels=asked.labels, view=asked.view)
    unlike = ask(gallery, load, asked.unlike, metric=asked.metric, labels="none")
    if asked.unlike and not unlike.photos:
        raise nothing_read(unlike.skipped)
    away = frozenset[int]().union(*(query.own | query.twins for query in unlike.photos))
    looked_at = _looked_at(gallery, asked, where) if asked.approximate else None
    found = search_combined(
        gallery,
        queries.vectors,
        asked.k,
        combine=asked.combine,
        unlike=unlike.vectors,
        where=where,
        exclude=[away if asked.with_self else away | query.own for query in queries.photos],
        max_distance=asked.max_distance,
        metric=asked.metric,
        looked_at=looked_at,
    )
    if looked_at is not None and isinstance(gallery.store, Indexed) and gallery.store.why_exact():
        note(f"approximate: searched exactly all the same: {gallery.store.why_exact()}")
    shown = as_one(queries.photos, unlike.photos, asked.combine)
    if asked.crop or asked.exclude_crop:  # probabilities were fitted on whole photos
        found = replace(found, probabilities=None)
    skipped = [*queries.skipped, *unlike.skipped]
    return replace(queries, photos=shown, skipped=skipped), list(found)


def _looked_at(gallery: "Gallery", asked: _Asked, where: "Where") -> int | None:
    """Return how many vectors an approximate search looks at, and say what it is worth.

    None where it is exact all the same.
    """
    from houndsight.approximation import exact_anyway, measured_recall, percent

    why = exact_anyway(gallery, asked.k, where)
    if why is not None:
        note(f"exact, in spite of --approximate: {why}")
        return None
    recall = measured_recall(gallery, asked.k, metric=asked.metric)
    note(
        f"approximate: finds {percent(recall.recall)} of the {recall.k} nearest, measured on "
        f"{counted(recall.queries, 'photo')}{' of this gallery' * recall.own}"
    )
    if recall.stale:
        note(
            f"approximate: it held {counted(recall.items, 'photo')} then, and has changed much "
            "since. Run houndsight tune again"
        )
    return recall.looked_at


def _show(
    gallery: "Gallery",
    queries: "Queries",
    found: "list[list[Match]]",
    asked: _Asked,
    protocol: "Protocol | None",
) -> None:
    from houndsight.render import records, text

    if asked.as_json:
        write_json(records.search_records(gallery, queries, found))
    elif asked.paths0:
        for match in (match for matches in found for match in matches):
            sys.stdout.buffer.write(gallery.path_of(match.item) + b"\0")
    else:
        console = out(fold=False)
        for query, matches in zip(queries.photos, found, strict=True):
            console.print(text.matches_table(gallery, query, matches))
            if not matches:
                console.print("no neighbours")
            elif protocol is not None:
                _show_picture(gallery, query, matches, protocol)
            console.print()


def _show_picture(
    gallery: "Gallery", query: "Query", matches: "list[Match]", protocol: "Protocol"
) -> None:
    from houndsight.render.answers import answer_grid
    from houndsight.render.inline import inline

    drawn = answer_grid(gallery, query, matches)
    sys.stdout.flush()  # what was written before stands before it
    sys.stdout.buffer.write(inline(drawn, protocol, width=width()))
    sys.stdout.buffer.flush()


def _draw_grids(
    gallery: "Gallery", queries: "Queries", found: "list[list[Match]]", target: Path
) -> None:
    from houndsight.render.answers import answer_grid

    draw(queries.photos, target, lambda n: answer_grid(gallery, queries.photos[n], found[n]))


def _write(
    path: Path,
    gallery: "Gallery",
    queries: "Queries",
    found: "list[list[Match]]",
    metric: str | None,
) -> None:
    from houndsight.render.found import search_content
    from houndsight.render.html import write_page

    write_page(path, search_content(gallery, queries, found, metric=metric))


COMMANDS = [search]
