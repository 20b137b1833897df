"""Photos at addresses such as https://, s3:// and gs://, listed and read by fsspec.

An address is a path like any other: bytes, with a root's address before it, and "/" between.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import unquote_to_bytes, urlsplit

from houndsight.errors import ImageError, InputError, printable
from houndsight.extras import library
from houndsight.types import Found

__all__ = ["FETCHING", "absolute", "is_address", "is_web", "level", "members", "read", "readable"]

T = TypeVar("T")
ADDRESS = re.compile(rb"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
# What extra brings the package that fsspec wants for a protocol.
EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs"}
# How deep pages that list files may lead to others.
MAX_DEPTH = 50
# Asked at the same time: nearly all of it is waiting.
FETCHING = 16
TRIES = 3
WAIT_S = 0.5
# Answers of HTTP that are the same the next time.
REFUSALS = (400, 401, 403, 405, 410)
# Under which names file systems say when a file changed, and what tells its bytes from others.
TIMES = ("LastModified", "last_modified", "updated", "mtime", "Last-Modified", "created")
TAGS = ("ETag", "etag", "md5Hash", "generation", "Content-MD5", "Digest")


def is_address(path: bytes) -> bool:
    """Return whether a path is an address, such as ``s3://bucket/dogs``."""
    return ADDRESS.match(path) is not None


def absolute(path: str | bytes | os.PathLike[str]) -> bytes:
    """Return a path in full: an address as it is, any other from the root folder.

    Raises
    ------
    InputError
        If an address holds a password, which would be kept with the gallery and shown.
    """
    name = os.fsencode(path)
    if not is_address(name):
        return os.path.abspath(name)
    parts = urlsplit(name)
    if parts.scheme.lower() == b"file":
        return os.path.abspath(unquote_to_bytes(parts.path))
    if parts.password is not None:
        raise InputError(
            f"the address at {printable(parts.hostname or b'')} holds a password, which would be "
            "kept in the gallery",
            remedy="Leave it out, and give it where the protocol's library looks for it",
        )
    return name.rstrip(b"/")


def is_web(path: bytes) -> bool:
    """Return whether an address is one of the web."""
    return path.lower().startswith((b"http://", b"https://"))


def readable(root: bytes, path: bytes) -> bytes:
    """Return a path below a root as people write it: addresses of the web have %20 for a blank."""
    return unquote_to_bytes(path) if is_web(root) else path


def members(root: bytes) -> list[Found]:
    """Return the files below an address, with paths relative to it.

    Sizes are -1 and times 0 where the other side does not say.

    Raises
    ------
    InputError
        If there is nothing (`__cause__` is a FileNotFoundError), or it cannot be asked.
    """
    with _told(root):
        system, base = _asked(root)
        # The web's file system would leave out what it cannot ask, and photos would seem gone.
        strict = {"on_error": _unless_absent} if is_web(root) else {}
        found = _tried(lambda: system.find(base, maxdepth=MAX_DEPTH, detail=True, **strict))
        if not found:
            system.ls(base)  # raises if there is nothing
        return _files(root, system, base, list(found.items()))


def level(root: bytes) -> tuple[list[Found], list[bytes]]:
    """Return the files right below an address, and the names of the folders there.

    What is below these is what `members` returns of them. Errors are those of `members`.
    """
    with _told(root):
        system, base = _asked(root)
        infos = [(info["name"], info) for info in _tried(lambda: system.ls(base, detail=True))]
        inside = (_inside(base, name.rstrip("/")) for name, i in infos if i["type"] == "directory")
        folders = sorted({path for path in inside if path})
        return _files(root, system, base, infos), folders


@contextlib.contextmanager
def _told(root: bytes) -> Iterator[None]:
    """Say in our words why an address cannot be listed."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(
            "there is nothing at this address", path=root, remedy="Check how it is written"
        ) from error
    except InputError:
        raise
    except Exception as error:  # whatever the protocol's library raises
        raise InputError(
            f"cannot be listed: {_reason(error)}",
            path=root,
            remedy="Check the address, the network, and the rights there",
        ) from error


def _asked(root: bytes) -> tuple[Any, str]:
    """Return the file system that an address is in, to be asked anew, and its name there."""
    system, base = _system(root)
    system.invalidate_cache()
    return system, base


def _files(
    root: bytes, system: Any, base: str, infos: list[tuple[str, dict[str, Any]]]
) -> list[Found]:
    """Return what is a file, and inside, of what a file system says of names."""
    from concurrent.futures import ThreadPoolExecutor

    infos = [(name, info) for name, info in infos if info.get("type") == "file"]
    if is_web(root):  # pages that list files do not say how large they are
        with ThreadPoolExecutor(FETCHING) as pool:
            infos = list(pool.map(lambda pair: (pair[0], _info(system, pair[0])), infos))
    paths = ((_inside(base, name), info) for name, info in infos)
    return [Found(path, *_stamp(info), 0) for path, info in paths if path is not None]


def _inside(base: str, name: str) -> bytes | None:
    """Return the path of a name below another; None where it is elsewhere."""
    path, start = os.fsencode(name), os.path.join(os.fsencode(base.rstrip("/")), b"")
    return path.removeprefix(start) if path.startswith(start) else None


def _unless_absent(error: OSError) -> None:
    """Let links be that lead to nothing."""
    if not isinstance(error, FileNotFoundError):
        raise error


def read(path: bytes) -> bytes:
    """Return the bytes at an address.

    Raises
    ------
    ImageError
        If it cannot be read; `__cause__` is an OSError where asking again may help.
    """
    try:
        system, name = _system(path)
        content: bytes = _tried(lambda: system.cat_file(name))
    except FileNotFoundError as error:
        raise ImageError("there is no such file", path=path, remedy="Check the name") from error
    except InputError as error:
        raise ImageError(error.cause, path=path, remedy=error.remedy) from OSError(error.cause)
    except Exception as error:  # as above
        reason = _reason(error)
        raise ImageError(f"cannot be read: {reason}", path=path) from OSError(reason)
    return content


def _system(path: bytes) -> tuple[Any, str]:
    """Return the file system that an address is in, and what it is called there."""
    address = os.fsdecode(path).replace(os.sep, "/")
    protocol = address.split("://")[0].lower()
    extra = EXTRAS.get(protocol, "remote")
    fsspec = library("fsspec", extra, f"{protocol}://")
    options = _patience() if protocol in ("http", "https") else {}
    try:
        system, name = fsspec.core.url_to_fs(address, **options)
    except ValueError as error:
        known = "Give an address such as https://, s3:// or gs://"
        raise InputError(f"{_reason(error)}", path=path, remedy=known) from None
    except ImportError as error:
        remedy = f"Run: pip install 'houndsight[{extra}]'" if protocol in EXTRAS else _reason(error)
        raise InputError(
            f"what reads {protocol}:// is not installed", path=path, remedy=remedy
        ) from None
    return system, name


@functools.cache
def _patience() -> dict[str, Any]:
    """Return options of the web's file system: the usual proxies, and an end to waiting."""
    aiohttp = library("aiohttp", "remote", "https://")
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=20, sock_read=60)
    return {"client_kwargs": {"timeout": timeout, "trust_env": True}}


def _tried(ask: Callable[[], T]) -> T:
    """Ask, and ask again where the network may have failed."""
    for attempt in range(1, TRIES):
        try:
            return ask()
        except (FileNotFoundError, PermissionError):
            raise
        except Exception as error:  # libraries raise nearly anything
            if getattr(error, "status", None) in REFUSALS:
                raise
            time.sleep(WAIT_S * attempt)
    return ask()


def _info(system: Any, name: str) -> dict[str, Any]:
    """Return what a file system says of a file; nothing where it does not."""
    try:
        info: dict[str, Any] = system.info(name)
    except Exception:  # it is read all the same, and then the error is told
        return {}
    return info


def _stamp(info: dict[str, Any]) -> tuple[int, int]:
    """Return bytes, and the time of last change in nanoseconds.

    In place of the nanoseconds stands what tells the bytes from others: times are of whole seconds
    at best.
    """
    size = info.get("size")
    when = next((info[name] for name in TIMES if info.get(name)), None)
    tag = next((str(info[name]) for name in TAGS if info.get(name)), "")
    nanoseconds = int.from_bytes(hashlib.sha256(tag.encode()).digest()[:8], "big") % 10**9
    return -1 if size is None else int(size), _seconds(when) * 10**9 + (nanoseconds if tag else 0)


def _seconds(when: Any) -> int:
    from email.utils import parsedate_to_datetime

    try:
        if isinstance(when, str):
            try:
                when = datetime.fromisoformat(when)
            except ValueError:
                when = parsedate_to_datetime(when)
        if isinstance(when, datetime):
            return int(when.replace(tzinfo=when.tzinfo or UTC).timestamp())
        return int(when or 0)
    except (TypeError, ValueError, OverflowError):
        return 0


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
