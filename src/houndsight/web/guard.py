"""Who may ask what: hosts, origins, tokens, sizes, slow senders, and what answers may load.

One ASGI layer around everything else, so that no route can be without it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import socket
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from houndsight.web.problems import Refused

__all__ = ["COOKIE", "DOCS_POLICY", "POLICY", "Guard", "Rules", "Sessions", "is_loopback"]

COOKIE = "houndsight"
# What is changed with one of these is changed by nobody.
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
# Swagger UI writes style attributes.
DOCS_POLICY = POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
}
# Where those come in who have no session yet.
OPEN = frozenset({"/enter", "/api/health"})
# Bodies that are read at once, and those that wait for their turn; more are sent away.
AT_ONCE, WAITING = 32, 64
# A body may keep still for so many seconds, and has to bring so many bytes a second all in all.
STILL_S, SLOWEST = 10.0, 20_000
SESSIONS = 1000


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Rules:
    """What is let in.

    Attributes
    ----------
    host
        The address that is listened at.
    names
        Other names that this server goes by, such as a proxy's.
    token
        What everybody has to show; None where all who can reach the server may ask.
    read_only
        Whether nothing may be changed.
    max_body
        Bytes of a request.
    """

    host: str = "127.0.0.1"
    names: frozenset[str] = frozenset()
    token: str | None = None
    read_only: bool = False
    max_body: int = 64 << 20

    def knows(self, host: str) -> bool:
        """Return whether a Host header is one of this server's names.

        A page elsewhere can point a name of its own at this address (DNS rebinding), and would then
        share an origin with the server. It cannot do so with an address or with our own names.
        """
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        except ValueError:
            return False
        if name in self.names or is_loopback(name):
            return True
        if is_loopback(self.host):
            return False
        if name in (self.host, socket.gethostname().lower()):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def is_token(self, token: str) -> bool:
        """Return whether it is the server's token, in a time that says nothing of it."""
        return self.token is not None and secrets.compare_digest(
            token.encode("utf-8", "backslashreplace"), self.token.encode()
        )


class Sessions:
    """Who has shown the token, and links that let in once."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[str, None] = OrderedDict()
        self._links: set[str] = set()

    def link(self) -> str:
        """Return a new key that lets one browser in."""
        key = secrets.token_urlsafe(24)
        self._links.add(key)
        return key

    def redeem(self, key: str) -> bool:
        """Use up a key; return whether it was good."""
        good = key in self._links
        self._links.discard(key)
        return good

    def begin(self) -> str:
        """Return a new session's name; the oldest go when there are too many."""
        name = secrets.token_urlsafe(32)
        self._sessions[name] = None
        while len(self._sessions) > SESSIONS:
            self._sessions.popitem(last=False)
        return name

    def __contains__(self, name: str) -> bool:
        return name in self._sessions


@dataclass(slots=True, eq=False)
class Guard:
    """The layer.

    Attributes
    ----------
    app
        What is guarded; gets `Refused` where a body is too long or too slow.
    rules, sessions
        What is let in, and who has been.
    refuse
        An app that answers with the `Refused` in ``scope["state"]["refused"]``.
    """

    app: ASGIApp
    rules: Rules
    sessions: Sessions
    refuse: ASGIApp
    _turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    _waiting: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        guarded = _with_headers(scope, send)
        try:
            self._check(scope)
            if scope["method"] in SAFE:
                await self.app(scope, receive, guarded)
            else:
                await self._with_body(scope, receive, guarded)
        except Refused as error:
            scope.setdefault("state", {})["refused"] = error
            await self.refuse(scope, receive, guarded)
        except ClientDisconnect:
            pass  # nobody is left to be answered

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self.rules.knows(hosts[0]):
            raise Refused(
                421,
                "wrong_host",
                "this server does not go by the name that was asked for",
                "Use the address that it printed, or start it with --name NAME",
            )
        if scope["method"] not in SAFE:
            _check_origin(headers, hosts[0])
        path = scope["path"]
        if self.rules.token is None or path in OPEN or path.startswith("/static/"):
            return
        if not self._admitted(HTTPConnection(scope).headers):
            raise Refused(
                401,
                "not_admitted",
                "this server asks for its token",
                "Open the link that it printed, or send the header Authorization: Bearer TOKEN",
            )

    def _admitted(self, headers: Mapping[str, str]) -> bool:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self.rules.is_token(token.strip())
        cookies = SimpleCookie()
        try:
            cookies.load(headers.get("cookie", ""))
        except CookieError:
            return False
        return COOKIE in cookies and cookies[COOKIE].value in self.sessions

    async def _with_body(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request with a body through when it is its turn."""
        length = Headers(scope=scope).get("content-length", "0")
        if not length.isascii() or not length.isdigit() or int(length) > self.rules.max_body:
            raise self._too_long()
        if self._turns.locked() and self._waiting >= WAITING:
            raise Refused(503, "busy", "too many photos are being handed in", "Try again")
        self._waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self._waiting -= 1
        try:
            await self.app(scope, self._limited(receive), send)
        finally:
            self._turns.release()

    def _limited(self, receive: Receive) -> Receive:
        """Return what receives a body of no more than so many bytes, and not too slowly."""
        clock = asyncio.get_running_loop()
        start, count, whole = clock.time(), 0, False

        async def limited() -> Message:
            nonlocal count, whole
            if whole:  # what follows is only that the client has gone
                return await receive()
            try:
                left = min(STILL_S, start + STILL_S + count / SLOWEST - clock.time())
                message = await asyncio.wait_for(receive(), max(left, 0.0))
            except TimeoutError:
                raise Refused(
                    408, "too_slow", "the photo came too slowly", "Try again, or make it smaller"
                ) from None
            count += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if count > self.rules.max_body:
                raise self._too_long()
            return message

        return limited

    def _too_long(self) -> Refused:
        most = self.rules.max_body >> 20
        return Refused(
            413,
            "too_large",
            f"more than {most} MB cannot be handed in at once",
            "Make the photo smaller, or hand in fewer at once",
        )


def _check_origin(headers: Headers, host: str) -> None:
    """Refuse what another site's page sends: browsers say where a request comes from.

    Programs that are no browsers say nothing, and have no cookies that others could use.
    """
    origin = headers.get("origin")
    site = headers.get("sec-fetch-site", "none")
    same = origin is None or (origin != "null" and urlsplit(origin).netloc == host)
    if not same or site not in ("none", "same-origin"):
        raise Refused(
            403,
            "cross_site",
            "this was asked by another site's page",
            "Use houndsight's own page, or a program",
        )


def _with_headers(scope: Scope, send: Send) -> Send:
    """Return what sends an answer with what it may load and who may use it."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            policy = DOCS_POLICY if scope["path"] == "/docs" else POLICY
            for name, value in {"content-security-policy": policy, **HEADERS}.items():
                headers.setdefault(name, value)
            headers.setdefault("cache-control", "no-store")
        await send(message)

    return sending
