"""Commands for ways out of a gallery: export."""

import click

from houndsight.cli.console import DONE, gallery_option, out
from houndsight.errors import printable

__all__ = ["COMMANDS"]

# As houndsight.exchange has them; that need not be loaded to show this.
FORMATS = ("npz", "csv", "parquet", "faiss", "fiftyone", "milvus")


@click.command(
    epilog="Example: houndsight export -g my-gallery vectors.parquet. Into a folder: "
    "houndsight export -g my-gallery for-fiftyone --format fiftyone"
)
@click.argument("output", type=click.Path(), metavar="OUT")
@gallery_option
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="By the ending of OUT unless given; fiftyone and milvus are folders.",
)
@click.option(
    "--metric",
    metavar="paper|plain|NAME",
    help="Vectors as this metric compares them; as they are stored unless given.",
)
def export(output: str, gallery: str, form: str | None, metric: str | None) -> int:
    """Write vectors, paths and labels for other programs.

    OUT.npz for NumPy, OUT.parquet, OUT.faiss (an index of FAISS, whose distances are squares), the
    catalogue alone as OUT.csv, or a folder for FiftyOne or Milvus.
    """
    from houndsight import exchange
    from houndsight.gallery import Gallery

    with Gallery(gallery) as library:
        count = exchange.export(library, output, form=form, metric=metric)
    out().print(f"{count:,} photos in {printable(output)}")
    return DONE


COMMANDS = [export]
