"""Who may ask what: hosts, origins, tokens, sizes, slow senders, and what answers may load.

One ASGI layer around everything else, so that no route can be without it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import secrets
import socket
from collections import OrderedDict
from dataclasses import dataclass, field

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from houndsight.web.problems import Refused

__all__ = [
    "DOCS_POLICY",
    "POLICY",
    "Guard",
    "Rules",
    "Sessions",
    "cookie_name",
    "is_loopback",
    "is_name",
]

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
    # With none at all, browsers would send forms with an Origin of null.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
}
# Where those come in who have no session yet.
OPEN = frozenset({"/enter", "/api/health"})
# Bodies that are read at once, and those that wait for their turn; more are sent away. Files below
# 1 MB are kept in memory: 16 bodies of 64 MB are 1 GB at worst.
AT_ONCE, WAITING = 16, 80
# Bytes of a body without photos, such as a label or a token.
SHORT = 64 << 10
# A body may keep still for so many seconds, and has to bring so many bytes a second all in all.
STILL_S, SLOWEST = 10.0, 20_000
SESSIONS = 1000


# An address or a name, and perhaps a port.
HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::[0-9]{1,5})?", re.IGNORECASE)


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def cookie_name(scope: Scope) -> str:
    """Return the name of the session's cookie: browsers send one port's to the others as well."""
    return f"houndsight-{scope['server'][1]}"


def is_name(host: str) -> bool:
    """Return whether it is a name or an address alone, as the rules take them."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return re.fullmatch("[A-Za-z0-9._-]+", host) is not None
    return True


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
        match = HOST.fullmatch(host)
        if match is None:
            return False
        name = (match[1] or match[2]).lower().removesuffix(".")
        if name in self.names or is_loopback(name):
            return True
        if is_loopback(self.host):
            return False
        if name in (self.host.lower(), socket.gethostname().lower()):
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
        scope.setdefault("state", {})["begun"] = False
        guarded = _with_headers(scope, send)
        try:
            self._check(scope)
            if scope["method"] in SAFE:
                await self.app(scope, receive, guarded)
            else:
                await self._with_body(scope, receive, guarded)
        except Refused as error:
            await self._refuse(error, scope, receive, guarded)
        except ClientDisconnect:
            pass  # nobody is left to be answered
        except asyncio.CancelledError:  # the server stops, and has waited long enough
            if not scope["state"]["begun"]:
                late = Refused(503, "stopping", "the server is being stopped", "Try again later")
                await self._refuse(late, scope, receive, guarded)

    async def _refuse(self, error: Refused, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["refused"] = error
        await self.refuse(scope, receive, send)

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
        _check_origin(headers, hosts[0], changing=scope["method"] not in SAFE)
        path = scope["path"]
        if self.rules.token is None or path in OPEN or path.startswith("/static/"):
            return
        if not self._admitted(HTTPConnection(scope)):
            raise Refused(
                401,
                "not_admitted",
                "this server asks for its token",
                "Open the link that it printed, or send the header Authorization: Bearer TOKEN",
            )

    def _admitted(self, request: HTTPConnection) -> bool:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self.rules.is_token(token.strip())
        return request.cookies.get(cookie_name(request.scope), "") in self.sessions

    async def _with_body(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request with a body through when it is its turn."""
        headers = Headers(scope=scope)
        length = headers.get("content-length", "0")
        # Those who have not shown the token yet hand in no photos.
        photos = scope["path"] not in OPEN and _is_multipart(headers)
        most = self.rules.max_body if photos else SHORT
        if not re.fullmatch("[0-9]{1,18}", length) or int(length) > most:
            raise _too_long(most)
        if not photos:  # what is short must not wait behind what is long
            await self.app(scope, _limited(receive, most), send)
            return
        if self._turns.locked() and self._waiting >= WAITING:
            raise Refused(503, "busy", "too many photos are being handed in", "Try again")
        self._waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self._waiting -= 1
        try:
            await self.app(scope, _limited(receive, most), send)
        finally:
            self._turns.release()


def _is_multipart(headers: Headers) -> bool:
    return headers.get("content-type", "").lower().startswith("multipart/")


def _limited(receive: Receive, most: int) -> Receive:
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
        if count > most:
            raise _too_long(most)
        return message

    return limited


def _too_long(most: int) -> Refused:
    if most == SHORT:
        size, remedy = f"{most >> 10} kB", "Send photos as multipart/form-data"
    else:
        size, remedy = f"{most >> 20} MB", "Make the photo smaller, or hand in fewer at once"
    return Refused(413, "too_large", f"more than {size} cannot be handed in at once", remedy)


def _check_origin(headers: Headers, host: str, *, changing: bool) -> None:
    """Refuse what another site's page asks for: browsers say where a request comes from.

    Such a page may lead here by a link, and that is all: it has no use for pictures that it cannot
    read, other than to find out whether they are there, and to keep the server busy. Programs that
    are no browsers say nothing, and have no cookies that others could use.
    """
    origin = headers.get("origin")
    site = headers.get("sec-fetch-site", "none")
    # With https where a proxy stands in front of the server.
    same = origin in (None, f"http://{host}", f"https://{host}")
    by_link = not changing and headers.get("sec-fetch-dest") == "document"
    if (changing and not same) or (site not in ("none", "same-origin") and not by_link):
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
            scope["state"]["begun"] = True
            headers = MutableHeaders(scope=message)
            policy = DOCS_POLICY if scope["path"] == "/docs" else POLICY
            for name, value in {"content-security-policy": policy, **HEADERS}.items():
                headers.setdefault(name, value)
            headers.setdefault("cache-control", "no-store")
        await send(message)

    return sending
