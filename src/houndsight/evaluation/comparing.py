"""Two settings on the same queries."""

from __future__ import annotations

from houndsight.errors import InputError
from houndsight.evaluation.report import Comparison, Figures, Report
from houndsight.metrics import paired

__all__ = ["compare"]


def compare(first: Report, second: Report, *, seed: int = 0) -> Comparison:
    """Compare two evaluations of the same queries: two metrics, or two galleries of one folder.

    Parameters
    ----------
    first, second
        What `evaluate` returned, with equal protocol, samples and seed.
    seed
        Of the intervals and the tests.

    Returns
    -------
    Comparison
        Differences, the first's figures less the second's.

    Raises
    ------
    InputError
        If the queries or the protocols are not the same.
    """
    if first.protocol != second.protocol:
        raise InputError(f"{first.protocol} cannot be compared with {second.protocol}")
    asked, other = ([(q.name, q.label) for q in one.queries] for one in (first, second))
    if asked != other:
        raise InputError(
            f"the two were not asked for the same: of {len(asked):,} and {len(other):,} queries "
            f"{len(set(asked) & set(other)):,} are in both",
            remedy="Compare galleries of the same photos and labels",
        )
    return Comparison(
        first,
        second,
        Figures(
            **{
                name: paired(
                    [getattr(query, name) for query in first.queries],
                    [getattr(query, name) for query in second.queries],
                    seed,
                )
                for name in Figures.names()
            }
        ),
    )
