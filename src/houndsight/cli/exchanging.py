"""Commands for ways out of a gallery, and back in: export, import."""

import click

from houndsight.cli.console import DONE, err, gallery_option, out, step_bar
from houndsight.cli.output import output_file
from houndsight.cli.rehearsing import NOTHING, dry_run_option
from houndsight.errors import counted, printable

__all__ = ["COMMANDS"]

# As houndsight.exchange has them; that need not be loaded to show this.
FORMATS = ("npz", "csv", "parquet", "faiss", "fiftyone", "milvus")


@click.command(
    epilog="Example: houndsight export -g my-gallery vectors.parquet. Into a folder: "
    "houndsight export -g my-gallery for-fiftyone --format fiftyone"
)
@click.argument("output", type=click.Path(), callback=output_file(), metavar="OUT")
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
    out().print(f"{counted(count, 'photo')} in {printable(output)}")
    return DONE


@click.command(
    "import",
    epilog="Example: houndsight import vectors.parquet -g new-gallery --name CLIP. The file was "
    "written by houndsight export or embed, or by any other program.",
)
@click.argument("vectors", type=click.Path(), metavar="VECTORS")
@gallery_option
@click.option(
    "--name", metavar="NAME", help="What made the vectors, where the file does not say; its name."
)
@click.option(
    "--column",
    metavar="NAME",
    help="The array or column of the vectors; vectors or vector unless given.",
)
@click.option(
    "--photos",
    type=click.Path(exists=True, file_okay=False),
    metavar="FOLDER",
    help="Where relative paths begin; the folder of VECTORS unless given.",
)
@dry_run_option
def import_(
    vectors: str,
    gallery: str,
    name: str | None,
    column: str | None,
    photos: str | None,
    dry_run: bool,
) -> int:
    """Make a new gallery of VECTORS, an .npz or .parquet file.

    An .npz holds the array vectors (n, dim) and, where there are such, paths, labels, ids and
    digests; Parquet the columns vector, path, label, id and digest. Vectors that houndsight made
    give a gallery like any other; others can be searched by the photos among them.
    """
    from houndsight import exchange

    act = exchange.planned_import if dry_run else exchange.import_vectors
    with step_bar() as progress:
        made = act(
            vectors,
            gallery,
            name=name,
            column=column,
            photos=photos,
            progress=lambda done, of: progress("importing", done, of),
        )
    line = f"{counted(made.items, 'vector')} of {printable(made.model)} in {printable(gallery)}; "
    line += f"{made.photos:,} of the photos are where their paths say"
    out().print(f"{NOTHING if dry_run else ''}{line}")
    if made.foreign:
        err(
            f"no other photo can be compared with them: {made.foreign}. Search by the id or path "
            "of a photo among them"
        )
    return DONE


COMMANDS = [export, import_]
