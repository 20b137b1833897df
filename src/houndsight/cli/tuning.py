"""The command that builds an index in Milvus and measures what it finds: tune."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from houndsight.cli.asking import ask, exit_code, loader
from houndsight.cli.console import (
    DONE,
    complete_files,
    gallery_option,
    json_option,
    k_option,
    note,
    out,
    step_bar,
    write_json,
)
from houndsight.cli.numbers import Share
from houndsight.errors import InputError

if TYPE_CHECKING:
    from houndsight.gallery import Gallery
    from houndsight.tuning import Tuning

__all__ = ["COMMANDS"]

FLAT = "flat"
COMMANDLINE = click.core.ParameterSource.COMMANDLINE


def _parameters(
    _: click.Context, option: click.Parameter, given: tuple[str, ...]
) -> dict[str, list[int]]:
    """Read NAME=NUMBER, each as often as it is given."""
    found: dict[str, list[int]] = defaultdict(list)
    for text in given:
        name, sign, value = text.partition("=")
        if not (name and sign and value.isascii() and value.isdigit() and len(value) <= 10):
            raise click.BadParameter(f"{text!r} is no NAME=NUMBER, such as ef=100", param=option)
        found[name].append(int(value))
    return dict(found)


@click.command(
    epilog="Example: houndsight tune -g milvus://localhost:19530/dogs --index hnsw -p ef=100. "
    "Measured with photos of your own: houndsight tune -g milvus://localhost:19530/dogs holiday"
)
@click.argument("photos", nargs=-1, metavar="[IMAGE_OR_FOLDER...]", shell_complete=complete_files)
@gallery_option
@click.option(
    "--index",
    type=click.Choice(["hnsw", "ivf", "diskann", FLAT]),
    help="What to build; unless given, what is there, else hnsw. flat: take it away.",
)
@click.option(
    "-p",
    "parameters",
    multiple=True,
    metavar="NAME=NUMBER",
    callback=_parameters,
    help="hnsw: M, efConstruction; ivf: nlist. To try only these settings: ef (hnsw), nprobe (ivf) "
    "or search_list (diskann); repeatable.",
)
@k_option
@click.option(
    "--recall",
    "wanted",
    type=Share(0, 1),
    default=0.99,
    show_default=True,
    help="Choose the smallest setting that finds so large a share.",
)
@click.option("--rebuild", is_flag=True, help="Build the index anew, also where it is there.")
@json_option
def tune(
    photos: tuple[str, ...],
    gallery: str,
    index: str | None,
    parameters: dict[str, list[int]],
    k: int,
    wanted: float,
    rebuild: bool,
    as_json: bool,
) -> int:
    """Build an index for approximate searches of a gallery in Milvus, and measure what it finds.

    The queries are the photos named, or 200 of the gallery's own. Each setting of the index is held
    against exact search; what is chosen is what houndsight search --approximate uses from then on.
    Without it searches stay exact.
    """
    from houndsight import tuning
    from houndsight.gallery import Gallery

    with Gallery(gallery) as library:
        if index == FLAT:
            given = click.get_current_context().get_parameter_source
            asked_for = [name for name in ("k", "wanted") if given(name) == COMMANDLINE]
            if photos or parameters or rebuild or asked_for:
                raise click.UsageError("--index flat takes the index away: give nothing else.")
            return _drop(library, as_json)
        library.indexed()  # before photos are read
        own = library.stored_metric
        load = loader(library)
        asked = ask(library, load, photos, metric=own, labels="none") if photos else None
        code = DONE if asked is None else exit_code(asked)
        with step_bar() as progress:
            made = tuning.tune(
                library,
                None if asked is None else asked.vectors,
                exclude=None if asked is None else [query.own for query in asked.photos],
                index=index,
                parameters=parameters,
                k=k,
                wanted=wanted,
                rebuild=rebuild,
                progress=progress,
            )
        _tell(library, made, as_json)
        if made.chosen is None:
            raise _none_reaches(library, made, parameters)
        return code


def _drop(library: "Gallery", as_json: bool) -> int:
    from houndsight.tuning import drop_index

    there = drop_index(library)
    if as_json:
        write_json({"dropped": there})
    else:
        out().print("the index is gone; all searches are exact" if there else "there is no index")
    return DONE


def _tell(library: "Gallery", made: "Tuning", as_json: bool) -> None:
    from houndsight.render import tuned

    if as_json:
        write_json(tuned.tuning_record(made))
        return
    console = out()
    console.print(tuned.tuning_table(made))
    console.print()
    chosen = made.chosen
    if chosen is not None:
        console.print(
            f"{made.index.searched} {chosen.looked_at} is what houndsight search --approximate "
            f"uses from now on, for {made.k} neighbour{'s or fewer' * (made.k > 1)}; other "
            "searches stay exact"
        )
        if chosen.median_ms >= made.trials[0].median_ms:
            note("note: that was not quicker than exact search here")
    if library.metric != library.stored_metric:
        note(
            f"note: searches in {library.metric}, the gallery's metric, stay exact; the index is "
            f"for --metric {library.stored_metric}"
        )


def _none_reaches(
    library: "Gallery", made: "Tuning", given: Mapping[str, Sequence[int]]
) -> InputError:
    from houndsight.approximation import measured_recall, percent

    best = max(one.recall.value for one in made.trials[1:])
    try:
        before = measured_recall(library, made.k, metric=library.stored_metric)
        record = f"what is on record stays: {made.index.searched} {before.looked_at}"
    except InputError:
        record = "none was put on record"
    return InputError(
        f"no setting finds {100 * made.wanted:.10g} % of the true neighbours, the best finds "
        f"{percent(best)}; {record}",
        path=library.place,
        remedy=f"Ask for less with --recall, or {_more(made, given)}",
    )


def _more(made: "Tuning", given: Mapping[str, Sequence[int]]) -> str:
    """Return what may find more."""
    searched, tried = made.index.searched, made.trials[-1].looked_at or 0
    if searched in given and tried < made.index.most:
        return f"let it look at more: leave -p {searched} out, or give more than {tried}"
    m = made.index.parameters.get("M", 0)
    if 0 < m < 1024:
        return f"for an index with more: -p M={2 * m}"
    return "take another --index"


COMMANDS = [tune]
