"""--dry-run: every command that changes a gallery can be tried first."""

import os
from typing import TYPE_CHECKING, Any

import click

from houndsight.cli.console import DEFAULT, LISTED, out
from houndsight.errors import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from houndsight.embedder import Embedder
    from houndsight.gallery import Difference, Gallery
    from houndsight.types import Item

__all__ = ["NOTHING", "differences", "dry_run_option", "opened", "rehearsed", "tell"]

# Said of a new gallery that was not made.
NOTHING = "dry run, nothing was written: "
dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Say what would happen, and change nothing."
)


def opened(gallery: str, dry_run: bool) -> "Gallery":
    """Open a gallery, or one on which nothing that is done lasts."""
    from houndsight.gallery import Gallery, Rehearsal

    return Rehearsal(gallery) if dry_run else Gallery(gallery)


def rehearsed(
    gallery: str, own: "Callable[[], Embedder] | None", model: dict[str, Any]
) -> "Gallery":
    """Open a rehearsal of a gallery, also of one that is not there; no weights are loaded for that.

    What the model options name is loaded where it may be another than the gallery's.
    """
    from houndsight.gallery import Gallery, Rehearsal, blind
    from houndsight.models.spec import spec

    if Gallery.exists(gallery):
        library = Rehearsal(gallery)
        if own is not None:
            library.check(own())
        return library
    made = blind(
        spec(model["model"] or DEFAULT),
        image_size=model["image_size"],
        resize=model["resize"],
        normalise=not model["raw"],
    )
    return Rehearsal(gallery, made)


def tell(library: "Gallery | str", line: str, then: str = "") -> None:
    """Write what was done, and what can be done then; of a rehearsal also with which photos."""
    from houndsight.gallery import Rehearsal

    if not isinstance(library, Rehearsal):
        out().print(line + then)
        return
    places = library.places()
    found = list(library.differences())
    for one in found[:LISTED]:
        out(fold=False).print(_line(_record(places, one)))
    if len(found) > LISTED:
        out().print(f"and {len(found) - LISTED:,} more")
    out().print(f"dry run, nothing was changed: {line}")


def differences(library: "Gallery | str") -> dict[str, Any]:
    """Return what is to be added to a JSON record: nothing but for a rehearsal."""
    from houndsight.gallery import Rehearsal

    if not isinstance(library, Rehearsal):
        return {}
    places = library.places()
    return {"dry_run": True, "differences": [_record(places, d) for d in library.differences()]}


def _line(record: "Mapping[str, Any]") -> str:
    path = printable(record["path"])
    if record["what"] == "renamed":
        return f"renamed: {printable(record['path_before'])} -> {path}"
    if record["what"] == "label":
        return f"label: {path}: {record['label_before'] or 'none'} -> {record['label'] or 'none'}"
    return f"{record['what']}: {path}"


def _record(places: "Mapping[int, bytes]", one: "Difference") -> dict[str, Any]:
    """Return a difference; the label and path before only where they are others."""
    item = one.after or one.before
    assert item is not None  # noqa: S101  one of them is there
    record: dict[str, Any] = {
        "what": one.what,
        "id": item.key,
        "path": _path(places, item),
        "label": item.label,
    }
    if one.before is not None and one.after is not None:
        if one.before.path != one.after.path:
            record["path_before"] = _path(places, one.before)
        if one.before.label != one.after.label:
            record["label_before"] = one.before.label
    return record


def _path(places: "Mapping[int, bytes]", item: "Item") -> str:
    return os.fsdecode(os.path.join(places[item.root], item.path))
