"""Fetches one file over HTTP: complete, checked and under its name, or not at all."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

from houndsight.errors import WeightsUnavailable
from houndsight.models.cache import file_digest

__all__ = ["Progress", "download", "offline"]

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the bytes that are there and the bytes that there will be."""

_TRIES: Final = 3
_WAIT_S: Final = 1.0  # before the second try; twice that before the third
_TIMEOUT_S: Final = 30.0  # without a single byte
_CHUNK: Final = 1 << 16


def offline() -> bool:
    """Return whether ``HOUNDSIGHT_OFFLINE`` forbids the network."""
    return os.environ.get("HOUNDSIGHT_OFFLINE", "").strip().lower() in {"1", "true", "yes", "on"}


class _TooLong(Exception):
    """The server sends more than the file has."""


class _Bar:
    """What Pooch's downloader wants of a progress bar."""

    def __init__(self, size: int, progress: Progress | None) -> None:
        self.total = 0  # set by Pooch to what the server says
        self._size = size
        self._done = 0
        self._progress = progress

    def update(self, count: int) -> None:
        """Count a chunk as done; Pooch counts the last one as a whole."""
        self._done += count
        if self._done >= self._size + 2 * _CHUNK:
            raise _TooLong
        if self._progress:
            self._progress(min(self._done, self._size), self._size)

    def reset(self) -> None:
        """Begin again: Pooch does so at the end, to count what the server said."""
        self._done = 0

    def close(self) -> None:
        """Do nothing: whoever gave the callback ends what it shows."""


def download(
    url: str, path: Path, size: int, checksum: tuple[str, str], progress: Progress | None
) -> None:
    """Fetch `url` into `path`, trying three times if the network fails.

    Parameters
    ----------
    url, path
        From where, and the file to write.
    size, checksum
        Bytes that the file must have, and ``sha256`` or ``md5`` with its value. A SHA-256 decides
        by itself: the size may be rounded then.
    progress
        Called as bytes arrive.

    Raises
    ------
    WeightsUnavailable
        The network failed, the server refused, or what it sent is another file. `path` may then
        hold a part: it is the caller's to remove.
    """
    import requests

    for attempt in range(1, _TRIES + 1):
        try:
            _get(url, path, _Bar(size, progress))
        except _TooLong:
            raise WeightsUnavailable(f"{url} is larger than the {size:,} bytes expected") from None
        except requests.HTTPError as error:
            status = 500 if error.response is None else error.response.status_code
            if status < 500 or attempt == _TRIES:
                raise WeightsUnavailable(f"{url} answers with HTTP status {status}") from error
        except requests.RequestException as error:
            if attempt == _TRIES:
                raise WeightsUnavailable(f"{url} cannot be reached: {_reason(error)}") from error
        else:
            break
        time.sleep(_WAIT_S * attempt)
    got = path.stat().st_size
    kind, digest = checksum
    if file_digest(path, kind) == digest and (kind == "sha256" or got == size):
        return
    if got != size:
        raise WeightsUnavailable(f"{url} has {got:,} bytes, not the {size:,} expected")
    name = {"sha256": "SHA-256", "md5": "MD5"}[kind]
    raise WeightsUnavailable(f"{url} is another file than expected: its {name} differs")


def _get(url: str, path: Path, bar: _Bar) -> None:
    """Fetch `url` into `path` once."""
    import pooch
    import requests

    answers: list[requests.Response] = []
    get = pooch.HTTPDownloader(
        progressbar=bar,
        chunk_size=_CHUNK,
        timeout=_TIMEOUT_S,
        # As it is: a compressed answer would make the sizes disagree.
        headers={"Accept-Encoding": "identity"},
        hooks={"response": lambda answer, **_: answers.append(answer)},
    )
    try:
        get(url, str(path), None)
    finally:
        for answer in answers:  # Pooch leaves the connection of one that was cut off open
            answer.close()


def _reason(error: BaseException) -> str:
    """Return the plainest words that a chain of network errors has."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
