"""Commands that make galleries and vectors: index, embed, demo."""

import json
import os
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from houndsight.cli.console import (
    complete_files,
    complete_folders,
    gallery_option,
    index_bar,
    index_line,
    json_option,
    load_embedder,
    log_index,
    model_options,
    note,
    nothing_read,
    out,
    show_skipped,
    step_bar,
    write_json,
)
from houndsight.cli.embedding import kept_precision, own_embedder
from houndsight.cli.engines import connected, engine, isolate_option, ray_option, tell_nodes
from houndsight.cli.numbers import Share
from houndsight.cli.output import output_file
from houndsight.cli.rehearsing import differences, dry_run_option, rehearsed, tell
from houndsight.errors import InputError, counted, printable

if TYPE_CHECKING:
    from houndsight.embedder import Embedder
    from houndsight.indexing import IndexReport

__all__ = ["COMMANDS"]


@click.command(
    epilog="Example: houndsight index photos -g my-gallery. Stopped at any moment, it goes on "
    "where it was when it is run again."
)
@click.argument("photos", shell_complete=complete_folders)
@gallery_option
@click.option(
    "--labels",
    metavar="folder|none|FILE.csv",
    help="Labels: the folder that holds a photo (default), none, or a CSV file (path,label).",
)
@model_options
@click.option(
    "--precision",
    type=click.Choice(["float32", "int8", "float16"]),
    help="int8: the network in integers, two to four times as fast on a CPU; float16: for GPUs. "
    "Measured on the photos first; a gallery keeps its precision.",
)
@click.option(
    "--min-overlap",
    type=Share(0, 1),
    metavar="0..1",
    help="Refuse a precision if a smaller share of the neighbours is the same as in float32; "
    "0.85 unless given.",
)
@click.option("--restore", is_flag=True, help="Take in again what was removed by hand.")
@isolate_option
@ray_option
@dry_run_option
@json_option
def index(
    photos: str,
    gallery: str,
    labels: str | None,
    precision: str | None,
    min_overlap: float | None,
    restore: bool,
    isolate: bool,
    ray: str | None,
    dry_run: bool,
    as_json: bool,
    **model: Any,
) -> int:
    """Bring a gallery up to date with PHOTOS: a folder, a .zip or .tar archive, or an address.

    Only photos that are new or have changed are embedded. Files that cannot be read are skipped
    and listed. With --dry-run photos are read, but not embedded.
    """
    from houndsight import indexing
    from houndsight.render.records import index_record

    own = own_embedder(gallery, model, dry_run=dry_run)
    kept = kept_precision(gallery, dry_run=dry_run)
    if kept and precision and precision != kept:
        raise InputError(
            f"holds vectors of {kept}, not of {precision}",
            path=gallery,
            remedy="Leave --precision out, or name a new folder for another gallery",
        )
    narrow = precision if precision != "float32" else None
    if min_overlap is not None and narrow is None:
        raise click.UsageError("--min-overlap is for --precision int8 or float16.")
    if narrow and kept is None:
        own = partial(_narrowed, photos, labels, narrow, min_overlap, model)
    if ray and isolate:
        raise click.UsageError("--ray and --isolate exclude each other.")
    if ray and dry_run:
        raise click.UsageError("--dry-run embeds nothing, so it needs no cluster: leave --ray out.")
    with (
        rehearsed(gallery, own, model) if dry_run else nullcontext(gallery) as target,
        connected(ray) if ray else nullcontext() as cluster,
    ):
        with index_bar(lambda: cluster.embedded if cluster else {}) as progress:
            report = indexing.index(
                photos,
                target,
                embedder=None if dry_run else own,
                labels=labels,
                restore=restore,
                progress=progress,
                engine=engine(isolate, cluster),
            )
        log_index(photos, gallery, report)
        if as_json:
            write_json({**index_record(report), **differences(target)})
        else:
            tell(target, index_line(report, timed=not dry_run))
            if cluster:
                tell_nodes(cluster, report.seconds)
    if not as_json:
        _tell_more(report)
    return show_skipped(report.skipped)


def _tell_more(report: "IndexReport") -> None:
    console = out()
    if report.relabelled:
        console.print(f"another label now: {counted(report.relabelled, 'photo')}")
    if report.left_out:
        console.print(f"left out, as removed by hand: {counted(report.left_out, 'photo')}")
    if report.passed_over:
        kinds = ", ".join(f"{n:,} {kind}" for kind, n in report.passed_over.most_common())
        console.print(f"passed over, as they are not named like photos: {kinds}")


def _narrowed(
    photos: str,
    labels: str | None,
    precision: str,
    least_overlap: float | None,
    model: dict[str, Any],
) -> "Embedder":
    """Load an embedder with a narrower network, and say what that is worth."""
    from houndsight.gallery import find_photos
    from houndsight.labels import labeller
    from houndsight.precision import LEAST_OVERLAP, narrowed
    from houndsight.remote import absolute

    root = absolute(photos)
    found = find_photos(root).photos
    label_of, _ = labeller(labels or "folder", root)
    with step_bar() as progress:
        made, report = narrowed(
            load_embedder(**model),
            [os.path.join(root, photo.path) for photo in found],
            [label_of(photo.path) for photo in found],
            precision=precision,
            least_overlap=LEAST_OVERLAP if least_overlap is None else least_overlap,
            progress=progress,
        )
    note(f"{precision} against float32 on {report.photos:,} of the photos:")
    for trial in report.trials:
        share = trial.precision
        right = "" if share is None else f", precision@{report.k} {100 * share:.1f} %"
        note(
            f"  {trial.name}: {trial.speed:.1f} images/s, {100 * trial.overlap:.1f} % of the "
            f"{report.k} neighbours the same{right}{' (taken)' * (trial.name == report.chosen)}"
        )
    taken = next(trial for trial in report.trials if trial.name == report.chosen)
    if taken.speed <= report.trials[0].speed:
        note(f"  {precision} is no faster than float32 on this machine")
    return made


@click.command(epilog="Example: houndsight embed dog.jpg holiday/ -o vectors.npz")
@click.argument(
    "images", nargs=-1, required=True, metavar="IMAGE...", shell_complete=complete_files
)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(dir_okay=False),
    callback=output_file(".npz"),
    metavar="FILE.npz",
    help="Where to write the vectors.",
)
@model_options
def embed(images: tuple[str, ...], output: str, **model: Any) -> int:
    """Write the feature vectors of images, or of all images in folders.

    The file holds `vectors` (n, dim) float32, `paths` (n), `fingerprint`, `model` and `settings`;
    read it with numpy.load, or make a gallery of it with houndsight import.
    """
    from houndsight.exchange.npz import write_npz
    from houndsight.types import Skipped

    paths, skipped = _photos(images)
    embedder = load_embedder(**model)
    found = list(embedder.embed_files(paths))
    kept = [(path, vector) for path, vector in found if not isinstance(vector, Skipped)]
    skipped += [vector for _, vector in found if isinstance(vector, Skipped)]
    if kept:
        write_npz(
            Path(output),
            (len(kept), embedder.dim),
            (vector[None] for _, vector in kept),
            paths=[os.fsdecode(path) for path, _ in kept],
            fingerprint=embedder.fingerprint,
            model=embedder.model.name,
            settings=json.dumps(embedder.settings(), sort_keys=True),
        )
        out().print(
            f"{counted(len(kept), 'vector')} of {embedder.dim} numbers in {printable(output)}"
        )
    else:
        raise nothing_read(skipped)
    return show_skipped(skipped)


def _photos(names: tuple[str, ...]) -> tuple[list[bytes], list[Any]]:
    from houndsight.listing import find, is_place
    from houndsight.remote import absolute

    paths: list[bytes] = []
    skipped: list[Any] = []
    for name in names:
        path = absolute(name)
        if not is_place(path):
            paths.append(path)
            continue
        listing = find(path)
        if not listing.photos and not listing.skipped:
            raise InputError("holds no photo", path=path, remedy="Name photos, or their folders")
        paths.extend(os.path.join(path, found.path) for found in listing.photos)
        skipped.extend(listing.skipped)
    return paths, skipped


@click.command(epilog="Example: houndsight demo")
@click.argument("folder", default="houndsight-demo")
def demo(folder: str) -> int:
    """See the whole job done on drawings: no download, no photos of yours.

    Draws a small set of cartoon dogs into FOLDER (./houndsight-demo unless given), and indexes,
    searches and evaluates it, printing each command as you would type it.
    """
    from houndsight.cli.demo import run

    return run(Path(folder))


COMMANDS = [index, embed, demo]
