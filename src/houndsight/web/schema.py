"""What the API takes and gives, for its description and for checking what comes in."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from houndsight.web.problems import Problem

__all__ = [
    "Added",
    "Answers",
    "Changed",
    "Count",
    "Health",
    "Info",
    "Items",
    "Label",
    "Neighbour",
    "Neighbours",
    "Photo",
    "Refusal",
    "Relabel",
    "Skip",
    "Skips",
    "Verdict",
    "Verdicts",
    "Working",
]

# Python strips the four separators as well, which \s lacks elsewhere: no label may be left empty.
NOT_EMPTY = r"[^\s\x1c-\x1f]"
Label = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=NOT_EMPTY)]
Chance = Annotated[float, Field(ge=0, le=1)]


class Reason(BaseModel):
    """What is wrong, and what can be done about it."""

    code: str
    message: str
    remedy: str | None


class Refusal(BaseModel):
    """The body of every answer that is none."""

    error: Reason

    @classmethod
    def of(cls, problem: Problem) -> Refusal:
        """Return what is said of a problem."""
        return cls(error=Reason(code=problem.code, message=problem.message, remedy=problem.remedy))


class Photo(BaseModel):
    """One item of the gallery."""

    id: str = Field(description="16 hex digits")
    label: str | None
    label_source: str | None = Field(description="folder, csv or user")
    path: str = Field(description="bytes that are not UTF-8 as backslash escapes")
    width: int = Field(description="pixels, upright")
    height: int
    size: int = Field(description="bytes")


class Neighbour(BaseModel):
    """One neighbour of a query."""

    rank: int
    id: str
    path: str
    label: str | None
    distance: float = Field(ge=0, description="Euclidean")
    probability: Chance | None = Field(
        description="that it has the query's label; null where the metric is not calibrated"
    )
    same_bytes: bool


class Asked(BaseModel):
    """A query, or several as one."""

    query: list[str] = Field(description="ids of items and keys of photos that were handed in")
    name: str
    label: str | None = Field(description="its own, where it is known")
    crop: str | None


class Neighbours(Asked):
    """A query with its neighbours, nearest first."""

    matches: list[Neighbour]


class Skip(BaseModel):
    """A file that is not used, and why."""

    name: str
    reason: str


class Answers(BaseModel):
    """What was found."""

    answers: list[Neighbours]
    skipped: list[Skip]


class Count(BaseModel):
    """How many photos have a label."""

    label: str | None
    count: int


class Likely(BaseModel):
    """How probable a label is."""

    label: str
    probability: Chance


class Verdict(Asked):
    """What the neighbours say of a query's label."""

    answer: str | None = Field(description="null where no label is likely enough")
    first: str | None = Field(description="the label that comes first, likely enough or not")
    share: Chance
    votes: list[Count]
    probabilities: list[Likely] = Field(description="empty where the metric is not calibrated")
    none: Chance | None = Field(description="that it shows none of the labels")


class Verdicts(BaseModel):
    """What the neighbours say."""

    answers: list[Verdict]
    skipped: list[Skip]


class Items(BaseModel):
    """A part of the gallery, the newest first."""

    total: int
    items: list[Photo]


class Skips(BaseModel):
    """Files that indexing could not take in."""

    total: int
    skipped: list[Skip]


class Relabel(BaseModel):
    """A new label; null takes it away."""

    model_config = ConfigDict(extra="forbid")

    label: Label | None


class Changed(BaseModel):
    """A change that was made; its number takes it back."""

    change: int | None = Field(description="null where it was so already")
    message: str


class Added(Changed):
    """A photo that was added."""

    item: Photo


class Health(BaseModel):
    """That the server answers."""

    status: str


class Working(BaseModel):
    """How far something is that takes a while."""

    running: bool
    done: int
    total: int


class Info(BaseModel):
    """What the gallery holds, and what made it."""

    model_config = ConfigDict(extra="allow")

    items: int
    labels: int
    unlabelled: int
    model: str
    fingerprint: str
    metric: str
    metrics: list[Any]
    read_only: bool
    indexing: Working | None
