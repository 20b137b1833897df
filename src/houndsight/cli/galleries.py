"""Commands about galleries as wholes: list, merge, split, copy."""

import os
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from houndsight.cli.console import (
    DONE,
    LISTED,
    complete_folders,
    err,
    gallery_option,
    json_option,
    out,
    step_bar,
    write_json,
)
from houndsight.cli.numbers import Share, Whole
from houndsight.cli.rehearsing import NOTHING, dry_run_option, opened
from houndsight.errors import InputError, counted, printable

if TYPE_CHECKING:
    from houndsight.joining import Merge

__all__ = ["COMMANDS"]


@click.group(epilog="Example: houndsight gallery list ~/galleries")
def gallery() -> None:
    """List galleries, put several together, or take a part of one."""


@gallery.command("list", epilog="Example: houndsight gallery list ~/galleries /data")
@click.argument("folders", nargs=-1, metavar="[FOLDER...]", shell_complete=complete_folders)
@json_option
def list_(folders: tuple[str, ...], as_json: bool) -> int:
    """List the galleries in and below FOLDERs; below the working folder unless given."""
    from houndsight.overview import galleries

    found = [one for folder in folders or (".",) for one in galleries(folder)]
    records = [
        {
            "path": os.fsdecode(one.path),
            "photos": one.photos,
            "labels": one.labels,
            "model": one.model,
            "bytes": one.bytes,
            "changed": one.changed.isoformat(timespec="seconds"),
            "fault": one.fault,
        }
        for one in found
    ]
    if as_json:
        write_json(records)
        return DONE
    for one in found:
        what = (
            one.fault
            or f"{counted(one.photos, 'photo')}, {counted(one.labels, 'label')}, {one.model}"
        )
        out().print(
            f"{printable(one.path)}: {what}, {one.bytes / 1e6:,.1f} MB, "
            f"{one.changed.astimezone():%Y-%m-%d %H:%M}"
        )
    if not found:
        out().print("there are no galleries")
    return DONE


@gallery.command(epilog="Example: houndsight gallery merge dogs more-dogs -g all-dogs")
@click.argument(
    "galleries", nargs=-1, required=True, metavar="GALLERY...", shell_complete=complete_folders
)
@click.option("-g", "--new", required=True, metavar="NEW", help="The new gallery.")
@dry_run_option
@json_option
def merge(galleries: tuple[str, ...], new: str, dry_run: bool, as_json: bool) -> int:
    """Put galleries of one model together into a NEW one; nothing is embedded again.

    The same photo at the same path is taken once. Labels that a person gave go before others, and
    else the first gallery before the next; what could not be kept of both is listed. The galleries
    stay as they are.
    """
    from houndsight import joining
    from houndsight.gallery import check_empty

    with ExitStack() as stack:
        sources = [stack.enter_context(opened(one, dry_run)) for one in galleries]
        check_empty(new)
        done = joining.planned_merge(sources) if dry_run else joining.merge(sources, new)
    if as_json:
        write_json(
            {
                "items": done.items,
                "from_each": dict(zip(galleries, done.from_each, strict=True)),
                "twice": done.twice,
                "conflicts": [
                    {"path": os.fsdecode(one.path), "what": one.what} for one in done.conflicts
                ],
                "dry_run": dry_run,
            }
        )
    else:
        _tell(galleries, new, done, dry_run)
    return DONE


def _tell(galleries: tuple[str, ...], new: str, done: "Merge", dry_run: bool) -> None:
    for one in done.conflicts[:LISTED]:
        err(f"conflict: {printable(one.path)}: {one.what}")
    if len(done.conflicts) > LISTED:
        err(f"conflict: {len(done.conflicts) - LISTED:,} more, see --json")
    each = ", ".join(
        f"{n:,} from {printable(name)}" for name, n in zip(galleries, done.from_each, strict=True)
    )
    out().print(
        f"{NOTHING if dry_run else ''}{counted(done.items, 'photo')} in {printable(new)}: {each}; "
        f"{done.twice:,} were in several"
    )


@gallery.command(epilog="Example: houndsight gallery split -g dogs --fraction 0.2 --out test-dogs")
@gallery_option
@click.option("--label", "labels", multiple=True, metavar="L", help="This label; repeatable.")
@click.option(
    "--label-list",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="The labels in a text file, one a line.",
)
@click.option(
    "--fraction",
    type=Share(0, 1, min_open=True, max_open=True),
    metavar="0..1",
    help="This share of the photos of each label, at random.",
)
@click.option("--seed", default=0, show_default=True, type=Whole(0), help="Of --fraction.")
@click.option("--out", "new", required=True, metavar="NEW", help="The new gallery.")
@click.option("--rest", metavar="REST", help="Another new gallery, of all others.")
@dry_run_option
@json_option
def split(
    gallery: str,
    labels: tuple[str, ...],
    label_list: str | None,
    fraction: float | None,
    seed: int,
    new: str,
    rest: str | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Copy a part of a gallery into a NEW one, by labels or at random; it stays as it is.

    Nothing is embedded again. Photos of equal bytes stay together.
    """
    from houndsight import parting
    from houndsight.gallery import check_empty

    if (fraction is None) == (not labels and label_list is None):
        raise click.UsageError("Give either --label or --label-list, or --fraction.")
    if rest is not None and os.path.abspath(rest) == os.path.abspath(new):
        raise click.UsageError("--out and --rest need a name each.")
    with opened(gallery, dry_run) as library:
        if fraction is not None:
            part = parting.part_by_fraction(library, fraction, seed=seed)
        else:
            part = parting.part_by_labels(library, {*labels, *_listed(label_list)})
        chosen = {item.id for item in part}
        parts = {new: part}
        if rest is not None:
            parts[rest] = [item for item in library.items() if item.id not in chosen]
        for name, items in parts.items():
            check_empty(name)
            if not items:
                raise InputError(
                    "no photo would be in the new gallery",
                    path=name,
                    remedy="Choose other labels or another fraction, or leave --rest out",
                )
        if not dry_run:
            for name, items in parts.items():
                parting.split(library, name, items)
    if as_json:
        sizes = {name: len(items) for name, items in parts.items()}
        write_json({"galleries": sizes, "dry_run": dry_run})
        return DONE
    for name, items in parts.items():
        count = len({item.label for item in items} - {None})
        out().print(
            f"{NOTHING if dry_run else ''}{counted(len(items), 'photo')}, "
            f"{counted(count, 'label')} in {printable(name)}"
        )
    return DONE


@click.command(epilog="Example: houndsight copy my-gallery milvus://localhost:19530/dogs")
@click.argument("source", shell_complete=complete_folders)
@click.argument("destination", shell_complete=complete_folders)
@json_option
def copy(source: str, destination: str, as_json: bool) -> int:
    """Copy a gallery as it is to a new place, such as into Milvus or back; nothing is embedded.

    SOURCE and DESTINATION are folders, milvus://host:port/name, milvus+tls://host:port/name or
    milvus-lite:PATH. Stopped at any moment, the same command goes on where it was. In the end the
    copy is held against the gallery, vector by vector.
    """
    from houndsight.copying import copy_gallery
    from houndsight.gallery import Gallery

    with Gallery(source) as library, step_bar() as progress:
        done = copy_gallery(
            library, destination, lambda done, total: progress("copying", done, total)
        )
    if as_json:
        write_json(asdict(done))
        return DONE
    gone = done.items - done.photos
    out().print(
        f"{counted(done.photos, 'photo')}{f' and {gone:,} removed ones' * (gone > 0)} in "
        f"{printable(destination)}, {counted(done.written, 'item')} written now"
    )
    out().print(f"the same {counted(done.vectors, 'vector')} in both")
    out().print(f"SHA-256 of all ids and vectors: {done.digest}")
    return DONE


def _listed(path: str | None) -> list[str]:
    if path is None:
        return []
    try:
        text = Path(path).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("cannot be read as text", path=path, remedy="Save it as UTF-8") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


COMMANDS = [gallery, copy]
