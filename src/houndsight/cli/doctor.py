"""The command that says what runs here, and how fast."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from houndsight.cli.console import (
    BUILT_IN,
    DEFAULT,
    DONE,
    json_option,
    load_embedder,
    out,
    reopen_embedder,
    write_json,
)

if TYPE_CHECKING:
    from houndsight.embedder import Embedder

__all__ = ["COMMANDS"]


@click.command(epilog="Example: houndsight doctor -g my-gallery")
@click.option(
    "-g",
    "--gallery",
    envvar="HOUNDSIGHT_GALLERY",
    show_envvar=True,
    metavar="GALLERY",
    help="Run this gallery's network; else the default model's, or the built-in one.",
)
@json_option
def doctor(gallery: str | None, as_json: bool) -> int:
    """Say which device runs the network and how fast, and why a GPU is not used."""
    from houndsight.diagnosis import diagnose

    found = diagnose(_embedder(gallery))
    if as_json:
        write_json(asdict(found))
        return DONE
    for line in (
        f"network: {found.model}, {found.precision}, on {found.device}: {found.speed:.1f} images/s",
        f"GPU: {found.gpu}",
        f"CPUs: {found.cpus} of {found.all_cpus} may be used; "
        + ("with" if found.quick_integers else "without")
        + " instructions for integers (--precision int8)",
        f"cache: {found.cache}" + ("" if found.cache_writable else ", which cannot be written"),
        "versions: " + ", ".join(f"{name} {number}" for name, number in found.versions.items()),
    ):
        out().print(line)
    return DONE


def _embedder(gallery: str | None) -> "Embedder":
    """Load a gallery's embedder, or one that needs no download."""
    from houndsight.gallery import Gallery
    from houndsight.models.spec import spec
    from houndsight.models.weights import locate

    if gallery is not None:
        with Gallery(gallery) as library:
            return reopen_embedder(library)
    model = DEFAULT if locate(spec(DEFAULT)) else BUILT_IN
    return load_embedder(model=model, weights=None, image_size=None, resize=None, raw=False)


COMMANDS = [doctor]
