"""Stand-ins for the network, and small photos: fast, and dependent on the image's content."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from houndsight.embedder import Embedder
from houndsight.errors import ModelError
from houndsight.models.spec import ModelSpec

GRID = 8
DIM = 3 * GRID * GRID

FAKE = ModelSpec(
    name="fake",
    architecture="fake",
    url=None,
    filename="fake.pth",
    size=0,
    sha256="0" * 64,
    package=None,
    input_size=32,
    resize="squash",
    scale=1 / 255,
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    channels="RGB",
    layer="grid",
    dim=DIM,
    licence="CC0-1.0",
    about="Means over an 8 x 8 grid",
)


class FakeRuntime:
    """Means over an 8 x 8 grid of the pixels, channel by channel: float32 (n, 192).

    `map` is the vector, repeated over (h / 32, w / 32). Counts `runs` and `images`.
    """

    device = "fake"
    outputs = ("vector", "map")

    def __init__(self):
        self.versions = {"fake": "1"}
        self.runs = 0
        self.images = 0

    def single(self):
        return self

    def run(self, pixels, outputs):
        count, channels, high, wide = pixels.shape
        assert pixels.dtype == np.float32
        assert channels == 3
        assert count > 0
        self.runs += 1
        self.images += count
        rows = np.array_split(np.arange(high), GRID)
        columns = np.array_split(np.arange(wide), GRID)
        cells = [pixels[:, :, r[0] : r[-1] + 1, c[0] : c[-1] + 1] for r in rows for c in columns]
        vector = np.stack([cell.mean(axis=(2, 3)) for cell in cells], axis=2).reshape(count, DIM)
        spread = (count, DIM, high // 32, wide // 32)
        made = {
            "vector": vector.astype(np.float32),
            "map": np.broadcast_to(vector[:, :, None, None], spread).astype(np.float32),
        }
        lacking = [name for name in outputs if name not in made]
        if lacking:
            raise ModelError(f"the graph has no output {lacking[0]!r}")
        return [made[name] for name in outputs]


def fake_embedder(*, runtime=None, weights_digest="0" * 64, model=FAKE, **settings):
    """Return an Embedder without a network; `settings` as for `Embedder`."""
    return Embedder(model, runtime or FakeRuntime(), weights_digest=weights_digest, **settings)


def draw(seed, size=(48, 40)):
    """Return a small RGB photo: smooth, unlike that of any other seed, without symmetry."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def encoded(image, kind="JPEG", **options):
    """Return an image as the bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def upright(rows, orientation):
    """Return stored pixels, (h, w) or (h, w, 3), as they are to be seen: TIFF 6.0, Orientation."""
    columns = rows.swapaxes(0, 1)
    return {
        1: rows,
        2: rows[:, ::-1],
        3: rows[::-1, ::-1],
        4: rows[::-1],
        5: columns,
        6: columns[:, ::-1],
        7: columns[::-1, ::-1],
        8: columns[::-1],
    }[orientation]


def write_photo(path, seed, size=(48, 40), kind="JPEG", **options):
    """Write the photo of a seed to a file, its folders made; return its bytes."""
    data = encoded(draw(seed, size), kind, **options)
    os.makedirs(os.path.dirname(os.fspath(path)), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)
    return data


INDEXING = """
import sys, time
sys.path.insert(0, {tests!r})
from fakes import fake_embedder
from houndsight import index
embedder = fake_embedder()
run = embedder.runtime.run
def slow(pixels, outputs):
    time.sleep({wait!r})
    return run(pixels, outputs)
embedder.runtime.run = slow
def progress(now):
    print(now.done, flush=True)
index({photos!r}, {gallery!r}, embedder=embedder, progress=progress)
"""


def start_indexing(photos, gallery, *, wait):
    """Start a process that indexes with the fake network, which waits so long before each batch.

    After each commit it prints how many photos are done.
    """
    tests, photos, gallery = map(str, (Path(__file__).parent, photos, gallery))
    code = INDEXING.format(tests=tests, photos=photos, gallery=gallery, wait=wait)
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
