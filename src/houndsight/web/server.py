"""Listens and stops: from a free port to the last answer."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from houndsight.embedder import Embedder
from houndsight.errors import InputError, ModelError
from houndsight.gallery import Gallery
from houndsight.web.app import make_app
from houndsight.web.desk import Desk
from houndsight.web.entry import link
from houndsight.web.guard import Rules, Sessions

__all__ = ["serve"]

# Seconds that a client may take for a request's head.
HEAD_S = 10.0
# Seconds in which a client that is sent something has to take some of it.
UNREAD_S = 30.0
# Seconds that open requests may go on when the server is to stop.
STOP_S = 10
KEEP_ALIVE_S = 30
CONNECTIONS = 2000


class _Protocol(H11Protocol):
    """HTTP as uvicorn has it, and nobody may take all day to say what is wanted, or to hear it."""

    _patience: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop()
        elif self._patience is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        self.resume_writing()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
        super().resume_writing()

    def _watch(self, left: int) -> None:
        self._unread = self.loop.call_later(UNREAD_S, self._taken, left)

    def _taken(self, before: int) -> None:
        left = self.transport.get_write_buffer_size()
        if left < before:
            self._watch(left)
        else:
            self.transport.abort()  # close() would wait until all is taken

    def _wait(self) -> None:
        self._patience = self.loop.call_later(HEAD_S, self._hang_up)

    def _stop(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _hang_up(self) -> None:
        self._patience = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


class _Server(uvicorn.Server):
    """uvicorn's server, for which being stopped is no failure."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._tell = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._tell()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {
            one: signal.signal(one, self.handle_exit) for one in uvicorn.server.HANDLED_SIGNALS
        }
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)


def serve(
    gallery: Gallery,
    embedder: Embedder | ModelError,
    rules: Rules,
    *,
    port: int = 8000,
    started: Callable[[str, str | None], None] | None = None,
) -> None:
    """Answer until the process is told to stop (SIGINT, SIGTERM).

    Parameters
    ----------
    gallery
        What is served.
    embedder
        Its embedder, or why there is none.
    rules
        Who may ask what.
    port
        Where to listen; 0 for any that is free.
    started
        Called with the address, and where a token is asked for with a link that lets one browser
        in.

    Raises
    ------
    InputError
        If it cannot listen there.
    """
    _make_room(2 * CONNECTIONS)
    listening = _listen(rules.host, port)
    host, number = listening.getsockname()[:2]
    name = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, host)  # noqa: S104
    address = f"http://{f'[{name}]' if ':' in name else name}:{number}"
    desk, sessions = Desk(gallery, embedder), Sessions()

    def tell() -> None:
        if started is not None:
            started(address, link(address, sessions.link()) if rules.token else None)

    config = uvicorn.Config(
        make_app(desk, rules, sessions),
        http=_Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=STOP_S,
        limit_concurrency=CONNECTIONS,
        # An address behind a proxy is nothing that is relied on.
        proxy_headers=False,
    )
    try:
        _Server(config, tell).run([listening])
    finally:
        listening.close()
        desk.close()


def _make_room(wanted: int) -> None:
    """Raise how many files may be open, as far as that is allowed: a shell gives 1,024."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows knows no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _listen(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(address)
            listening.listen()  # another that has bound it may have been quicker to listen
        except OSError:
            listening.close()
            raise
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"cannot listen at {host} port {port}: {reason}",
            remedy="Name another with --port (0 takes any that is free) or --host",
        ) from error
    return listening
