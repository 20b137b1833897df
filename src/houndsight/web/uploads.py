"""Query photos that were handed in: kept for a while, so that their addresses go on working."""

from __future__ import annotations

import os
import tempfile
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from houndsight import camera_raw, images
from houndsight.web.problems import Refused

__all__ = ["MAX_PIXELS", "Upload", "Uploads"]

# Decoded (4 bytes of each) and converted (3 more): two photos at once take 1.1 GB. Some decoders
# have copies of their own: AVIF takes 9 bytes, HEIC 7, camera RAW 5, but 13 in a narrow strip.
MAX_PIXELS = 64_000_000
ROOM = 512 << 20


@dataclass(frozen=True, slots=True)
class Upload:
    """A photo that was handed in.

    Attributes
    ----------
    key
        SHA-256 of its bytes, 64 hex digits: who has the photo, or was given the address, can name
        it, and nobody else.
    name
        The file name that came with it: shown, and may tell that it is a camera RAW photo.
    path
        Where it lies.
    size
        Bytes.
    """

    key: str
    name: str
    path: Path
    size: int


class Uploads:
    """A folder of photos that were handed in; the one unused for longest goes first.

    Parameters
    ----------
    room
        Bytes that may be kept.
    """

    def __init__(self, room: int = ROOM) -> None:
        self.room = room
        self._folder = tempfile.TemporaryDirectory(prefix="houndsight-queries-")
        self._kept: OrderedDict[str, Upload] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, data: bytes, name: str) -> Upload:
        """Keep a photo.

        Raises
        ------
        Refused
            If it is no photo, or has too many pixels. What is wrong further inside of it shows when
            it is decoded.
        """
        file = images.File(data, 0)
        key = file.digest.hex()
        images.check_size(data, path=os.fsencode(name), most=MAX_PIXELS)
        # It has to stay camera RAW, which some are by their name alone.
        ending = camera_raw.kind(data, os.fsencode(name)) or ""
        with self._lock:
            known = self._kept.get(key)
            path = Path(self._folder.name) / f"{key}{ending}" if known is None else known.path
            if not path.exists():  # those who tidy up temporary folders may have been here
                draft = path.with_suffix(f".{threading.get_ident()}")
                try:
                    path.parent.mkdir(mode=0o700, exist_ok=True)
                    draft.write_bytes(data)
                    draft.replace(path)
                except OSError as error:
                    why = f"the photo cannot be kept: {error.strerror}"
                    remedy = f"Make room in {path.parent.parent}, or set TMPDIR"
                    raise Refused(507, "no_room", why, remedy) from error
            upload = self._kept[key] = Upload(key, name, path, len(data))
            self._kept.move_to_end(key)
            while sum(one.size for one in self._kept.values()) > self.room and len(self._kept) > 1:
                self._forget(next(iter(self._kept)))
        return upload

    def __getitem__(self, key: str) -> Upload:
        with self._lock:
            upload = self._kept.get(key)
            if upload is None or not upload.path.exists():
                raise Refused(
                    404,
                    "query_gone",
                    "this query photo is no longer kept here",
                    "Hand it in once more",
                )
            self._kept.move_to_end(key)
        return upload

    def forget(self, key: str) -> None:
        """Forget a photo, such as one that could not be decoded."""
        with self._lock:
            if key in self._kept:
                self._forget(key)

    def _forget(self, key: str) -> None:
        self._kept.pop(key).path.unlink(missing_ok=True)

    def close(self) -> None:
        """Delete all of them."""
        with self._lock:
            self._kept.clear()
        self._folder.cleanup()
