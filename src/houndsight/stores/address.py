"""Names of galleries that are no folders: in a Milvus server, or in a file of Milvus Lite."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from houndsight.errors import InputError

__all__ = ["TOKEN", "Address", "Place", "address", "located"]

TOKEN = "HOUNDSIGHT_MILVUS_TOKEN"  # noqa: S105  the name of the variable

SERVER, SECURE, LITE = "milvus://", "milvus+tls://", "milvus-lite:"
PORT = 19530
# What Milvus allows in the name of a collection, and room for what is added to it.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")
_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?")
REMEDY = "Write milvus://host:port/name, milvus+tls://host:port/name or milvus-lite:PATH"


@dataclass(frozen=True, slots=True)
class Address(os.PathLike[str]):
    """Where a gallery is that is no folder.

    Attributes
    ----------
    text
        As a person writes it; never with a token.
    server
        What the client connects to; empty for Milvus Lite.
    name
        What the names of the gallery's collections begin with.
    file
        Of Milvus Lite, absolute; None for a server.
    """

    text: str
    server: str
    name: str
    file: Path | None = None

    def __fspath__(self) -> str:
        return self.text

    def __str__(self) -> str:
        return self.text

    @property
    def loopback(self) -> bool:
        """Whether only processes of this machine reach it."""
        host = (urlsplit(self.server).hostname or "localhost").rstrip(".")
        ip = _ip(host)
        return host == "localhost" if ip is None else ip.is_loopback or ip.is_unspecified

    @property
    def key(self) -> str:
        """A name for files that are about this gallery."""
        whole = f"{self.server}/{self.name}" if self.file is None else f"{LITE}{self.file}"
        return hashlib.sha256(os.fsencode(whole)).hexdigest()[:24]


Place = Path | Address


def located(place: str | os.PathLike[str]) -> Place:
    """Return the folder or the address that a gallery's name stands for.

    Raises
    ------
    InputError
        If it begins as an address does and is none.
    """
    return address(place) or Path(place)


def address(place: str | os.PathLike[str]) -> Address | None:
    """Return the address that a gallery's name stands for; None for a folder's name.

    Raises
    ------
    InputError
        If it begins as an address does and is none.
    """
    if isinstance(place, Address):
        return place
    text = os.fspath(place)
    if isinstance(place, Path) or not isinstance(text, str):
        return None
    if text.startswith(LITE):
        file = text.removeprefix(LITE)
        if not file:
            raise InputError("names no file", path=text, remedy=REMEDY)
        return Address(text, "", "gallery", Path(os.path.abspath(os.path.expanduser(file))))
    for scheme, protocol in ((SERVER, "http"), (SECURE, "https")):
        if text.startswith(scheme):
            return _server(text, protocol, text.removeprefix(scheme))
    return None


def _server(text: str, protocol: str, rest: str) -> Address:
    host, slash, name = rest.partition("/")
    if "@" in host:
        # Not repeated: what stands before the @ may be a password.
        raise InputError(
            "an address of Milvus has no user or token in it",
            remedy=f"Put the token into {TOKEN}, which no list of processes shows",
        )
    found = _HOST.fullmatch(host)
    if (
        found is None
        or int(found[2] or PORT) not in range(1, 65536)
        or (found[1].startswith("[") and _ip(found[1][1:-1]) is None)
    ):
        raise InputError("names no host and port", path=text, remedy=REMEDY)
    if not slash or not _NAME.fullmatch(name):
        raise InputError(
            "does not end in a gallery's name",
            path=text,
            remedy="Use up to 200 letters without accents, digits and underscores, a letter first, "
            "as in milvus://localhost:19530/dogs",
        )
    return Address(text, f"{protocol}://{found[1]}:{found[2] or PORT}", name)


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
