"""The command that says why photos are alike, and the pictures of answers."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from houndsight.cli.asking import exit_code
from houndsight.cli.console import (
    gallery_option,
    json_option,
    metric_option,
    note,
    out,
    reopen_embedder,
    write_json,
)
from houndsight.cli.output import check_picture
from houndsight.errors import ImageError, InputError, printable, unwritable

if TYPE_CHECKING:
    from PIL import Image

    from houndsight.cropping import Crop
    from houndsight.embedder import Embedder
    from houndsight.explaining import Explanation
    from houndsight.gallery import Gallery
    from houndsight.queries import Query
    from houndsight.types import Item, Match

__all__ = [
    "COMMANDS",
    "EXPLAINED",
    "draw",
    "draw_reasons",
    "view_options",
]

# Neighbours in a picture of search --explain: more would be too small to see why.
EXPLAINED = 5
F = TypeVar("F", bound=Callable[..., Any])


class _CropType(click.ParamType["Crop"]):
    """``x,y,w,h`` in pixels or per cent."""

    name = "x,y,w,h"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> "Crop":
        from houndsight.cropping import Crop

        try:
            return Crop.parse(str(value))
        except InputError as error:
            return self.fail(str(error), param, ctx)


def view_options(command: F) -> F:
    """Add the options that say what of a query is looked at."""
    for option in (
        click.option(
            "--exclude-crop",
            type=_CropType(),
            multiple=True,
            help="Paint this part of the query over, so that it adds nothing; repeatable.",
        ),
        click.option(
            "--crop",
            type=_CropType(),
            help="Look at this part of the query only: 40,60,200,150 are pixels of the upright "
            "photo from its upper left corner, 10,20,50,50% are per cent.",
        ),
    ):
        command = option(command)
    return command


def draw(
    queries: "Sequence[Query]", target: Path, picture: "Callable[[int], Image.Image | None]"
) -> None:
    """Write one picture to a file, or one for each query into a folder, where there is one."""
    if not queries:
        return
    several = len(queries) > 1 or target.is_dir() or not target.suffix
    folder = target.with_suffix("") if several and target.suffix == ".png" else target
    done = False
    for n, query in enumerate(queries):
        stem = os.path.splitext(os.path.basename(query.path))[0]
        name = f"{n + 1:04d}-{printable(stem).replace(os.sep, '_')}.png"
        drawn = picture(n)
        if drawn is not None:
            _save(drawn, folder / name if several else target)
            done = True
    if done:
        note(f"drawn: {folder if several else target}")
    else:
        note(f"nothing to draw in {printable(target)}: there are no neighbours")


def _save(picture: "Image.Image", path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)
    except (OSError, ValueError) as error:
        raise unwritable(path, error) from error


def draw_reasons(
    gallery: "Gallery",
    embedder: "Embedder",
    queries: "Sequence[Query]",
    found: "Sequence[Sequence[Match]]",
    target: Path,
    metric: str | None,
) -> bool:
    """Draw heat maps for each query; returns whether there are items that cannot be explained."""
    from houndsight import explaining
    from houndsight.render.answers import explanation_picture

    unexplained: set[str] = set()

    def why(query: "Query", item: "Item") -> "Explanation | None":
        try:
            return explaining.explain(
                gallery, embedder, query.path, item, metric=metric, view=query.view
            )
        except ImageError as error:
            unexplained.add(str(error))
            return None

    def picture(n: int) -> "Image.Image | None":
        query = queries[n]
        some = [(match.item, why(query, match.item)) for match in found[n][:EXPLAINED]]
        return explanation_picture(gallery, query, some) if some else None

    draw(queries, target, picture)
    for line in sorted(unexplained):
        note(f"not explained: {line}")
    return bool(unexplained)


@click.command(epilog="Example: houndsight explain -g my-gallery dog.jpg beagle/7.jpg -o why.png")
@click.argument("query")
@click.argument("item")
@gallery_option
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False), metavar="OUT.png", help="Draw heat maps."
)
@metric_option
@view_options
@json_option
def explain(
    query: str,
    item: str,
    gallery: str,
    output: str | None,
    metric: str | None,
    crop: "Crop | None",
    exclude_crop: "tuple[Crop, ...]",
    as_json: bool,
) -> int:
    """Say which regions of a query photo and of a photo in the gallery made them alike.

    ITEM is an id or a path, as search --json shows them. Each region has a share of the similarity,
    and the shares add up to it.
    """
    from houndsight import explaining
    from houndsight.cropping import View
    from houndsight.gallery import Gallery
    from houndsight.listing import is_place
    from houndsight.queries import read_queries
    from houndsight.render import records, text
    from houndsight.render.answers import explanation_picture

    if output is not None:
        check_picture(Path(output))
    if is_place(os.fsencode(query)):
        raise InputError("is a folder, not a photo", path=query, remedy="Name one photo")
    with Gallery(gallery) as library:
        found = library.find(item)
        embedder = reopen_embedder(library)
        view = View(crop, exclude_crop)
        queries = read_queries(library, embedder, [query], view=view)
        for asked in queries.photos:
            why = explaining.explain(library, embedder, asked.path, found, metric=metric, view=view)
            if as_json:
                write_json(records.explanation_record(library, asked, found, why))
            else:
                out().print(text.explanation_table(library, asked, found, why))
            if output is not None:
                _save(explanation_picture(library, asked, [(found, why)]), Path(output))
                note(f"drawn: {output}")
        return exit_code(queries)


COMMANDS = [explain]
