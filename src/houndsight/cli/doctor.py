"""The command that says what runs here, how fast, and what is missing."""

from collections.abc import Iterator
from contextlib import ExitStack
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
from houndsight.errors import printable

if TYPE_CHECKING:
    from houndsight.diagnosis import Diagnosis
    from houndsight.embedder import Embedder
    from houndsight.gallery import Gallery

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
    """Say which device runs the network and how fast, why a GPU is not used, and what is missing.

    Also where things are kept, how much room they take, and how much is free there.
    """
    from houndsight.diagnosis import diagnose
    from houndsight.gallery import Gallery

    with ExitStack() as opened:
        library = None if gallery is None else opened.enter_context(Gallery(gallery))
        found = diagnose(_embedder(library), library)
    if as_json:
        write_json(asdict(found))
        return DONE
    for line in _lines(found):
        out().print(line)
    return DONE


def _lines(found: "Diagnosis") -> Iterator[str]:
    yield (
        f"network: {found.model}, {found.precision}, on {found.device}: {found.speed:.1f} images/s"
    )
    yield f"GPU: {found.gpu}"
    yield (
        f"CPUs: {found.cpus} of {found.all_cpus} may be used, by {found.threads} threads; "
        + ("with" if found.quick_integers else "without")
        + " instructions for integers (--precision int8)"
    )
    yield f"cache: {found.cache}" + ("" if found.cache_writable else ", which cannot be written")
    for folder in found.folders:
        yield (
            f"{folder.name}: {folder.bytes / 1e6:,.1f} MB in {folder.files:,} files, "
            f"{folder.free / 1e9:,.1f} GB free: {printable(folder.path)}"
        )
    here = [name for name, path in found.weights.items() if path is not None]
    away = [name for name in found.weights if name not in here]
    yield f"models whose weights are here: {', '.join(here) or 'none'}"
    if away:
        names = ", ".join(f"{name} (the default)" if name == DEFAULT else name for name in away)
        fetch = f"houndsight models fetch {DEFAULT if DEFAULT in away else 'NAME'}"
        yield f"models whose weights are not: {names}; {fetch}"
    for extra in found.extras:
        lacking = f"not installed ({', '.join(extra.missing)}); {extra.command}"
        yield f"extra {extra.name}, for {extra.use}: {lacking if extra.missing else 'installed'}"
    yield f"system: {found.system}"
    yield "versions: " + ", ".join(f"{name} {number}" for name, number in found.versions.items())


def _embedder(gallery: "Gallery | None") -> "Embedder":
    """Load a gallery's embedder, or one that needs no download."""
    from houndsight.models.spec import spec
    from houndsight.models.weights import locate

    if gallery is not None:
        return reopen_embedder(gallery)
    model = DEFAULT if locate(spec(DEFAULT)) else BUILT_IN
    return load_embedder(model=model, weights=None, image_size=None, resize=None, raw=False)


COMMANDS = [doctor]
