"""Pages from templates: every text that comes in is escaped."""

from __future__ import annotations

from functools import cache
from typing import Any
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import ChoiceLoader, Environment, PackageLoader

from houndsight import images
from houndsight.render.html import environment
from houndsight.render.labels import one_line
from houndsight.web.addresses import photo_url, static_url

__all__ = ["page"]


@cache
def _templates() -> Environment:
    """Return what pages are made with: this package's templates, and those of reports and maps."""
    every = environment()
    loaders = [PackageLoader("houndsight.web", "templates"), every.loader]
    made = every.overlay(loader=ChoiceLoader([one for one in loaders if one is not None]))
    made.filters["path"] = lambda path: one_line(path.decode("utf-8", "backslashreplace"))
    made.filters["percent"] = lambda share: f"{100 * share:.0f} %"
    made.filters["count"] = lambda number: f"{number:,}"
    made.filters["quoted"] = lambda text: quote(text, safe="")
    made.filters["static"] = static_url
    made.globals["photo_url"] = photo_url
    # To browsers, only some of those that houndsight reads are images.
    made.globals["accepted"] = ",".join(["image/*", *images.extra_endings()])
    return made


def page(request: Request, template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
    """Return a page.

    Parameters
    ----------
    request
        What it answers.
    template
        Its name.
    status
        The HTTP status.
    context
        What it shows.
    """
    state = request.app.state
    text = (
        _templates()
        .get_template(template)
        .render(
            here=request.scope["path"],
            rules=state.rules,
            gallery=state.desk.gallery,
            **context,
        )
    )
    return HTMLResponse(text, status)
