"""The command that lists and fetches models."""

import os
from typing import Any

import click

from houndsight.cli.console import DONE, download_bar, json_option, out, write_json

__all__ = ["COMMANDS"]


@click.group(invoke_without_command=True, epilog="Example: houndsight models fetch resnet50")
@json_option
@click.pass_context
def models(context: click.Context, as_json: bool) -> int:
    """List the models: where they are, licence, size, how many numbers a vector has."""
    if context.invoked_subcommand is not None:
        return DONE
    from houndsight.models.spec import CATALOGUE
    from houndsight.models.weights import locate

    rows: list[dict[str, Any]] = [
        {
            "name": spec.name,
            "dim": spec.dim,
            "input_size": spec.input_size,
            "layer": spec.layer,
            "bytes": spec.size,
            "licence": spec.licence,
            "path": None if (path := locate(spec)) is None else os.fspath(path),
            "url": spec.url,
            "sha256": spec.sha256,
            "md5": spec.md5,
            "about": spec.about,
            "trained_on": spec.trained_on,
        }
        for spec in CATALOGUE.values()
    ]
    if as_json:
        write_json(rows)
        return DONE
    console = out()
    for row in rows:
        where = row["path"] or f"not on this machine; houndsight models fetch {row['name']}"
        console.print(f"{row['name']}: {row['about']}")
        console.print(f"    {row['dim']} numbers, {row['bytes'] / 1e6:.1f} MB, {row['licence']}")
        if row["sha256"] is None:
            console.print("    checked by size and MD5: no SHA-256 is published, which is stronger")
        console.print(f"    {where}")
    return DONE


@models.command(epilog="Example: houndsight models fetch resnet50")
@click.argument("name", default="resnet50")
def fetch(name: str) -> int:
    """Fetch a model's weights into the cache folder, verified by size and digest."""
    from houndsight.models.spec import spec
    from houndsight.models.weights import fetch as fetch_weights

    with download_bar() as progress:
        path = fetch_weights(spec(name), progress)
    out().print(f"{name}: {path}")
    return DONE


COMMANDS = [models]
