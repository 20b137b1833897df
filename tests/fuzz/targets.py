"""What is fuzzed: each target takes bytes, and may raise nothing but what houndsight raises.

A target is a context manager that yields the function; what it needs is in a folder that is
deleted in the end.
"""

import asyncio
import contextlib
import io
import shutil
import sqlite3
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import corpus

Target = Callable[[bytes], None]
# Larger photos only make fuzzing slow.
PIXELS = 1 << 18


@contextlib.contextmanager
def _folder():
    with tempfile.TemporaryDirectory(prefix="houndsight-fuzz-") as folder:
        yield Path(folder)


@contextlib.contextmanager
def photo() -> Iterator[Target]:
    """Decoding, under a name that is a JPEG's and one that is a camera RAW's."""
    from PIL import Image

    from houndsight import images, pixels
    from houndsight.errors import ImageError

    def run(data):
        for path in (b"a.jpg", b"a.dng", b"a.nef"):
            with contextlib.suppress(ImageError):
                images.check_size(data, path=path, most=PIXELS)
                made = images.decode(data, path=path, at_least=32)
                assert made.image.mode == "RGB"
                assert made.width > 0
                assert images.thumbnail(made.image)[:2] == b"\xff\xd8"
                images.extension(data, path=path)

    with (
        mock.patch.object(Image, "MAX_IMAGE_PIXELS", PIXELS // 2),
        mock.patch.object(pixels, "MOST", PIXELS),
    ):
        yield run


@contextlib.contextmanager
def weights() -> Iterator[Target]:
    """The checkpoint reader: both formats of PyTorch, safetensors, HDF5."""
    import numpy as np

    from houndsight.errors import CheckpointError
    from houndsight.models.checkpoint import read_checkpoint

    with _folder() as folder:
        path = folder / "weights"

        def run(data):
            path.write_bytes(data)
            with contextlib.suppress(CheckpointError):
                arrays = read_checkpoint(path)
                assert all(isinstance(one, np.ndarray) for one in arrays.values())
                assert sum(one.nbytes for one in arrays.values()) <= 16 * len(data)

        yield run


@contextlib.contextmanager
def network() -> Iterator[Target]:
    """A network, looked through and loaded; it is not run, as it may compute what it likes."""
    from houndsight.errors import ModelError
    from houndsight.models.admission import admitted
    from houndsight.runtime import OnnxRuntime

    def run(data):
        with contextlib.suppress(ModelError):
            OnnxRuntime(admitted(data), threads=1)

    yield run


@contextlib.contextmanager
def labels() -> Iterator[Target]:
    """A CSV file of labels."""
    from houndsight.errors import InputError
    from houndsight.labels import labeller

    with _folder() as folder:
        path = folder / "labels.csv"

        def run(data):
            path.write_bytes(data)
            with contextlib.suppress(InputError):
                label_of, _ = labeller(str(path), b"/photos")
                assert label_of(b"a.jpg") is None or label_of(b"a.jpg").strip()

        yield run


@contextlib.contextmanager
def gallery() -> Iterator[Target]:
    """A gallery: a catalogue of these bytes, or a sound one with a document of these bytes."""
    import numpy as np

    from houndsight.errors import HoundsightError
    from houndsight.gallery import Gallery
    from houndsight.types import Vectors

    sound = (corpus.CORPUS / "gallery" / "sqlite").read_bytes()

    def use(place):
        with Gallery(place) as opened:
            items = opened.items()
            opened.labels(), opened.skipped(), opened.metrics(), opened.indexing()
            for item in items[:3]:
                opened.path_of(item)
            query = np.ones((1, opened.settings["dim"]), np.float32)
            opened.search(Vectors(query, opened.fingerprint), k=2)
            opened.calibration()
            opened.verify()
            opened.set_labels({item.id: "other" for item in items[:1]}, source="user")

    with _folder() as folder:

        def run(data):
            place = folder / "gallery"
            place.mkdir()
            (place / "vectors-1.bin").write_bytes(bytes(3 * 192 * 4))
            whole = data.startswith(b"SQLite format 3")
            (place / "catalogue.sqlite").write_bytes(data if whole else sound)
            if not whole:
                name, _, body = (part.decode("utf-8", "replace") for part in data.partition(b"\0"))
                with contextlib.closing(
                    sqlite3.connect(place / "catalogue.sqlite", isolation_level=None)
                ) as db:
                    row = (name, body, 0)
                    db.execute("INSERT OR REPLACE INTO documents VALUES (?, ?, ?)", row)
            try:
                # A damaged page shows wherever it is read: sqlite3's own errors are told as such.
                with contextlib.suppress(HoundsightError, sqlite3.Error):
                    use(place)
            finally:
                shutil.rmtree(place)

        yield run


@contextlib.contextmanager
def upload() -> Iterator[Target]:
    """The body of a form with photos, handed in by HTTP."""
    from calling import HOST, call

    from fakes import fake_embedder, write_photo
    from houndsight.gallery import Gallery
    from houndsight.indexing import index
    from houndsight.web.app import make_app
    from houndsight.web.desk import Desk
    from houndsight.web.guard import Rules, Sessions

    with _folder() as folder, contextlib.ExitStack() as stack:
        for n in range(3):
            write_photo(folder / "photos" / "pug" / f"{n}.jpg", n)
        index(folder / "photos", folder / "gallery", embedder=fake_embedder())
        library = stack.enter_context(Gallery(folder / "gallery"))
        desk = Desk(library, fake_embedder())
        stack.callback(desk.close)
        app = make_app(desk, Rules(), Sessions())
        loop = stack.enter_context(asyncio.Runner())

        def run(data):
            headers = [
                HOST,
                ("content-type", "multipart/form-data; boundary=b"),
                ("content-length", str(len(data))),
                ("accept", "application/json"),
            ]
            for path in ("/api/search", "/api/classify"):
                asked = call(app, "POST", path, headers=headers, chunks=[data], then="end")
                reply = loop.run(asked)
                assert reply.status_code < 500, reply.text[:500]

        yield run


TARGETS = {
    "photo": photo,
    "weights": weights,
    "network": network,
    "labels": labels,
    "gallery": gallery,
    "upload": upload,
}


def quiet() -> None:
    """Leave out what libraries say of odd files: it is of no interest here."""
    warnings.simplefilter("ignore")


def seeds(target: str) -> list[bytes]:
    """The small files that fuzzing begins with."""
    return [path.read_bytes() for path in sorted((corpus.CORPUS / target).iterdir())]


def ends_well(run: Target, data: bytes) -> None:
    """Run a target, with what it prints thrown away."""
    with contextlib.redirect_stderr(io.StringIO()):
        run(data)
