"""Commands that learn from labels: learn, calibrate."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from houndsight.cli.console import (
    DONE,
    gallery_option,
    json_option,
    metric_option,
    out,
    step_bar,
    write_json,
)
from houndsight.cli.numbers import Whole
from houndsight.cli.output import output_file
from houndsight.cli.rehearsing import differences, dry_run_option, opened, tell
from houndsight.errors import counted

if TYPE_CHECKING:
    from houndsight.gallery import Gallery
    from houndsight.learning import LearnReport

__all__ = ["COMMANDS"]


class _Favour(click.ParamType[float]):
    """``label``, ``photo``, or a number from 0 to 1."""

    name = "label|photo|0..1"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        from houndsight.learning import FAVOURS

        if str(value) in FAVOURS:
            return FAVOURS[str(value)]
        with contextlib.suppress(ValueError):
            number = float(str(value))
            if 0 <= number <= 1:
                return number
        return self.fail("give label, photo, or a number from 0 to 1", param, ctx)


@click.command(epilog="Example: houndsight learn -g my-gallery --picture trade.png")
@gallery_option
@click.option(
    "--method",
    type=click.Choice(["auto", "lda", "posteriors", "blend"]),
    default="auto",
    show_default=True,
    help="lda: axes along which labels lie apart; posteriors: how likely each label is; blend: of "
    "both; auto: the best of these.",
)
@click.option(
    "--favour",
    type=_Favour(),
    default="0.5",
    show_default=True,
    help="label (1): as many neighbours of the label as can be; photo (0.25): rather one photo of "
    "the label near, and what else is alike.",
)
@click.option("--name", default="learned", show_default=True, help="The metric's name.")
@click.option("--seed", default=0, show_default=True, type=Whole(0), help="Of the folds.")
@click.option(
    "--picture",
    type=click.Path(dir_okay=False),
    callback=output_file(".png"),
    metavar="OUT.png",
    help="Draw the trade between the two figures, all settings tried.",
)
@click.option("--undo", is_flag=True, help="Go back to the metric used before.")
@dry_run_option
@json_option
def learn(
    gallery: str,
    method: str,
    favour: float,
    name: str,
    seed: int,
    picture: str | None,
    undo: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Learn from the gallery's labels what counts when photos are compared.

    Works on the stored vectors: no photo is read again. Method and strength are chosen by
    cross-validation, and the choice becomes the gallery's metric, for photos that come later too.
    """
    from houndsight import learning
    from houndsight.render import learned, trade

    with opened(gallery, dry_run) as library:
        if undo:
            before = library.metric
            left = library.undo_metric()
            if as_json:
                write_json({"metric": library.metric, **differences(library)})
            elif left is None:
                out().print("nothing was chosen that could be taken back")
            else:
                tell(library, f"the metric is {left} again; {before} stays, see --metric")
            return DONE
        with step_bar() as progress:
            report = learning.learn(
                library, method=method, favour=favour, name=name, seed=seed, progress=progress
            )
        if as_json:
            write_json({**learned.learn_record(report), **differences(library)})
        else:
            _tell(library, report)
    if picture is not None:  # last: the gallery has changed, whether it can be written or not
        trade.save(report, Path(picture))
    return DONE


def _tell(library: "Gallery", report: "LearnReport") -> None:
    from houndsight.render import learned

    console = out()
    console.print(learned.learn_table(report))
    console.print()
    console.print(learned.trade_table(report))
    console.print()
    for warning in report.warnings:
        console.print(f"note: {warning}")
    if report.metric is not None:
        line = f"the gallery's metric is {report.metric} now"
        tell(library, line, "; houndsight learn --undo goes back")


@click.command(epilog="Example: houndsight calibrate -g my-gallery")
@gallery_option
@metric_option
@click.option("--seed", default=0, show_default=True, type=Whole(0), help="Of the folds.")
@dry_run_option
@json_option
def calibrate(gallery: str, metric: str | None, seed: int, dry_run: bool, as_json: bool) -> int:
    """Find out what distances mean: how probable it is that a neighbour has the query's label.

    Learning does this for the metric that it learns. Without a learned metric, or when labels have
    changed since, this does it for the metric in use.
    """
    from houndsight import learning

    with opened(gallery, dry_run) as library:
        name = library.named(metric)
        made = learning.calibrate(library, metric=name, seed=seed)
        if as_json:
            write_json({"metric": name, **made, **differences(library)})
        else:
            tell(
                library,
                f"{name}: calibrated on {counted(made['queries'], 'photo')}, each left out in turn",
                "; houndsight search and classify give probabilities now",
            )
    return DONE


COMMANDS = [learn, calibrate]
