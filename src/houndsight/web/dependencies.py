"""What several routes need of a request: the desk, leave to change, the photos handed in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends, Path, Request, UploadFile
from fastapi.concurrency import run_in_threadpool

from houndsight.errors import HoundsightError
from houndsight.web import schema
from houndsight.web.asking import ITEM
from houndsight.web.desk import Desk
from houndsight.web.problems import Refused, problem_of

__all__ = ["ItemId", "TheDesk", "file_name", "kept", "writable"]


def the_desk(request: Request) -> Desk:
    """Return the desk of the app that was asked."""
    desk: Desk = request.app.state.desk
    return desk


def writable(request: Request) -> None:
    """Refuse (403) to change anything where that is not wanted."""
    if request.app.state.rules.read_only:
        raise Refused(
            403,
            "read_only",
            "nothing can be changed here",
            "Start the server with --writable to change labels and photos",
        )


TheDesk = Annotated[Desk, Depends(the_desk)]
ItemId = Annotated[str, Path(pattern=ITEM, description="16 hex digits")]


def file_name(upload: UploadFile) -> str:
    """Return what a file that was handed in is called."""
    # A body may name a character set that makes lone surrogates.
    return (upload.filename or "photo").encode("utf-8", "replace").decode()[:255]


async def kept(desk: Desk, uploads: Sequence[UploadFile]) -> tuple[list[str], list[schema.Skip]]:
    """Keep photos that were handed in; return their keys, and what cannot be used.

    Raises
    ------
    HoundsightError
        If there is one, and it cannot be used.
    """
    keys: list[str] = []
    skipped: list[schema.Skip] = []
    for upload in uploads:
        name = file_name(upload)
        try:
            # Waiting here holds no thread; only who has a turn reads the photo into memory.
            async with desk.turns:
                keys.append((await run_in_threadpool(desk.keep, upload.file, name)).key)
        except HoundsightError as error:
            if len(uploads) == 1:
                raise
            skipped.append(schema.Skip(name=name, reason=problem_of(error).message))
    return keys, skipped
