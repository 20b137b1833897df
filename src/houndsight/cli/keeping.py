"""Commands that look after a gallery: info, verify, labels, removals, export."""

import os
from pathlib import Path
from typing import Any

import click

from houndsight.cli.console import (
    DAMAGED,
    DONE,
    absolute,
    err,
    gallery_option,
    json_option,
    out,
    write_json,
)
from houndsight.errors import DamagedGallery, printable

__all__ = ["COMMANDS"]


@click.command(epilog="Example: houndsight info -g my-gallery --skipped")
@gallery_option
@click.option("--skipped", is_flag=True, help="List the files that could not be taken in.")
@json_option
def info(gallery: str, skipped: bool, as_json: bool) -> int:
    """Say what a gallery holds, and what made it."""
    from houndsight.gallery import Gallery
    from houndsight.render import records

    with Gallery(gallery) as library:
        record = records.info_record(library)
        files = records.skipped_records(library.skipped()) if skipped else []
    if as_json:
        write_json({**record, "skipped_files": files} if skipped else record)
        return DONE
    console = out()
    made_of = record["made_of"]
    shape = made_of["preprocessing"]
    rule = f"{shape['resize']} to {shape['size']} px"
    for name, value in (
        ("gallery", printable(record["place"])),
        ("photos", f"{record['items']:,}, of them {record['unlabelled']:,} without a label"),
        ("labels", f"{record['labels']:,}"),
        ("skipped", f"{record['skipped']:,} files"),
        ("model", f"{record['model']}, layer {made_of['layer']}, {record['dim']:,} numbers"),
        ("photos are", f"{rule}; vectors {'' if made_of['normalised'] else 'not '}normalised"),
        ("fingerprint", record["fingerprint"]),
        *(("metric", _metric_line(one, record["metric"])) for one in record["metrics"]),
        *(("folder", f"{printable(r['place'])} (labels: {r['labels']})") for r in record["roots"]),
        *(("made with", f"{name} {version}") for name, version in record["versions"].items()),
        *(("skipped", f"{printable(one['path'])}: {one['reason']}") for one in files),
    ):
        console.print(f"{name:12} {value}")
    return DONE


def _metric_line(metric: dict[str, Any], used: str) -> str:
    words = [metric["name"] + (" (in use)" if metric["name"] == used else "")]
    now = metric["labelled_now"]
    if metric["fitted_on"] is not None:
        then = metric["fitted_on"]
        words.append(f"learned from {then['items']:,} photos of {then['labels']:,} labels")
    if metric["stale"]:
        words.append(
            f"stale: labels have changed, {now['items']:,} photos of {now['labels']:,} labels "
            "by now; run houndsight learn"
        )
    if metric["calibrated"]:
        words.append("calibrated")
    if metric["calibration_stale"] and not metric["stale"]:
        words.append("labels have changed since; run houndsight calibrate")
    return "; ".join(words)


@click.command(epilog="Example: houndsight verify -g my-gallery")
@gallery_option
def verify(gallery: str) -> int:
    """Check every checksum and every vector; the exit code says whether all is well."""
    from houndsight.gallery import Gallery

    try:
        with Gallery(gallery) as library:
            damage = library.verify()
            count = 0 if damage else len(library)
    except DamagedGallery as error:
        damage, count = [str(error)], 0
    for line in damage:
        out().print(line)
    if damage:
        err(f"houndsight: {len(damage)} damaged; index the photos into a new gallery")
        return DAMAGED
    out().print(f"{count:,} photos, all well")
    return DONE


@click.command(epilog="Example: houndsight remove -g my-gallery photos/blurred.jpg")
@click.argument("items", nargs=-1, required=True, metavar="ITEM...")
@gallery_option
def remove(items: tuple[str, ...], gallery: str) -> int:
    """Take photos out of the gallery, by id or path; the files stay where they are.

    Indexing again leaves them out; houndsight undo brings them back.
    """
    from houndsight.gallery import Gallery

    with Gallery(gallery) as library:
        count = library.remove([library.find(item).id for item in items])
    out().print(f"{count:,} removed; houndsight undo takes it back")
    return DONE


@click.command(epilog="Example: houndsight label -g my-gallery photos/a.jpg photos/b.jpg Beagle")
@click.argument("items", nargs=-1, required=True, metavar="ITEM... LABEL")
@click.option("--none", "no_label", is_flag=True, help="Take labels away; then no LABEL is given.")
@gallery_option
def label(items: tuple[str, ...], no_label: bool, gallery: str) -> int:
    """Give photos, named by id or path, a label; indexing again does not change it."""
    from houndsight.gallery import Gallery
    from houndsight.labels import clean

    if not no_label and len(items) < 2:
        raise click.UsageError("Give one or more items, then the label.")
    names, text = (items, None) if no_label else (items[:-1], clean(items[-1]))
    if text is None and not no_label:
        raise click.UsageError("The label is empty; --none takes labels away.")
    with Gallery(gallery) as library:
        if text is not None and os.path.isfile(text):
            raise click.UsageError(f"{printable(text)} is a file; give the label last.")
        wanted = {library.find(name).id: text for name in names}
        count = library.set_labels(wanted, source="user")
    out().print(f"{count:,} labelled; houndsight undo takes it back")
    return DONE


@click.command(epilog="Example: houndsight undo -g my-gallery")
@gallery_option
def undo(gallery: str) -> int:
    """Take back the last change of labels, removal or relocation that was not taken back yet."""
    from houndsight.gallery import Gallery

    with Gallery(gallery) as library:
        body = library.undo()
    if body is None:
        out().print("there is nothing to undo")
    else:
        size = f"of {len(body['changes']):,} photos " if "changes" in body else ""
        out().print(f"taken back: {body['action']} {size}by {body['by']}, {body['time']}")
    return DONE


@click.command(epilog="Example: houndsight compact -g my-gallery")
@gallery_option
def compact(gallery: str) -> int:
    """Give back the room of removed and superseded vectors; earlier removals become final."""
    from houndsight.gallery import Gallery

    with Gallery(gallery) as library:
        gained = library.compact()
    out().print(f"{gained / 1e6:.1f} MB gained")
    return DONE


@click.command(epilog="Example: houndsight relocate -g my-gallery /old/photos /new/photos")
@click.argument("old")
@click.argument("new")
@gallery_option
def relocate(old: str, new: str, gallery: str) -> int:
    """Say that an indexed folder has moved from OLD to NEW; nothing is embedded again."""
    from houndsight.gallery import Gallery

    with Gallery(gallery) as library:
        library.relocate(absolute(old), absolute(new))
        there = sum(os.path.exists(library.path_of(item)) for item in library.items())
        out().print(f"{there:,} of {len(library):,} photos are where the gallery says")
    return DONE


@click.command(epilog="Example: houndsight export -g my-gallery vectors.npz")
@click.argument("output", type=click.Path(dir_okay=False), metavar="OUT.npz|OUT.csv")
@gallery_option
def export(output: str, gallery: str) -> int:
    """Write vectors, paths and labels as .npz, or the catalogue as .csv."""
    from houndsight.gallery import Gallery
    from houndsight.render import files

    with Gallery(gallery) as library:
        count = files.export(library, Path(output))
    out().print(f"{count:,} photos in {printable(output)}")
    return DONE


COMMANDS = [info, verify, remove, label, undo, compact, relocate, export]
