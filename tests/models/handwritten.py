"""Writes checkpoints by hand, so that they can be wrong in any way."""

import io
import json
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np

FILES = Path(__file__).parents[1] / "fixtures" / "checkpoints"
SAMPLES = ["zip.pth", "zip-legacy.pth", "training.pth", "training-legacy.pth", "tensors"]


def write(path, content):
    path.write_bytes(content)
    return path


def tensors_file(arrays, dtype="F32"):
    """A safetensors file, written by hand."""
    header, data = {"__metadata__": {"format": "np"}}, b""
    for name, array in arrays.items():
        raw = array.tobytes()
        header[name] = {
            "dtype": dtype,
            "shape": array.shape,
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    encoded = json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + data


def sample(name):
    if name == "tensors":
        arrays = {"a": np.arange(6, dtype="<f4").reshape(2, 3), "b": np.ones(4, "<f4")}
        return tensors_file(arrays)
    return (FILES / name).read_bytes()


def legacy(pickled, keys=(), storages=b""):
    head = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    return (
        b"".join(pickle.dumps(value, 2) for value in head)
        + pickled
        + pickle.dumps(list(keys), 2)
        + storages
    )


def zipped(pickled, storages=None, compression=zipfile.ZIP_STORED, order=b"little"):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("a/data.pkl", pickled)
        archive.writestr("a/byteorder", order)
        for name, data in (storages or {}).items():
            archive.writestr(f"a/data/{name}", data)
    return file.getvalue()


def string(text):
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def number(value):
    return b"\x8a" + bytes([9]) + value.to_bytes(9, "little", signed=True)


def integers(*values):
    return b"(" + b"".join(number(value) for value in values) + b"t"


def tensor(count=4, offset=0, shape=(4,), strides=(1,), kind="FloatStorage", key="0", view=b""):
    storage = b"(" + string("storage") + f"ctorch\n{kind}\n".encode() + string(key)
    storage += string("cpu") + number(count) + view + b"tQ"
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + storage
        + number(offset)
        + integers(*shape)
        + integers(*strides)
        + b"\x89NtR"
    )


def dictionary(**items):
    return b"\x80\x02}(" + b"".join(string(k) + v for k, v in items.items()) + b"u."


FOUR = np.array([1, 2, 3, 4], "<f4").tobytes()


def both(pickled, storage=FOUR, count=None):
    count = len(storage) // 4 if count is None else count
    return [
        legacy(pickled, ["0"], struct.pack("<q", count) + storage),
        zipped(pickled, {"0": storage}),
    ]
