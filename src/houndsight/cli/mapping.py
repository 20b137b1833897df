"""The command that draws a gallery in the plane: map."""

import importlib.util
from pathlib import Path

import click

from houndsight.cli.console import DONE, gallery_option, metric_option, note, out
from houndsight.cli.numbers import Whole
from houndsight.cli.output import output_file
from houndsight.errors import counted, printable

__all__ = ["COMMANDS"]


@click.command(name="map", epilog="Example: houndsight map -g my-gallery -o map.html")
@gallery_option
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(dir_okay=False),
    callback=output_file(".png", ".html", ".htm"),
    metavar="OUT.png|OUT.html",
    help="A picture, or a page to move about in.",
)
@metric_option
@click.option(
    "--limit",
    default=5000,
    show_default=True,
    type=Whole(3, 20000),
    help="The most photos shown; of more, an even share of each label.",
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=Whole(0, 2**32 - 1),  # what scikit-learn takes
    help="Of the layout.",
)
def map_(gallery: str, output: str, metric: str | None, limit: int, seed: int) -> int:
    """Draw the gallery in the plane: photos that are alike come to lie together.

    With scikit-learn (pip install 'houndsight[map]') by t-SNE; without it, by the first two
    principal components, which show far less.
    """
    from houndsight import atlas
    from houndsight.gallery import Gallery
    from houndsight.render.atlas import save

    if importlib.util.find_spec("sklearn") is None:
        note("scikit-learn is not installed, so this is PCA; t-SNE: pip install 'houndsight[map]'")
    with Gallery(gallery) as library:
        drawn = atlas.lay_out(library, metric=metric, limit=limit, seed=seed)
        save(library, drawn, Path(output))
    out().print(f"{counted(len(drawn.items), 'photo')} by {drawn.method} in {printable(output)}")
    return DONE


COMMANDS = [map_]
