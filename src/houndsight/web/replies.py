"""Answers of the desk as the API says them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from houndsight.types import Item
from houndsight.web import schema
from houndsight.web.desk import Answer, Desk

__all__ = ["escaped", "neighbours", "photo", "verdicts"]


def photo(desk: Desk, item: Item) -> schema.Photo:
    """Return an item as the API says it."""
    return schema.Photo(
        id=item.key,
        label=item.label,
        label_source=item.label_source,
        path=desk.gallery.path_of(item).decode("utf-8", "backslashreplace"),
        width=item.width,
        height=item.height,
        size=item.size,
    )


def _asked(desk: Desk, answer: Answer) -> dict[str, Any]:
    view = answer.query.view
    return {
        "query": list(answer.keys),
        "name": ", ".join(desk.name(key) for key in answer.keys),
        "label": answer.query.label,
        "crop": None if view.crop is None else str(view.crop),
    }


def neighbours(
    desk: Desk, answers: Sequence[Answer], skipped: Sequence[schema.Skip] = ()
) -> schema.Answers:
    """Return what was found."""
    return schema.Answers(
        answers=[
            schema.Neighbours(
                **_asked(desk, answer),
                matches=[
                    schema.Neighbour(
                        rank=match.rank,
                        id=match.item.key,
                        path=desk.gallery.path_of(match.item).decode("utf-8", "backslashreplace"),
                        label=match.item.label,
                        distance=match.distance,
                        probability=match.probability,
                        same_bytes=answer.query.same_bytes(match.item),
                    )
                    for match in answer.matches
                ],
            )
            for answer in answers
        ],
        skipped=list(skipped),
    )


def verdicts(
    desk: Desk, answers: Sequence[Answer], skipped: Sequence[schema.Skip] = ()
) -> schema.Verdicts:
    """Return what the neighbours say of labels."""
    return schema.Verdicts(
        answers=[
            schema.Verdict(
                **_asked(desk, answer),
                answer=vote.label,
                first=vote.first,
                share=vote.share,
                votes=[schema.Count(label=lb, count=n) for lb, n in vote.counts.items()],
                probabilities=[
                    schema.Likely(label=lb, probability=chance)
                    for lb, chance in vote.probabilities.items()
                ],
                none=vote.none,
            )
            for answer in answers
            if (vote := answer.vote) is not None
        ],
        skipped=list(skipped),
    )


def escaped(text: str) -> str:
    """Return a text without the lone surrogates that stand for bytes of a file name."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
