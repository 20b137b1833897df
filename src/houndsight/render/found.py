"""What queries found, for a page to show: neighbours, or the labels that these give."""

from __future__ import annotations

from collections.abc import Sequence

from houndsight.errors import counted, printable
from houndsight.gallery import Gallery
from houndsight.queries import Queries, Query
from houndsight.render.cards import match_note, neighbour_card, query_note, query_thumbnail
from houndsight.render.html import Answer, Answers, Card, Content, Section, Share, Table
from houndsight.render.text import answer_text, label_text, vote_shares
from houndsight.types import Match
from houndsight.voting import Vote

__all__ = ["classify_content", "search_content"]

VOTES = 5  # bars below a query


def search_content(
    gallery: Gallery,
    queries: Queries,
    found: Sequence[Sequence[Match]],
    *,
    metric: str | None = None,
) -> Content:
    """Return each query beside its neighbours.

    Parameters
    ----------
    gallery
        Where they were searched for.
    queries
        The queries, as they are to be shown.
    found
        The neighbours of each, nearest first.
    metric
        What the distances were taken in; the gallery's own when None.
    """
    answers = [
        Answer(
            _asked(gallery, query, label_text(query.label)), _neighbours(gallery, query, matches)
        )
        for query, matches in zip(queries.photos, found, strict=True)
    ]
    lead = "Nearest first; a number is a distance, smaller is more alike."
    if any(match.probability is not None for matches in found for match in matches):
        lead += " A percentage is the probability that a photo has the query's label."
    return _content("The photos most alike", lead, gallery, metric, queries, answers)


def classify_content(
    gallery: Gallery, queries: Queries, votes: Sequence[Vote], *, metric: str | None = None
) -> Content:
    """Return each query with its label, the votes as bars, and the photos that voted.

    Parameters
    ----------
    gallery, queries, metric
        As for `search_content`.
    votes
        What the neighbours say of each query.
    """
    answers = [
        Answer(
            _asked(gallery, query, answer_text(vote)),
            _neighbours(gallery, query, vote.neighbours),
            _bars(vote),
        )
        for query, vote in zip(queries.photos, votes, strict=True)
    ]
    probable = any(vote.probabilities for vote in votes)
    what = "the probability of each label" if probable else "the share of the votes of each label"
    lead = f"The label that a photo's neighbours give it. Bars: {what}."
    return _content("What the photos show", lead, gallery, metric, queries, answers)


def _bars(vote: Vote) -> list[Share]:
    some = list(vote_shares(vote).items())[:VOTES]
    bars = [Share(label_text(label), share, f"{share:.0%}") for label, share in some]
    if vote.none is not None:
        bars.append(Share("none of the gallery's labels", vote.none, f"{vote.none:.0%}"))
    return bars


def _asked(gallery: Gallery, query: Query, title: str) -> Card:
    note = query_note(query)
    if query.label is not None and label_text(query.label) != title:
        note += f", known as {label_text(query.label)}"
    return Card(title, note, None, query_thumbnail(gallery, query), f"query photo, {title}")


def _neighbours(gallery: Gallery, query: Query, matches: Sequence[Match]) -> list[Card]:
    return [
        neighbour_card(
            gallery, match, right=query.agrees(match.item), note=match_note(query, match)
        )
        for match in matches
    ]


def _content(
    title: str,
    lead: str,
    gallery: Gallery,
    metric: str | None,
    queries: Queries,
    answers: Sequence[Answer],
) -> Content:
    sections: list[Section] = []
    if answers:
        sections.append(Answers(counted(len(answers), "query"), answers))
    if queries.skipped:
        rows = [("photo", "why")] + [(printable(one.path), one.reason) for one in queries.skipped]
        sections.append(Table("Could not be read", rows))
    facts = [
        ("gallery", printable(gallery.place)),
        ("photos in the gallery", f"{len(gallery):,}"),
        ("metric", gallery.named(metric)),
        ("model", gallery.model),
        ("fingerprint", gallery.fingerprint[:12]),
    ]
    return Content(title, lead, [], sections, facts)
