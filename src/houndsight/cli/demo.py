"""The demo: the whole job on drawings, each step by the command that a person would type."""

import contextlib
import os
import shlex
from pathlib import Path

import click

from houndsight.cli.console import DONE
from houndsight.demo.drawings import draw_set
from houndsight.errors import InputError, unwritable
from houndsight.evaluation import evaluate
from houndsight.gallery import Gallery
from houndsight.queries import read_queries
from houndsight.render.report import report_page

__all__ = ["run"]

MODEL = "efficientnet-lite0"
K = 10


def run(folder: Path) -> int:
    """Draw, index, search, classify, evaluate, and write pictures and a page into a folder.

    Raises
    ------
    InputError
        If the folder holds other things than an earlier demo.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError("is a file", path=folder, remedy="Name a folder for the demo")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "photos").is_dir():
        raise InputError(
            "is a folder with other things in it",
            path=folder,
            remedy="Name a new folder: houndsight demo FOLDER",
        )
    click.echo(f"Drawing cartoon dogs into {folder} ...")
    try:
        photos, queries = draw_set(folder)
    except OSError as error:
        raise unwritable(folder, error) from error
    gallery, grids = folder / "gallery", folder / "grids"
    query = next(path for path in sorted(queries.rglob("*.jpg")))
    _type("index", photos, "-g", gallery, "--model", MODEL)
    _type("info", "-g", gallery)
    _type("search", query, "-g", gallery, "-k", K, "--grid", folder / "grid.png")
    answers = folder / "answers.json"
    _type("search", queries, "-g", gallery, "-k", K, "--grid", grids, "--json", into=answers)
    _type("classify", query, "-g", gallery, "-k", K)
    _type("evaluate", "-g", gallery, "--queries", queries, "-k", K)
    page = folder / "page.html"
    page.write_text(_page(gallery, queries), encoding="utf-8")
    click.echo("\nLook at what was made:")
    for path in (folder / "grid.png", grids, answers, page):
        click.echo(f"  {path}")
    click.echo(
        f"In the browser: houndsight serve -g {gallery} --open  (pip install 'houndsight[web]')"
    )
    click.echo("Now your own photos: houndsight index PHOTOS -g GALLERY")
    return DONE


def _type(*words: object, into: Path | None = None) -> None:
    """Show a command as a person would type it, and run it."""
    from houndsight.cli import app

    arguments = [os.fspath(word) if isinstance(word, Path) else str(word) for word in words]
    redirection = "" if into is None else f" > {shlex.quote(os.fspath(into))}"
    click.secho(f"\n$ houndsight {shlex.join(arguments)}{redirection}", bold=True)
    if into is None:
        app.main(arguments, standalone_mode=False)
    else:
        with into.open("w", encoding="utf-8") as file, contextlib.redirect_stdout(file):
            app.main(arguments, standalone_mode=False)


def _page(gallery: Path, queries: Path) -> str:
    with Gallery(gallery) as library:
        read = read_queries(library, library.embedder(), [queries], labels="folder")
        return report_page(
            library,
            evaluate(library, read, k=K),
            title="houndsight: cartoon dogs that look alike",
            lead="Drawings of invented breeds, on backgrounds and in poses that mislead; how often "
            "the nearest neighbours of a query have its breed, and what they look like.",
        )
