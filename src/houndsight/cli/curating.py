"""Commands that look for what should not be in a gallery: duplicates, outliers."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from houndsight.cli.console import (
    DONE,
    gallery_option,
    json_option,
    metric_option,
    note,
    out,
    step_bar,
    write_json,
)
from houndsight.cli.numbers import Number, Whole
from houndsight.cli.output import output_file
from houndsight.errors import printable, unwritable

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["COMMANDS"]

ON_SHEET = 200
sheet_option = click.option(
    "--sheet",
    type=click.Path(dir_okay=False),
    callback=output_file(picture=True),
    metavar="OUT.png",
    help=f"Draw them as a contact sheet; up to {ON_SHEET} photos or groups.",
)


def _save(picture: "Image.Image", path: Path) -> None:
    try:
        picture.save(path)
    except (OSError, ValueError) as error:
        raise unwritable(path, error) from error
    note(f"drawn: {printable(path)}")


@click.command(epilog="Example: houndsight duplicates -g my-gallery --sheet same.png")
@gallery_option
@click.option(
    "--max-distance",
    type=Number(0),
    metavar="D",
    help="What is held to be near, by vectors of length 1; learned from the gallery unless given.",
)
@click.option("--exact", is_flag=True, help="Only photos of equal bytes.")
@sheet_option
@json_option
@click.option(
    "--paths0",
    is_flag=True,
    help="Write only the paths of all but the photo to keep of each group, each ended by NUL.",
)
def duplicates(
    gallery: str,
    max_distance: float | None,
    exact: bool,
    sheet: str | None,
    as_json: bool,
    paths0: bool,
) -> int:
    """List the photos that a gallery holds more than once, exactly or nearly; deletes nothing.

    Of each group the photo with most pixels comes first, as the one to keep.
    """
    from houndsight import curation
    from houndsight.gallery import Gallery
    from houndsight.render import contact, curated

    if exact and max_distance is not None:
        raise click.UsageError("--exact and --max-distance exclude each other.")
    if as_json and paths0:
        raise click.UsageError("--json and --paths0 exclude each other.")
    with Gallery(gallery) as library:
        with step_bar() as bar:
            report = curation.duplicates(
                library,
                max_distance=max_distance,
                exact=exact,
                progress=lambda done, of: bar("comparing photos", done, of),
            )
        if as_json:
            write_json(curated.duplicate_record(library, report))
        elif paths0:
            for group in report.groups:
                for match in group.others:
                    sys.stdout.buffer.write(library.path_of(match.item) + b"\0")
        else:
            console = out(fold=False)
            for line in curated.duplicate_lines(library, report):
                console.print(line)
        if sheet is not None:
            some = report.groups[:ON_SHEET]
            title = f"{len(some):,} of {len(report.groups):,} groups of duplicates"
            rows = contact.duplicate_rows(library, some)
            _save(contact.contact_sheet(title, rows), Path(sheet))
    return DONE


@click.command(epilog="Example: houndsight outliers -g my-gallery --sheet doubtful.png")
@gallery_option
@click.option("-n", "count", default=50, show_default=True, type=Whole(1), help="How many to list.")
@click.option(
    "-k",
    default=20,
    show_default=True,
    type=Whole(1),
    help="How many neighbours vote; fewer where labels have fewer photos. A learned metric needs "
    "none.",
)
@metric_option
@sheet_option
@json_option
def outliers(
    gallery: str, count: int, k: int, metric: str | None, sheet: str | None, as_json: bool
) -> int:
    """List the photos whose neighbours disagree with their label: likely wrong labels first.

    A learned metric is fitted again without the photos that it judges, in five parts.
    """
    from houndsight import doubting
    from houndsight.gallery import Gallery
    from houndsight.render import contact, curated

    with Gallery(gallery) as library:
        name = library.named(metric)
        found = doubting.outliers(library, k=k, metric=name)
        some = found[:count]
        if as_json:
            write_json(curated.outlier_records(library, some))
        else:
            out(fold=False).print(curated.outlier_table(library, some))
            doubtful = sum(one.score > 0.5 for one in found)
            out().print(
                f"{doubtful:,} of {len(found):,} photos speak more for another label ({name})"
            )
        if sheet is not None:
            shown = found[: min(count, ON_SHEET)]
            title = (
                f"The {len(shown):,} most doubtful of {len(found):,} labels, and what is likelier"
            )
            rows = contact.outlier_rows(library, shown)
            _save(contact.contact_sheet(title, rows), Path(sheet))
    return DONE


COMMANDS = [duplicates, outliers]
