"""How a browser comes in where a token is asked for: by a link that works once, or the token."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

from houndsight.web.guard import cookie_name
from houndsight.web.problems import Refused
from houndsight.web.templates import page

__all__ = ["link", "router"]

router = APIRouter(include_in_schema=False)


def link(address: str, key: str) -> str:
    """Return the address that lets one browser in."""
    return f"{address}/enter?key={key}"


@router.get("/enter")
def enter(request: Request, key: str = "") -> HTMLResponse:
    """Let in who has a link, once; ask others for the token."""
    if key and request.app.state.sessions.redeem(key):
        return _let_in(request)
    why = "This link was used before, or is not of this server." if key else ""
    return page(request, "enter.html.jinja", status=401 if key else 200, why=why)


@router.post("/enter")
def enter_by_token(request: Request, token: Annotated[str, Form()] = "") -> HTMLResponse:
    """Let in who knows the token."""
    if request.app.state.rules.is_token(token.strip()):
        return _let_in(request)
    return page(request, "enter.html.jinja", status=401, why="That is not this server's token.")


@router.post("/enter/link")
def another(request: Request) -> Response:
    """Return a new link, for one more browser."""
    if request.app.state.rules.token is None:
        raise Refused(404, "no_token", "this server asks for no token", "Give its address away")
    # Browsers say where they are, also where a proxy with HTTPS stands before the server.
    home = request.headers.get("origin") or f"http://{request.headers['host']}"
    return JSONResponse({"link": link(home, request.app.state.sessions.link())})


def _let_in(request: Request) -> HTMLResponse:
    """Set the cookie, with a page that goes on by itself.

    Not by a redirect: where a link was followed from another site, a strict cookie would not be
    sent along with what the redirect asks for.
    """
    answer = page(request, "entered.html.jinja")
    answer.set_cookie(
        cookie_name(request.scope),
        request.app.state.sessions.begin(),
        httponly=True,
        samesite="strict",
        # Whoever says so untruly only keeps the cookie from themselves.
        secure=request.headers.get("x-forwarded-proto") == "https",
    )
    return answer
