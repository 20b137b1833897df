"""The command that says how good the neighbours are: evaluate."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
from click.core import ParameterSource

from houndsight.cli.asking import labels_option
from houndsight.cli.console import (
    DONE,
    gallery_option,
    json_option,
    k_option,
    metric_option,
    out,
    reopen_embedder,
    show_skipped,
    step_bar,
    write_json,
)
from houndsight.cli.numbers import Whole
from houndsight.cli.output import output_file
from houndsight.errors import InputError, counted

if TYPE_CHECKING:
    from houndsight.evaluation import Comparison, Report
    from houndsight.gallery import Gallery
    from houndsight.queries import Queries

__all__ = ["COMMANDS"]


def _samples(
    _: click.Context, __: click.Parameter, value: str | None
) -> int | Literal["all"] | None:
    if value is None or value == "all":
        return value  # type: ignore[return-value]
    if not value.isdecimal() or int(value) < 1:
        raise click.BadParameter("give a number from 1, or all")
    return int(value)


@click.command(epilog="Example: houndsight evaluate -g my-gallery --protocol folds --html out.html")
@gallery_option
@click.option(
    "--protocol",
    type=click.Choice(["paper", "leave-one-out", "split", "folds"]),
    help="paper: samples of 50 photos, again and again; leave-one-out: each photo against all "
    "others; split: the photos of --queries; folds: each photo against four fifths. Unless given, "
    "split with --queries, else leave-one-out.",
)
@click.option("--queries", metavar="FOLDER", help="Query photos, in folders named by label.")
@click.option(
    "--samples",
    callback=_samples,
    metavar="N|all",
    help="Without --queries: how many photos to take out of the gallery, drawn at random; 50 "
    "unless a protocol is given.",
)
@click.option(
    "--repeats",
    default=100,
    show_default=True,
    type=Whole(1),
    help="With --protocol paper: how many samples.",
)
@click.option("--seed", default=0, show_default=True, type=Whole(0), help="Of all that is drawn.")
@k_option
@metric_option
@click.option(
    "--compare",
    metavar="METRIC|GALLERY",
    help="Set another metric, or another gallery of the same photos, against it.",
)
@click.option(
    "--keep-near", is_flag=True, help="Keep only equal bytes from a query, not near-duplicates."
)
@labels_option
@click.option(
    "--rows", default=10, show_default=True, type=Whole(0), help="Labels shown; 0 for all."
)
@click.option(
    "--html",
    type=click.Path(dir_okay=False),
    callback=output_file(),
    metavar="OUT.html",
    help="Write a page with pictures: best and worst queries, most confused labels.",
)
@json_option
def evaluate(
    gallery: str,
    queries: str | None,
    labels: str | None,
    compare: str | None,
    keep_near: bool,
    rows: int,
    html: str | None,
    as_json: bool,
    **settings: Any,
) -> int:
    """Say how good the neighbours are, and how far that can be trusted.

    A photo itself, files of the same bytes and near-duplicates are kept from each query. A learned
    metric is fitted again without the photos asked for: it is scored on none that it has seen.
    """
    from houndsight.gallery import Gallery
    from houndsight.render.evaluation_record import evaluation_record

    if labels is not None and queries is None:
        raise click.UsageError("--labels is for the photos of --queries.")
    source = click.get_current_context().get_parameter_source("repeats")
    if source is not ParameterSource.DEFAULT and settings["protocol"] != "paper":
        raise click.UsageError("--repeats is for --protocol paper.")
    settings["near"] = not keep_near
    with Gallery(gallery) as library:
        report, asked = _evaluate(library, queries, labels, settings)
        comparison = None
        if compare is not None:
            comparison = _compare(library, report, asked, compare, queries, labels, settings)
        if as_json:
            write_json(evaluation_record(library, report, comparison))
        else:
            _tell(report, comparison, rows)
        code = show_skipped(asked.skipped) if asked else DONE
        if html is not None:  # last, so that no figure is lost where it cannot be written
            _write(Path(html), library, report, comparison)
    return code


def _evaluate(
    library: "Gallery", folder: str | None, labels: str | None, settings: dict[str, Any]
) -> "tuple[Report, Queries | None]":
    asked = None if folder is None else _read(library, folder, labels)
    return _scored(library, asked, settings), asked


def _read(library: "Gallery", folder: str, labels: str | None) -> "Queries":
    from houndsight.listing import is_place
    from houndsight.queries import read_queries

    if not is_place(os.fsencode(folder)):
        cause = "is a file, not a folder" if os.path.exists(folder) else "there is no such folder"
        raise InputError(cause, path=folder, remedy="Name a folder of photos")
    embedder = reopen_embedder(library)
    return read_queries(library, embedder, [folder], labels=labels or "folder")


def _scored(library: "Gallery", asked: "Queries | None", settings: dict[str, Any]) -> "Report":
    from houndsight import evaluation

    with step_bar() as progress:
        return evaluation.evaluate(
            library,
            asked,
            progress=lambda done, total: progress("ranking", done, total),
            **settings,
        )


def _compare(
    library: "Gallery",
    report: "Report",
    asked: "Queries | None",
    other: str,
    folder: str | None,
    labels: str | None,
    settings: dict[str, Any],
) -> "Comparison":
    from houndsight import evaluation
    from houndsight.gallery import Gallery

    if Gallery.exists(other) or os.path.isdir(other):  # a folder alone is refused by name
        with Gallery(other) as second:
            found, _ = _evaluate(second, folder, labels, {**settings, "metric": None})
    else:
        found = _scored(library, asked, {**settings, "metric": other})
    return evaluation.compare(report, found, seed=settings["seed"])


def _write(
    path: Path, library: "Gallery", report: "Report", comparison: "Comparison | None"
) -> None:
    from houndsight.render.html import write_page
    from houndsight.render.report import report_content

    lead = (
        f"{counted(report.n_queries, 'query')} of {counted(len(report.labels), 'label')} against "
        f"{counted(report.n_gallery, 'labelled photo')}, {report.k} neighbours each."
    )
    write_page(path, report_content(library, report, lead=lead, comparison=comparison))


def _tell(report: "Report", comparison: "Comparison | None", rows: int) -> None:
    from houndsight.render import evaluated

    tables = [evaluated.figures_table(report)]
    if report.spread is not None:
        tables.append(evaluated.spread_table(report))
    if comparison is not None:
        tables.append(evaluated.comparison_table(comparison))
    if report.calibration is not None:
        tables.append(evaluated.calibration_table(report))
    tables.append(evaluated.labels_table(report, rows or len(report.labels)))
    console = out()
    for table in tables:
        console.print(table)
        console.print()
    for name, value in evaluated.facts(report):
        console.print(f"{name}: {value}")
    for note in report.notes:
        console.print(f"note: {note}")


COMMANDS = [evaluate]
