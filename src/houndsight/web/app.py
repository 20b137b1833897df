"""The application: routes, what goes wrong with them, and the guard around it all."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

import houndsight
from houndsight.errors import HoundsightError
from houndsight.web import api, entry, pages, pictures
from houndsight.web.addresses import STATIC, kept_for, static_tag
from houndsight.web.desk import Desk
from houndsight.web.guard import Guard, Rules, Sessions
from houndsight.web.measures import Measured, Measures
from houndsight.web.problems import Problem, Refused, problem_of
from houndsight.web.schema import Refusal
from houndsight.web.templates import page

__all__ = ["ROUTERS", "make_app"]

ROUTERS = (api.router, pages.router, pictures.router, entry.router)

ABOUT = """Finds the images that look alike. Every answer is what the command line gives.

Errors have a `code` for programs, a `message`, and a `remedy` where there is one. Where the server
was started with a token, send it as `Authorization: Bearer TOKEN`.
"""


@dataclass(frozen=True, slots=True)
class _Heads:
    """An ASGI layer that answers HEAD as GET; the server leaves the body out."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("method") == "HEAD":
            scope = {**scope, "method": "GET"}
            # A link lets in once, and who only looks whether it is there must not use it up.
            if scope["path"] == "/enter":
                scope["query_string"] = b""
        await self.app(scope, receive, send)


class _Files(StaticFiles):
    """Files that a browser may keep."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        answer = await super().get_response(path, scope)
        name = scope["path"].removeprefix("/static/")
        given = QueryParams(scope["query_string"]).get("v")
        answer.headers["cache-control"] = kept_for(given, static_tag(name))
        return answer


def make_app(desk: Desk, rules: Rules, sessions: Sessions) -> ASGIApp:
    """Return the ASGI application.

    Parameters
    ----------
    desk
        What is asked.
    rules, sessions
        Who may ask, and who has shown that they may.
    """
    app = FastAPI(
        title="houndsight",
        version=houndsight.__version__,
        description=ABOUT,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.state.desk = desk
    app.state.rules = rules
    app.state.sessions = sessions
    app.state.measures = Measures(desk.gallery)
    for router in ROUTERS:
        app.include_router(router)
    for prefix, folder in reversed(STATIC.items()):
        app.mount(f"/static/{prefix}".rstrip("/"), _Files(directory=folder))
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _senseless)
    app.add_exception_handler(HoundsightError, _library_error)
    app.add_exception_handler(Exception, _broken)
    return _Heads(Measured(Guard(app, rules, sessions, _refusing(app)), app.state.measures))


def _answer(request: Request, problem: Problem, headers: dict[str, str] | None = None) -> Response:
    """Say what is wrong: to a program as JSON, to a person as a page."""
    answer: Response
    if request.scope["path"].startswith("/api/"):  # request.url is made of the header Host as well
        answer = JSONResponse(Refusal.of(problem).model_dump(), problem.status)
    else:
        name = "enter.html.jinja" if problem.status == 401 else "problem.html.jinja"
        answer = page(request, name, status=problem.status, problem=problem, why="")
    answer.headers.update(headers or {})
    if problem.status in (408, 413):
        # What was not read of a body would be taken for the next request.
        answer.headers["connection"] = "close"
    if problem.status == 503:
        answer.headers["retry-after"] = "2"
    elif problem.status == 401:
        answer.headers["www-authenticate"] = "Bearer"
    return answer


def _refusing(app: FastAPI) -> ASGIApp:
    """Return what answers for the guard, without what comes after it."""

    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        error: Refused = scope["state"]["refused"]
        scope["app"] = app
        answer = _answer(Request(scope), error.problem, {"connection": "close"})
        await answer(scope, receive, send)

    return refuse


async def _http_error(request: Request, error: Exception) -> Response:
    if isinstance(error, Refused):
        return _answer(request, error.problem)
    status = HTTPStatus(getattr(error, "status_code", 500))
    words, remedy = status.phrase.lower(), "See the addresses under /docs"
    if status == HTTPStatus.BAD_REQUEST:
        words, remedy = "the request's body cannot be read", "Send it as /docs says"
    # Starlette names the methods of the one route that it came upon first.
    allowed = {"allow": _methods(request)} if status == HTTPStatus.METHOD_NOT_ALLOWED else None
    return _answer(request, Problem(status, status.name.lower(), words, remedy), allowed)


def _methods(request: Request) -> str:
    """Return which methods an address has; files have those of reading."""
    every = [route for router in ROUTERS for route in router.routes]
    fitting = [route for route in every if route.matches(request.scope)[0] is not Match.NONE]
    ways = {way for route in fitting for way in getattr(route, "methods", ())} or {"GET"}
    return ", ".join(sorted(ways | ({"HEAD"} if "GET" in ways else set())))


async def _senseless(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - it is registered for that
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
    words = f"{where}: {first['msg']}"
    return _answer(request, Problem(422, "invalid_input", words, "See /docs for what is taken"))


async def _library_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HoundsightError)  # noqa: S101 - it is registered for that
    return _answer(request, problem_of(error))


async def _broken(request: Request, _: Exception) -> Response:
    return _answer(request, Problem(500, "internal_error", "something is broken", "See the log"))
