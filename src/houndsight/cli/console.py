"""How commands talk: results on standard output, everything else on standard error."""

import contextlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from houndsight.cli.log import LOG
from houndsight.cli.numbers import Whole
from houndsight.errors import InputError, WeightsUnavailable, counted, printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar

    from houndsight.embedder import Embedder
    from houndsight.gallery import Gallery
    from houndsight.indexing import IndexReport, Progress
    from houndsight.types import Skipped

__all__ = [
    "BUILT_IN",
    "CODES",
    "DAMAGED",
    "DEFAULT",
    "DONE",
    "FAILED",
    "INTERRUPTED",
    "LISTED",
    "SKIPPED",
    "USAGE",
    "complete_files",
    "complete_folders",
    "download_bar",
    "err",
    "gallery_option",
    "index_bar",
    "index_line",
    "json_option",
    "k_option",
    "load_embedder",
    "log_index",
    "metric_option",
    "model_options",
    "note",
    "nothing_read",
    "out",
    "reopen_embedder",
    "show_skipped",
    "step_bar",
    "write_json",
]

DONE, FAILED, USAGE, SKIPPED, DAMAGED, INTERRUPTED = 0, 1, 2, 3, 4, 130
CODES: Final = {
    DONE: "done",
    FAILED: "failed",
    USAGE: "wrong usage",
    SKIPPED: "done, but files were skipped",
    DAMAGED: "verify found damage",
    INTERRUPTED: "interrupted",
}
BUILT_IN = "efficientnet-lite0"
DEFAULT = "resnet50"
LISTED = 50
# At a line's end, also between codes for colours.
BLANKS: Final = re.compile(r"(?: |\x1b\[[\d;]*m)+$", re.MULTILINE)
F = TypeVar("F", bound=Callable[..., Any])


def out(*, fold: bool = True) -> "Console":
    """Return the console for results.

    Where it is no terminal no line is folded or cut; on one neither, unless `fold`: a path at a
    line's end can be copied whole where the terminal wraps it.
    """
    from rich.console import Console

    class Output(Console):
        def print(self, *objects: Any, **options: Any) -> None:
            with self.capture() as written:
                super().print(*objects, **options)
            # Tables are filled up with blanks, which a terminal would wrap to lines of nothing.
            self.file.write(BLANKS.sub(_codes, written.get()))
            self.file.flush()

    wide = None if fold and sys.stdout.isatty() else 10_000
    plain = {"highlight": False, "markup": False, "emoji": False}
    return Output(width=wide, soft_wrap=wide is not None, **plain)  # type: ignore[arg-type]


def _codes(blanks: re.Match[str]) -> str:
    return blanks[0].replace(" ", "")


def err(message: str) -> None:
    """Write an error to standard error, and to the log."""
    LOG.event("error", "error", message=message)
    if LOG.for_people:
        click.echo(message, err=True)


def note(message: str, *, level: str = "info", event: str = "note", **fields: str) -> None:
    """Write what is good to know to standard error, and to the log; there by `fields` if given."""
    LOG.event(level, event, **(fields or {"message": message}))
    if LOG.chatty:
        click.echo(message, err=True)


def write_json(value: Any) -> None:
    """Write a JSON value to standard output, in ASCII so that any file name survives."""
    click.echo(json.dumps(value, indent=2))


def show_skipped(skipped: "Sequence[Skipped]") -> int:
    """List files that were skipped; return the exit code that says whether there were any."""
    for number, skip in enumerate(skipped):
        LOG.event("warning", "skipped", path=os.fsdecode(skip.path), reason=skip.reason)
        if LOG.chatty and number < LISTED:
            click.echo(f"skipped: {printable(skip.path)}: {skip.reason}", err=True)
    if LOG.chatty and len(skipped) > LISTED:
        more = f"skipped: {len(skipped) - LISTED} more, see houndsight info --skipped"
        click.echo(more, err=True)
    return SKIPPED if skipped else DONE


def nothing_read(skipped: "Sequence[Skipped]") -> InputError:
    """Return what to raise where all that was named was skipped; of several, list them."""
    first = skipped[0]
    if len(skipped) == 1:
        LOG.event("warning", "skipped", path=os.fsdecode(first.path), reason=first.reason)
        return InputError(first.reason, path=first.path)
    show_skipped(skipped)
    return InputError(
        f"none of {counted(len(skipped), 'photo')} can be read; the first: {first.reason}",
        path=first.path,
    )


# What the shell completes by the tab key


def complete_files(_: click.Context, __: click.Parameter, begun: str) -> list[Any]:
    """Let the shell complete the name of a file or a folder."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(begun, type="file")]


def complete_folders(_: click.Context, __: click.Parameter, begun: str) -> list[Any]:
    """Let the shell complete the name of a folder."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(begun, type="dir")]


# Options that several commands have

gallery_option = click.option(
    "-g",
    "--gallery",
    required=True,
    envvar="HOUNDSIGHT_GALLERY",
    show_envvar=True,
    metavar="GALLERY",
    shell_complete=complete_folders,
    help="The gallery's folder, or its address in Milvus.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON.")
k_option = click.option(
    "-k", default=20, show_default=True, type=Whole(1), help="How many neighbours."
)
metric_option = click.option(
    "--metric",
    metavar="paper|plain|NAME",
    help="Distances by raw vectors, by vectors of length 1, or as learned; else the gallery's own.",
)


def model_options(command: F) -> F:
    """Add the options that say how photos become vectors."""
    for option in (
        *_of_a_file(),
        click.option("--raw", is_flag=True, help="Do not scale vectors to length 1 (the paper)."),
        click.option(
            "--image-size",
            type=Whole(32, 2048),
            metavar="N",
            help="Side of the square that the network sees, in pixels; 224 unless given.",
        ),
        click.option(
            "--resize",
            type=click.Choice(["squash", "crop"]),
            help="squash: the whole photo to a square (default); crop: the centre.",
        ),
        click.option(
            "--weights",
            type=click.Path(exists=True, dir_okay=False),
            metavar="FILE",
            help="Weights for the model: a .safetensors, .pth or Keras .h5 file.",
        ),
        click.option(
            "--model",
            metavar="NAME|FILE.onnx",
            help=f"See houndsight models; {DEFAULT} unless given. Or a network of your own, with "
            "what it takes in FILE.json or preprocessor_config.json beside it.",
        ),
    ):
        command = option(command)
    return command


def _of_a_file() -> tuple[Callable[[F], F], ...]:
    """Return the options that say what a network from a file takes, the last of the help first."""

    def three(name: str, about: str) -> Callable[[F], F]:
        return click.option(name, callback=_three, metavar="R,G,B", help=about)

    return (
        click.option(
            "--pooling",
            type=click.Choice(["cls", "mean"]),
            help="Of an output of tokens: the first, or the mean of all.",
        ),
        click.option("--layer", metavar="NAME", help="The FILE.onnx's output that is the vector."),
        three("--std", "What FILE.onnx wants pixels of 0..1 divided by."),
        three("--mean", "What FILE.onnx wants taken off pixels of 0..1 before that."),
    )


def _three(_: click.Context, option: click.Parameter, value: str | None) -> list[float] | None:
    """Read three numbers with commas between them."""
    if value is None:
        return None
    try:
        red, green, blue = map(float, value.split(","))
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is not three numbers, such as 0.485,0.456,0.406", param=option
        ) from None
    return [red, green, blue]


def load_embedder(
    *,
    model: str | None,
    weights: str | None,
    image_size: int | None,
    resize: Any,
    raw: bool,
    **description: Any,
) -> "Embedder":
    """Load what the model options name; where the weights cannot be had, ask what to do."""
    from houndsight.embedder import Embedder

    def load(name: str) -> "Embedder":
        with download_bar() as progress:
            return Embedder.load(
                name,
                weights=weights,
                image_size=image_size,
                resize=resize,
                normalise=not raw,
                description={name: one for name, one in description.items() if one is not None},
                progress=progress,
            )

    try:
        return load(model or DEFAULT)
    except WeightsUnavailable as error:
        asks = LOG.chatty and sys.stdin.isatty() and sys.stderr.isatty()
        if weights is not None or not asks:
            raise
        err(f"houndsight: {error}")
        question = f"Go on with the built-in model {BUILT_IN} instead? A gallery keeps its model"
        if not click.confirm(question, default=False, err=True):
            raise
        return load(BUILT_IN)


def reopen_embedder(gallery: "Gallery") -> "Embedder":
    """Load the embedder that a gallery was made with."""
    with download_bar() as progress:
        return gallery.embedder(progress)


@contextlib.contextmanager
def _bar(columns: Callable[[Any], Sequence[Any]], **fields: Any) -> Iterator[Callable[..., None]]:
    """Show a bar on a terminal from the first call of what is yielded on, not before.

    Until then a question may be asked, and where nothing is to be done nothing is shown, nor is
    what draws it loaded. `columns` makes the columns of what `rich.progress` has.
    """
    shown: list[Bar] = []

    def update(done: int, total: int, **values: Any) -> None:
        if not (LOG.chatty and sys.stderr.isatty()):
            return
        if not shown:
            from rich import progress
            from rich.console import Console

            bar = progress.Progress(
                *columns(progress), console=Console(stderr=True), transient=True
            )
            bar.add_task("", total=None, **fields)
            bar.start()
            shown.append(bar)
        shown[0].update(shown[0].task_ids[0], completed=done, total=total, **values)

    try:
        yield update
    finally:
        for bar in shown:
            bar.stop()


@contextlib.contextmanager
def download_bar() -> Iterator[Callable[[int, int], None]]:
    """Show how far the download of weights is."""
    with _bar(
        lambda rich: (
            "fetching weights",
            rich.BarColumn(),
            rich.DownloadColumn(),
            rich.TimeRemainingColumn(),
        )
    ) as update:
        yield update


@contextlib.contextmanager
def index_bar(
    by_node: Callable[[], Mapping[str, int]] = dict,
) -> "Iterator[Callable[[Progress], None]]":
    """Show how far indexing is, images a second, and the time left.

    `by_node` returns how many photos each node of a cluster has embedded.
    """
    with _bar(
        lambda rich: (
            "indexing",
            rich.BarColumn(),
            rich.MofNCompleteColumn(),
            "{task.fields[rate]}",
            rich.TimeRemainingColumn(),
        ),
        rate="",
    ) as update:

        def progress(now: "Progress") -> None:
            LOG.progress(now.done, now.total, now.seconds)
            seconds = max(now.seconds, 1e-9)
            rates = [f"{now.done / seconds:.1f} images/s"]
            rates += [f"{node}: {n / seconds:.1f}" for node, n in sorted(by_node().items())]
            update(now.done, now.total, rate=", ".join(rates))

        yield progress


def log_index(photos: str, gallery: str, report: "IndexReport") -> None:
    """Put on the log what a run of `index` did; skipped files have lines of their own."""
    from houndsight.render.records import index_record

    record = index_record(report)
    del record["skipped_files"]
    LOG.event("info", "indexed", photos=photos, gallery=gallery, **record)


def index_line(report: "IndexReport", *, timed: bool = True) -> str:
    """Return what a run of `index` did; if `timed`, also how many photos a second."""
    speed = f", {report.embedded / report.seconds:.1f} images/s" * (timed and report.embedded > 0)
    return (
        f"{report.new:,} new, {report.changed:,} changed, {report.renamed:,} renamed, "
        f"{report.removed:,} removed, {report.unchanged:,} unchanged, "
        f"{len(report.skipped):,} skipped ({report.seconds:.1f} s{speed})"
    )


@contextlib.contextmanager
def step_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Show what is being done, and how far it is."""
    with _bar(
        lambda rich: ("{task.fields[step]}", rich.BarColumn(), rich.TimeElapsedColumn()), step=""
    ) as update:

        def progress(step: str, done: int, total: int) -> None:
            update(done, total, step=step)

        yield progress
