"""Figures of the server, as Prometheus reads them."""

from __future__ import annotations

import time

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from houndsight.gallery import Gallery

__all__ = ["Measured", "Measures"]

METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS", "PUT"})
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Measures:
    """What is counted.

    Parameters
    ----------
    gallery
        Of which the photos are counted.
    """

    def __init__(self, gallery: Gallery) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self.requests = Counter(
            "houndsight_requests",
            "Requests answered.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self.seconds = Histogram(
            "houndsight_request_seconds",
            "Time from a request's head to the end of its answer.",
            ("route",),
            registry=self._registry,
            buckets=BUCKETS,
        )
        photos = Gauge("houndsight_photos", "Photos in the gallery.", registry=self._registry)
        photos.set_function(lambda: len(gallery))

    def page(self) -> tuple[bytes, str]:
        """Return the figures and their media type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST


class Measured:
    """An ASGI layer that counts what passes through it.

    Parameters
    ----------
    app
        What is measured.
    measures
        Where it is counted.
    """

    def __init__(self, app: ASGIApp, measures: Measures) -> None:
        self.app = app
        self.measures = measures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = "none"  # the client went before it was answered

        async def counting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        start = time.perf_counter()
        try:
            await self.app(scope, receive, counting)
        finally:
            # Its pattern: there are as many paths as photos.
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in METHODS else "other"
            self.measures.requests.labels(method, route, status).inc()
            self.measures.seconds.labels(route).observe(time.perf_counter() - start)
