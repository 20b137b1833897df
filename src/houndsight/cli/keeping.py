"""Commands that look after a gallery: info, verify, add, labels, removals, undo."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from houndsight.cli.console import (
    DAMAGED,
    DONE,
    complete_files,
    complete_folders,
    err,
    gallery_option,
    json_option,
    nothing_read,
    out,
    reopen_embedder,
    show_skipped,
    write_json,
)
from houndsight.cli.numbers import Whole
from houndsight.cli.rehearsing import differences, dry_run_option, opened, tell
from houndsight.errors import DamagedGallery, ImageError, InputError, counted, printable

if TYPE_CHECKING:
    from houndsight.gallery import Change

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
    scaled = f"vectors {'' if made_of['normalised'] else 'not '}normalised"
    if "foreign" in made_of:
        rule = f"not known here; {scaled}"
    else:
        shape = made_of["preprocessing"]
        rule = f"{shape['resize']} to {shape['size']} px; {scaled}"
    for name, value in (
        ("gallery", printable(record["place"])),
        ("photos", f"{record['items']:,}, of them {record['unlabelled']:,} without a label"),
        ("labels", f"{record['labels']:,}"),
        ("skipped", counted(record["skipped"], "file")),
        ("model", f"{record['model']}, layer {made_of['layer']}, {record['dim']:,} numbers"),
        ("photos are", rule),
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
    from houndsight.stores.address import located

    try:
        with Gallery(gallery) as library:
            damage = library.verify()
            count = 0 if damage else len(library)
    except DamagedGallery as error:
        damage, count = [str(error)], 0
    for line in damage:
        out().print(line)
    if damage:
        # Of a gallery in Milvus each line says what helps.
        mends = (
            "; houndsight repair mends what it can" if isinstance(located(gallery), Path) else ""
        )
        err(f"houndsight: {len(damage)} damaged{mends}")
        return DAMAGED
    out().print(f"{counted(count, 'photo')}, all well")
    return DONE


@click.command(epilog="Example: houndsight add -g my-gallery dog.jpg --label Beagle")
@click.argument(
    "photos", nargs=-1, required=True, metavar="PHOTO...", shell_complete=complete_files
)
@gallery_option
@click.option("--label", metavar="LABEL", help="Their label; none unless given.")
@dry_run_option
@json_option
def add(
    photos: tuple[str, ...], gallery: str, label: str | None, dry_run: bool, as_json: bool
) -> int:
    """Copy single photos into the gallery, where indexing never removes them.

    A photo that is in it already is refused.
    """
    from houndsight.adding import add_photo
    from houndsight.labels import clean
    from houndsight.remote import absolute
    from houndsight.render.records import skipped_records
    from houndsight.types import Skipped

    if label is not None and clean(label) is None:
        raise click.UsageError("The label is empty; leave --label out for photos without one.")
    added: list[dict[str, Any]] = []
    skipped: list[Skipped] = []
    with opened(gallery, dry_run) as library:
        library.check_by_hand()
        embedder = reopen_embedder(library)
        for photo in map(absolute, photos):
            try:
                made = add_photo(library, embedder, photo, label=label)
            except (ImageError, InputError) as error:
                skipped.append(Skipped(photo, error.reason))
                continue
            record = {"photo": os.fsdecode(photo), "id": made.item.key, "label": made.item.label}
            kept = os.fsdecode(library.path_of(made.item))
            added.append({**record, "path": kept, "change": made.change.number})
            if not (as_json or dry_run):
                line = f"{printable(photo)}: {made.item.key}, added"
                tell(library, line, _then(made.change))
        library.tidy()
        if as_json:
            made_of = {"added": added, "skipped": skipped_records(skipped)}
            write_json(made_of | differences(library))
        elif dry_run:
            tell(library, f"{len(added):,} added")
    if not added:
        raise nothing_read(skipped)
    return show_skipped(skipped)


def _then(change: "Change") -> str:
    """Return how to take back what was done, where anything was."""
    undo = f", change {change.number}; houndsight undo {change.number} takes it back"
    return "" if change.number is None else undo


@click.command(epilog="Example: houndsight remove -g my-gallery photos/blurred.jpg")
@click.argument("items", nargs=-1, required=True, metavar="ITEM...", shell_complete=complete_files)
@gallery_option
@dry_run_option
def remove(items: tuple[str, ...], gallery: str, dry_run: bool) -> int:
    """Take photos out of the gallery, by id or path; the files stay where they are.

    Indexing again leaves them out; houndsight undo brings them back.
    """
    with opened(gallery, dry_run) as library:
        change = library.remove([library.find(item).id for item in items])
        tell(library, f"{change.count:,} removed", _then(change))
    return DONE


@click.command(epilog="Example: houndsight label -g my-gallery photos/a.jpg photos/b.jpg Beagle")
@click.argument(
    "items", nargs=-1, required=True, metavar="ITEM... LABEL", shell_complete=complete_files
)
@click.option("--none", "no_label", is_flag=True, help="Take labels away; then no LABEL is given.")
@gallery_option
@dry_run_option
def label(items: tuple[str, ...], no_label: bool, gallery: str, dry_run: bool) -> int:
    """Give photos, named by id or path, a label; indexing again does not change it."""
    from houndsight.labels import clean

    if not no_label and len(items) < 2:
        raise click.UsageError("Give one or more items, then the label.")
    names, text = (items, None) if no_label else (items[:-1], clean(items[-1]))
    if text is None and not no_label:
        raise click.UsageError("The label is empty; --none takes labels away.")
    with opened(gallery, dry_run) as library:
        if text is not None and os.path.isfile(text):
            raise click.UsageError(f"{printable(text)} is a file; give the label last.")
        wanted = {library.find(name).id: text for name in names}
        change = library.set_labels(wanted, source="user")
        tell(library, f"{change.count:,} labelled", _then(change))
    return DONE


@click.command(epilog="Example: houndsight undo -g my-gallery")
@click.argument("change", required=False, type=Whole(1), metavar="[CHANGE]")
@gallery_option
@dry_run_option
def undo(change: int | None, gallery: str, dry_run: bool) -> int:
    """Take back a change of labels, a removal, a photo added by hand or a relocation.

    CHANGE is its number; the last that was not taken back yet unless given.
    """
    with opened(gallery, dry_run) as library:
        body = library.undo(change)
        if body is None:
            out().print("there is nothing to undo")
        else:
            size = f"of {counted(len(body['changes']), 'photo')} " if "changes" in body else ""
            tell(
                library,
                f"taken back: change {body['number']}, {body['action']} {size}by {body['by']}, "
                f"{body['time']}",
            )
    return DONE


@click.command(epilog="Example: houndsight compact -g my-gallery")
@gallery_option
@dry_run_option
def compact(gallery: str, dry_run: bool) -> int:
    """Give back the room of what was removed or superseded; earlier removals become final."""
    with opened(gallery, dry_run) as library:
        gained = library.compact()
        tell(library, f"{gained / 1e6:.1f} MB gained")
    return DONE


@click.command(epilog="Example: houndsight relocate -g my-gallery /old/photos /new/photos")
@click.argument("old", shell_complete=complete_folders)
@click.argument("new", shell_complete=complete_folders)
@gallery_option
@dry_run_option
def relocate(old: str, new: str, gallery: str, dry_run: bool) -> int:
    """Say that an indexed folder has moved from OLD to NEW; nothing is embedded again."""
    from houndsight.gallery import find_photos
    from houndsight.remote import absolute

    with opened(gallery, dry_run) as library:
        place = absolute(new)
        library.relocate(absolute(old), place)
        found = {photo.path for photo in find_photos(place).photos}
        root = library.known_root(place)
        paths = [item.path for item in library.items() if item.root == root]
        there = sum(path in found for path in paths)
        back = "; houndsight undo takes it back" if there < len(paths) else ""
        tell(library, f"{there:,} of {len(paths):,} photos are where the gallery says", back)
    return DONE


COMMANDS = [info, verify, add, remove, label, undo, compact, relocate]
