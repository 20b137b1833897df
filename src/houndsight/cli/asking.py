"""Commands that ask a gallery: search, classify, evaluate."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from houndsight.cli.console import (
    DONE,
    FAILED,
    err,
    gallery_option,
    json_option,
    k_option,
    out,
    reopen_embedder,
    show_skipped,
    write_json,
)
from houndsight.errors import InputError, printable

if TYPE_CHECKING:
    from houndsight.gallery import Gallery
    from houndsight.queries import Queries
    from houndsight.types import Match

__all__ = ["COMMANDS"]

photos_argument = click.argument("photos", nargs=-1, required=True, metavar="IMAGE_OR_FOLDER...")
labels_option = click.option(
    "--labels",
    metavar="folder|none|FILE.csv",
    help="Where the queries' own labels come from; unless given, from the folder's name.",
)
self_option = click.option("--self", "with_self", is_flag=True, help="Show the query's own file.")


def _read(gallery: "Gallery", photos: Sequence[str], labels: str | None) -> "Queries":
    from houndsight.queries import read_queries

    return read_queries(gallery, reopen_embedder(gallery.settings), photos, labels=labels)


def _exit_code(queries: "Queries") -> int:
    code = show_skipped(queries.skipped)
    return code if queries.photos or code == DONE else FAILED


@click.command(epilog="Example: houndsight search -g my-gallery dog.jpg -k 10 --grid answer.png")
@photos_argument
@gallery_option
@k_option
@click.option("--label", "wanted", multiple=True, metavar="L", help="Only this label; repeatable.")
@click.option(
    "--max-distance",
    type=click.FloatRange(0),
    default=float("inf"),
    metavar="D",
    help="Leave out what is farther away.",
)
@click.option(
    "--grid",
    type=click.Path(),
    metavar="OUT.png",
    help="Draw the answer; for several queries, one picture each into the folder OUT.",
)
@self_option
@labels_option
@json_option
@click.option("--paths0", is_flag=True, help="Write only the paths, each ended by NUL.")
def search(
    photos: tuple[str, ...],
    gallery: str,
    k: int,
    wanted: tuple[str, ...],
    max_distance: float,
    grid: str | None,
    with_self: bool,
    labels: str | None,
    as_json: bool,
    paths0: bool,
) -> int:
    """Find the nearest images of each query photo.

    The query's own file is left out; equal bytes elsewhere are shown and flagged.
    """
    from houndsight.gallery import Gallery
    from houndsight.render import records, text
    from houndsight.types import Where

    if as_json and paths0:
        raise click.UsageError("--json and --paths0 exclude each other.")
    with Gallery(gallery) as library:
        where = Where(labels=_known_labels(library, wanted) if wanted else None)
        queries = _read(library, photos, labels)
        found = list(
            library.search(
                queries.vectors,
                k,
                where=where,
                exclude=None if with_self else [query.own for query in queries.photos],
                max_distance=max_distance,
            )
        )
        if as_json:
            write_json(records.search_records(library, queries, found))
        elif paths0:
            for match in (match for matches in found for match in matches):
                sys.stdout.buffer.write(library.path_of(match.item) + b"\0")
        else:
            console = out()
            for query, matches in zip(queries.photos, found, strict=True):
                console.print(text.matches_table(library, query, matches))
                if not matches:
                    console.print("no neighbours")
                console.print()
        if grid is not None and queries.photos:
            _draw(library, queries, found, Path(grid))
        return _exit_code(queries)


def _known_labels(gallery: "Gallery", wanted: Sequence[str]) -> frozenset[str]:
    from difflib import get_close_matches

    known = gallery.labels()
    for label in wanted:
        if label not in known:
            near = ", ".join(get_close_matches(label, known, n=3)) or ", ".join(sorted(known)[:5])
            raise InputError(
                f"no photo in the gallery has the label {printable(label)}",
                remedy=f"Labels like it: {printable(near) or 'there are none at all'}",
            )
    return frozenset(wanted)


def _draw(gallery: "Gallery", queries: "Queries", found: "list[list[Match]]", target: Path) -> None:
    from houndsight.render.answers import answer_grid

    several = len(queries.photos) > 1 or target.is_dir() or not target.suffix
    folder = target.with_suffix("") if several and target.suffix == ".png" else target
    try:
        (folder if several else target.parent).mkdir(parents=True, exist_ok=True)
        for n, (query, matches) in enumerate(zip(queries.photos, found, strict=True), start=1):
            stem = os.path.splitext(os.path.basename(query.path))[0]
            name = f"{n:04d}-{printable(stem).replace(os.sep, '_')}.png"
            answer_grid(gallery, query, matches).save(folder / name if several else target)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be written: {error}", path=target) from error
    err(f"drawn: {folder if several else target}")


@click.command(epilog="Example: houndsight classify -g my-gallery unknown-dog.jpg")
@photos_argument
@gallery_option
@k_option
@self_option
@json_option
def classify(photos: tuple[str, ...], gallery: str, k: int, with_self: bool, as_json: bool) -> int:
    """Say which label most of the nearest labelled photos have.

    Ties go to the tied label whose photo is nearest. The share is the winner's part of the votes.
    """
    from houndsight import voting
    from houndsight.gallery import Gallery
    from houndsight.render import records, text
    from houndsight.types import Where

    with Gallery(gallery) as library:
        if not library.labels():
            raise InputError(
                "holds no labelled photo",
                path=library.place,
                remedy="Give labels with houndsight index --labels, or houndsight label",
            )
        queries = _read(library, photos, None)
        own = None if with_self else [query.own for query in queries.photos]
        found = library.search(queries.vectors, k, where=Where(labelled=True), exclude=own)
        votes = [voting.classify(matches) for matches in found]
        if as_json:
            write_json(records.classify_records(queries, votes))
        else:
            out().print(text.classify_table(queries, votes))
        return _exit_code(queries)


def _samples(_: click.Context, __: click.Parameter, value: str) -> int | None:
    if value == "all":
        return None
    if not value.isdecimal() or int(value) < 1:
        raise click.BadParameter("give a number from 1, or all")
    return int(value)


@click.command(epilog="Example: houndsight evaluate -g my-gallery --samples all")
@gallery_option
@click.option("--queries", metavar="FOLDER", help="Query photos, in folders named by label.")
@click.option(
    "--samples",
    default="50",
    show_default=True,
    callback=_samples,
    metavar="N|all",
    help="Without --queries: how many photos to take out of the gallery.",
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(0),
    help="Of the drawing and the intervals.",
)
@k_option
@labels_option
@click.option(
    "--rows", default=10, show_default=True, type=click.IntRange(0), help="Labels shown; 0 for all."
)
@json_option
def evaluate(
    gallery: str,
    queries: str | None,
    samples: int | None,
    seed: int,
    k: int,
    labels: str | None,
    rows: int,
    as_json: bool,
) -> int:
    """Say how good the neighbours are, and how far that can be trusted.

    Without --queries, photos are taken out of the gallery; only the photo itself and files of the
    same bytes are kept from it.
    """
    from houndsight import evaluation
    from houndsight.gallery import Gallery
    from houndsight.render import records, text

    with Gallery(gallery) as library:
        asked: Any = None
        if queries is not None:
            if not os.path.isdir(queries):
                raise InputError("is no folder", path=queries, remedy="Name a folder of photos")
            asked = _read(library, [queries], labels or "folder")
        report = evaluation.evaluate(library, asked, k=k, samples=samples, seed=seed)
    if as_json:
        write_json(records.evaluation_record(report))
    else:
        console = out()
        console.print(text.figures_table(report))
        console.print()
        console.print(text.confusion_table(report, rows or len(report.labels)))
        console.print()
        console.print(
            f"{report.protocol}, k {report.k}, seed {report.seed}, model {report.model}, "
            f"fingerprint {report.fingerprint[:12]}"
        )
        console.print(
            f"{report.left_out:,} gallery photos were kept from queries with the same bytes"
        )
        if report.unlabelled:
            console.print(f"{report.unlabelled:,} queries have no known label and were not scored")
        if report.unknown_labels:
            names = ", ".join(text.label_text(label) for label in report.unknown_labels[:10])
            console.print(f"labels that the gallery does not have, all counted as wrong: {names}")
    return show_skipped(asked.skipped) if asked else DONE


COMMANDS = [search, classify, evaluate]
