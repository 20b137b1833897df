"""Makes the small files that fuzzing begins with: `python tests/fuzz/corpus.py`.

They are in tests/fuzz/corpus, a folder for each target. What fuzzing found is in the tests.
"""

import io
import json
import pickle
import sqlite3
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
TESTS = HERE.parent
CORPUS = HERE / "corpus"
sys.path[:0] = [str(TESTS), str(TESTS / "models"), str(TESTS / "web")]


def photos():
    import numpy as np
    import pillow_heif
    from PIL import Image

    from dng import dng
    from fakes import draw, encoded

    small = draw(1, (24, 18))
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"):
        yield kind.lower(), encoded(small, kind)
    turned = Image.Exif()
    turned[0x0112] = 6
    yield "progressive.jpeg", encoded(small, "JPEG", progressive=True, exif=turned)
    yield "palette.png", encoded(small.quantize(8), "PNG")
    yield (
        "deep.png",
        encoded(Image.fromarray(np.arange(120, dtype=np.uint16).reshape(10, 12)), "PNG"),
    )
    for compression in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg"):
        yield f"{compression}.tiff", encoded(small, "TIFF", compression=compression)
    yield "frames.gif", encoded(small, "GIF", save_all=True, append_images=[draw(2, (24, 18))])
    buffer = io.BytesIO()
    pillow_heif.from_pillow(small).save(buffer, quality=50)
    yield "heic", buffer.getvalue()
    yield "dng", dng(np.arange(64 * 48, dtype=np.uint16).reshape(48, 64))


def weights():
    import h5py
    import numpy as np
    from handwritten import sample

    for name in ("zip.pth", "zip-legacy.pth", "tensors"):
        yield name, sample(name)
    for protocol in (0, 2, 4):
        yield f"pickle-{protocol}", pickle.dumps({"a": [1, 2.5, "b"]}, protocol)
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["a/a/kernel:0"] = np.arange(6, dtype="f4")
    yield "h5", buffer.getvalue()


def networks():
    from networks import network

    for name in ("map", "tokens", "pooled"):
        yield f"{name}.onnx", network((name,)).SerializeToString()


def labels():
    yield "plain", b"path,label\na.jpg,beagle\nb.jpg,collie\n"
    yield "quoted", '\ufeffpath,label,more\r\n"a,b.jpg","sch\u00e4fer ""x""",1\r\n'.encode()
    yield "paths", b"label,path\npug,/photos/../a.jpg\npug,./b.jpg\n\n,c.jpg\n"
    yield "bytes", b"path,label\n\xff\xfe.jpg,caf\xe9\n"


def catalogues():
    from fakes import fake_embedder, write_photo
    from houndsight.indexing import index

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for n in range(3):
            write_photo(place / "photos" / "pug" / f"{n}.jpg", n)
        index(place / "photos", place / "gallery", embedder=fake_embedder())
        with sqlite3.connect(place / "gallery" / "catalogue.sqlite", isolation_level=None) as db:
            # The folder that it was made in is of no use to anybody.
            place_of = {"roots": {"1": {"place": "/photos", "labels": "folder"}}}
            db.execute(
                "UPDATE documents SET body = ? WHERE name = 'roots'",
                (json.dumps(place_of["roots"]),),
            )
            db.execute("PRAGMA journal_mode = DELETE")
            db.execute("PRAGMA page_size = 512")
            db.execute("VACUUM")
            bodies = db.execute("SELECT name, body FROM documents").fetchall()
        db.close()
        yield "sqlite", (place / "gallery" / "catalogue.sqlite").read_bytes()
    yield from ((f"{name}.json", f"{name}\0{body}".encode()) for name, body in bodies)
    yield "metric.json", b'metric\0{"chosen": ["own@1"]}'
    yield "skipped.json", b'skipped/1/612e6a7067\0{"reason": "is empty"}'
    yield (
        "indexing.json",
        b'indexing\0{"done": 1, "total": 2, "seconds": 1.5, "time": "2026-01-01T00:00:00+00:00"}',
    )
    import numpy as np

    from houndsight.maps import Map

    parts = (np.zeros(192), np.eye(192, 1), np.zeros((192, 1)), np.zeros(1))
    body = {"map": Map("own@1", *parts, ("pug",), 1.0, 0.5).document(), "made": {}}
    yield "space.json", b"spaces/own@1\0" + json.dumps(body).encode()


def uploads():
    from fakes import draw, encoded

    def form(*parts):
        return (
            b"".join(b"--b\r\n" + head + b"\r\n\r\n" + body + b"\r\n" for head, body in parts)
            + b"--b--\r\n"
        )

    about = b'Content-Disposition: form-data; name="'
    image = about + b'image"; filename="a.jpg"\r\nContent-Type: image/jpeg'
    photo = encoded(draw(1, (16, 12)), "JPEG", quality=20)
    yield "photo", form((image, photo))
    yield "fields", form((image, photo), (about + b'k"', b"3"), (about + b'label"', b"pug"))
    yield "crop", form((image, photo), (about + b'crop"', b"0,0,8,8"))
    yield "two", form((image, photo), (image, photo), (about + b'combine"', b"mean"))
    star = about + b"image\"; filename*=UTF-8''a%0d%0a.jpg"
    yield "names", form((star, b"x"), (about + b'query"', b"0" * 16))


MAKERS = {
    "photo": photos,
    "weights": weights,
    "network": networks,
    "labels": labels,
    "gallery": catalogues,
    "upload": uploads,
}


def main():
    for target, maker in MAKERS.items():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in maker():
            (folder / name).write_bytes(data)


if __name__ == "__main__":
    main()
