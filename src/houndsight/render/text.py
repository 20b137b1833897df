"""Answers as tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rich.table import Table
from rich.text import Text

from houndsight.errors import printable
from houndsight.gallery import Gallery
from houndsight.queries import Queries, Query
from houndsight.types import Item, Match
from houndsight.voting import Vote

if TYPE_CHECKING:
    from houndsight.explaining import Explanation

__all__ = [
    "answer_text",
    "classify_table",
    "explained_text",
    "explanation_table",
    "label_text",
    "matches_table",
    "query_text",
    "vote_shares",
]

NAMED = 3
SHADES = " ░▒▓█"


def label_text(label: str | None) -> str:
    """Return a label that is safe to show on one line."""
    return "no label" if label is None else printable(label)


def query_text(query: Query) -> str:
    """Return what was searched for, safe to show on one line."""
    view, made_of = query.view, query.combination
    text = printable(query.path)
    if made_of is not None:
        way = "" if made_of.combine is None else f"{made_of.combine} of "
        text = way + _names(made_of.like)
        if made_of.unlike:
            text += f", unlike {_names(made_of.unlike)}"
    if view.crop is not None:
        text += f", only {view.crop}"
    return text + "".join(f", without {part}" for part in view.without)


def _names(queries: Sequence[Query]) -> str:
    some = ", ".join(printable(one.path) for one in queries[:NAMED])
    return some if len(queries) <= NAMED else f"{some} and {len(queries) - NAMED} more"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=Text(title, style="bold"), title_justify="left", box=None, pad_edge=False)
    for column in columns:
        right = column in (
            "rank",
            "distance",
            "same label",
            "share",
            "probability",
            "queries",
            "photos",
            "95 % interval",
        )
        table.add_column(column, justify="right" if right else "left", overflow="fold")
    return table


# Whether a neighbour has the query's label.
MARKS = {True: Text("✓", "green"), False: Text("✗", "red"), None: Text("")}


def matches_table(gallery: Gallery, query: Query, matches: Sequence[Match]) -> Table:
    """Return the neighbours of one query; right and wrong are marked where its label is known.

    Where the metric is calibrated, with the probability that a neighbour has the query's label.
    """
    known = "" if query.label is None else f" ({label_text(query.label)})"
    chances = any(match.probability is not None for match in matches)
    names = ("rank", "", "label", "distance", *(["same label"] if chances else []), "id", "path")
    table = _table(f"{query_text(query)}{known}", *names)
    for match in matches:
        same = " (same bytes)" if query.same_bytes(match.item) else ""
        table.add_row(
            str(match.rank),
            MARKS[query.agrees(match.item)],
            Text(label_text(match.item.label)),
            f"{match.distance:.4f}",
            *([f"{match.probability:.0%}"] if match.probability is not None else []),
            match.item.key,
            Text(printable(gallery.path_of(match.item)) + same),
        )
    return table


def explained_text(explanation: Explanation, *, label_too: bool = True) -> str:
    """Return what an explanation's shares add up to, in words."""
    if explanation.explained == "similarity":
        return "cosine similarity"
    if explanation.explained == "projected similarity":
        return f"cosine similarity ({explanation.space})"
    label = label_text(explanation.label) if label_too else "the label that both share most"
    return f"score of {label} ({explanation.space})"


def explanation_table(
    gallery: Gallery, query: Query, item: Item, explanation: Explanation
) -> Table:
    """Return two photos' regions as shades; the greatest share is black, ``-`` takes away."""
    one = explanation
    scale = max(np.abs(one.query_shares).max(), np.abs(one.item_shares).max()) or 1.0
    table = _table(f"{explained_text(one)}, distance {one.distance:.4f}", "query", "item")
    table.add_row(
        Text(f"{query_text(query)} ({label_text(query.label)})"),
        Text(f"{printable(gallery.path_of(item))} ({label_text(item.label)})"),
    )
    table.add_row(Text(_shaded(one.query_shares / scale)), Text(_shaded(one.item_shares / scale)))
    table.add_row(f"adds up to {one.query_total:.4f}", f"adds up to {one.item_total:.4f}")
    return table


def _shaded(shares: NDArray[np.float64]) -> str:
    """Return shares (h, w), -1 to 1, as h lines; a region is two letters wide, nearly a square."""
    steps = np.rint(shares * (len(SHADES) - 1)).astype(int)
    return "\n".join(
        "".join(2 * (SHADES[step] if step >= 0 else "-") for step in row) for row in steps
    )


def classify_table(queries: Queries, votes: Sequence[Vote]) -> Table:
    """Return the label of each query, how sure it is, and who came next.

    Probabilities, where the metric is calibrated, else shares of the votes.
    """
    probable = any(vote.probabilities for vote in votes)
    table = _table("", "query", "label", "probability" if probable else "share", "next")
    for query, vote in zip(queries.photos, votes, strict=True):
        ranked = vote_shares(vote)
        several = list(ranked.items())
        # Where there is no answer, the label that came first is the first of those that follow.
        after = several[1:3] if vote.label is not None else several[:2]
        sure = "" if vote.label is None else f"{ranked[vote.label]:.0%}"
        others = ", ".join(f"{label_text(lb)} {share:.0%}" for lb, share in after)
        table.add_row(Text(printable(query.path)), Text(answer_text(vote)), sure, Text(others))
    return table


def vote_shares(vote: Vote) -> Mapping[str, float]:
    """Return the probability of each label where the metric is calibrated, else its votes' share.

    The greatest comes first.
    """
    total = sum(vote.counts.values())
    return vote.probabilities or {label: count / total for label, count in vote.counts.items()}


def answer_text(vote: Vote) -> str:
    """Return the label that a photo was given, in words."""
    return "none of these" if vote.label is None and vote.counts else label_text(vote.label)
