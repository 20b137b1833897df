"""What was measured of an index, as a table for a terminal and as JSON values."""

from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from houndsight.approximation import percent
from houndsight.errors import counted
from houndsight.tuning import Tuning, TuningTrial

__all__ = ["tuning_record", "tuning_table"]


def tuning_table(made: Tuning) -> Table:
    """Return what each setting finds, and how long it takes, exact search first."""
    built = "was there" if made.built_s is None else f"built in {made.built_s:,.1f} s"
    whose = " of this gallery" if made.own else ""
    of = f"{made.index} over {counted(made.items, 'photo')}, {built}"
    title = f"{of}; measured on {counted(made.queries, 'photo')}{whose}"
    table = Table(title=Text(title, style="bold"), title_justify="left", box=None, pad_edge=False)
    for column in ("setting", f"recall@{made.k}", "95 % interval", "median", "p95", ""):
        table.add_column(column, justify="left" if column in ("setting", "") else "right")
    for trial in made.trials:
        table.add_row(*_row(made, trial), "chosen" if trial == made.chosen else "")
    return table


def _row(made: Tuning, trial: TuningTrial) -> tuple[str, ...]:
    times = (f"{trial.median_ms:.1f} ms", f"{trial.p95_ms:.1f} ms")
    if trial.looked_at is None:
        return ("exact", "100 %", "", *times)
    found = trial.recall
    return (
        f"{made.index.searched} {trial.looked_at}",
        percent(found.value),
        f"{100 * found.low:.2f} to {100 * found.high:.2f}",
        *times,
    )


def tuning_record(made: Tuning) -> dict[str, Any]:
    """Return it as JSON values: figures as fractions."""
    record = asdict(made)
    record["index"]["searched"] = made.index.searched
    record["index"]["parameters"] = dict(made.index.parameters)
    return record
