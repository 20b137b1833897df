"""Checkpoints that contradict themselves, or are damaged, are refused and cost nothing."""

import io
import pickle
import struct
import zipfile
import zlib

import numpy as np
import pytest
from handwritten import (
    FOUR,
    SAMPLES,
    both,
    dictionary,
    legacy,
    number,
    sample,
    string,
    tensor,
    write,
    zipped,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from houndsight.errors import CheckpointError
from houndsight.models import pytorch
from houndsight.models.checkpoint import read_checkpoint


def test_the_pickles_written_by_hand_are_right(tmp_path):
    for content in both(dictionary(a=tensor(), b=tensor(shape=(2, 2), strides=(1, 2)))):
        read = read_checkpoint(write(tmp_path / "a", content))
        np.testing.assert_array_equal(read["a"], [1, 2, 3, 4])
        np.testing.assert_array_equal(read["b"], [[1, 3], [2, 4]])


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("DoubleStorage", "<f8"),
        ("FloatStorage", "<f4"),
        ("HalfStorage", "<f2"),
        ("LongStorage", "<i8"),
        ("IntStorage", "<i4"),
        ("ShortStorage", "<i2"),
        ("CharStorage", "|i1"),
        ("ByteStorage", "|u1"),
        ("BoolStorage", "|b1"),
    ],
)
def test_every_kind_of_storage(tmp_path, kind, code):
    values = np.array([0, 1, 1, 0, 1, 0], code) if code == "|b1" else np.arange(6).astype(code)
    odd = {"count": 6, "kind": kind, "offset": 1, "shape": (2, 2), "strides": (1, 3)}
    for content in both(dictionary(a=tensor(**odd)), values.tobytes(), count=6):
        read = read_checkpoint(write(tmp_path / "a", content))["a"]
        assert read.dtype == (np.float32 if values.dtype.kind == "f" else values.dtype)
        assert read.tolist() == [[values[1], values[4]], [values[2], values[5]]]


def test_bfloat16_is_the_upper_half_of_a_float32(tmp_path):
    upper = np.array([0x3F80, 0xC020, 0x0000, 0x4040], "<u2")  # 1, -2.5, 0, 3
    pickled = dictionary(a=tensor(kind="BFloat16Storage"))
    for content in both(pickled, upper.tobytes(), count=4):
        read = read_checkpoint(write(tmp_path / "a", content))["a"]
        assert read.dtype == np.float32
        assert read.tolist() == [1, -2.5, 0, 3]


def test_tensors_may_grow_to_eight_times_the_file_and_no_further(tmp_path):
    """Each number counts as the four bytes of a float32, also of tensors that share a storage."""

    def content(*counts):
        shared = {"count": 4000, "kind": "ByteStorage"}
        items = {f"t{n:02}": tensor(shape=(count,), **shared) for n, count in enumerate(counts)}
        made = zipped(dictionary(**items), {"0": bytes(4000)})
        return made + bytes(len(made) % 2)  # after an archive is nothing that counts, but its size

    for many in range(2, 20):
        size = len(content(*[4000] * many))
        rest = 2 * size - 4000 * (many - 1)
        if 0 < rest < 4000:
            break
    most = content(*[4000] * (many - 1), rest)
    assert len(most) == size
    assert len(read_checkpoint(write(tmp_path / "a", most))) == many
    with pytest.raises(CheckpointError, match="more data than it holds"):
        read_checkpoint(write(tmp_path / "a", content(*[4000] * (many - 1), rest + 1)))


def test_what_is_no_tensor_is_left_out(tmp_path):
    pickled = dictionary(epoch=number(3), a=tensor(), note=string("b"), more=b"}")
    pickled = pickled[:-2] + number(1) + tensor() + b"u."
    for content in both(pickled):
        assert list(read_checkpoint(write(tmp_path / "a", content))) == ["a"]
    for content in both(b"\x80\x02" + number(3) + b"."):
        with pytest.raises(CheckpointError, match="no dictionary of tensors"):
            read_checkpoint(write(tmp_path / "a", content))
    for content in both(dictionary(epoch=number(3))):
        with pytest.raises(CheckpointError, match="no tensors"):
            read_checkpoint(write(tmp_path / "a", content))


@pytest.mark.parametrize("names", [("model",), ("state_dict", "model"), ("model",) * 3])
def test_a_state_dict_is_found_within_three_others(tmp_path, names):
    inner = dictionary(a=tensor())
    for name in names:
        inner = dictionary(epoch=number(1), **{name: inner[2:-1]})
    for content in both(inner):
        assert read_checkpoint(write(tmp_path / "a", content))["a"].tolist() == [1, 2, 3, 4]
    if len(names) == 3:
        for content in both(dictionary(model=inner[2:-1])):
            with pytest.raises(CheckpointError, match="no tensors"):
                read_checkpoint(write(tmp_path / "a", content))


HUGE = 1 << 60


@pytest.mark.parametrize(
    "odd",
    [
        {"offset": 1},
        {"offset": -1},
        {"shape": (5,)},
        {"shape": (-4,)},
        {"shape": (2,), "strides": (4,)},
        {"shape": (2,), "strides": (-1,), "offset": 1},
        {"shape": (8,), "strides": (0,)},
        {"shape": (1 << 39,), "strides": (0,)},
        {"shape": (HUGE,)},
        {"strides": (HUGE,)},
        {"offset": HUGE},
        {"count": 3, "shape": (3,)},
        {"count": HUGE},
        {"count": 1 << 39},
        {"count": -4},
        {"shape": (2, 2)},
        {"shape": (1,) * 65, "strides": (1,) * 65},
        {"kind": "DoubleStorage"},
        {"kind": "ComplexFloatStorage"},
        {"key": "1"},
        {"key": "../data.pkl"},
        {"view": b"(" + string("1") + number(0) + number(4) + b"t"},
    ],
)
def test_tensors_beyond_their_storage_are_refused(tmp_path, odd):
    for content in both(dictionary(a=tensor(**odd))):
        with pytest.raises(CheckpointError):
            read_checkpoint(write(tmp_path / "a", content))


def test_one_storage_has_one_size(tmp_path):
    for content in both(dictionary(a=tensor(), b=tensor(count=2, shape=(2,)))):
        with pytest.raises(CheckpointError, match="two ways"):
            read_checkpoint(write(tmp_path / "a", content))


def test_storages_that_the_description_does_not_have_are_refused(tmp_path):
    (told, _) = both(dictionary(a=tensor()))
    for key in (string("1"), b"K\x00", b"]"):
        content = told.replace(pickle.dumps(["0"], 2), b"\x80\x02]" + key + b"a.")
        assert content != told
        with pytest.raises(CheckpointError, match=r"another size than it says|damaged"):
            read_checkpoint(write(tmp_path / "a", content))
    content = told.replace(pickle.dumps(["0"], 2), pickle.dumps(["1"], 2))
    with pytest.raises(CheckpointError, match="another size than it says"):
        read_checkpoint(write(tmp_path / "a", content))


def test_storages_that_no_tensor_needs_are_there_all_the_same(tmp_path):
    pickled = dictionary(a=tensor(), more=b"]" + tensor(key="1") + b"a")
    storages = 2 * (struct.pack("<q", 4) + FOUR)
    content = legacy(pickled, ["0", "1"], storages)
    assert read_checkpoint(write(tmp_path / "a", content))["a"].tolist() == [1, 2, 3, 4]
    with pytest.raises(CheckpointError, match="ends too early"):
        read_checkpoint(write(tmp_path / "a", content[:-1]))


def test_a_storage_shared_a_thousand_times_is_refused(tmp_path):
    # Each would be a copy, as half precision becomes float32.
    storage = np.ones(50_000, "<f2").tobytes()
    half = tensor(count=50_000, shape=(50_000,), kind="HalfStorage")
    content = zipped(dictionary(**{f"t{i}": half for i in range(100)}), {"0": storage})
    with pytest.raises(CheckpointError, match="more data than it holds"):
        read_checkpoint(write(tmp_path / "a", content))


def test_compressed_archives_are_refused(tmp_path):
    pickled = dictionary(a=tensor(count=1 << 20, shape=(1 << 20,)))
    content = zipped(pickled, {"0": bytes(4 << 20)}, zipfile.ZIP_DEFLATED)
    assert len(content) < 10_000
    with pytest.raises(CheckpointError, match="compressed"):
        read_checkpoint(write(tmp_path / "a", content))


def test_compressed_entries_are_refused_though_no_smaller(tmp_path):
    rng = np.random.default_rng(0)
    # Half zeros: some of these are as long when compressed.
    draws = (rng.integers(0, 256, n, np.uint8).tobytes() + bytes(n) for n in range(1, 99))
    data = next(one for one in draws if len(zlib.compress(one, wbits=-15)) == len(one))
    count = len(data)
    pickled = dictionary(a=tensor(count=count, shape=(count,), kind="ByteStorage"))
    stored = write(tmp_path / "stored", zipped(pickled, {"0": data}))
    assert read_checkpoint(stored)["a"].tobytes() == data
    with zipfile.ZipFile(tmp_path / "a", "w") as archive:
        archive.writestr("a/data.pkl", pickled)
        archive.writestr("a/data/0", data, zipfile.ZIP_DEFLATED)
        info = archive.getinfo("a/data/0")
        assert info.compress_size == info.file_size
    with pytest.raises(CheckpointError, match="compressed"):
        read_checkpoint(tmp_path / "a")


def test_entries_larger_than_their_archive_are_refused_before_they_are_read(tmp_path):
    count = 1 << 28
    content = zipped(dictionary(a=tensor(count=count)), {"0": FOUR})
    # In the directory: the size as stored and the size, twenty bytes after an entry's beginning.
    entry = content.rindex(b"PK\x01\x02")
    lie = struct.pack("<II", 4 * count, 4 * count)
    content = content[: entry + 20] + lie + content[entry + 28 :]
    with pytest.raises(CheckpointError, match="ends too early"):
        read_checkpoint(write(tmp_path / "a", content))


def test_no_description_is_longer_than_any_honest_one(tmp_path, monkeypatch):
    pickled = dictionary(a=tensor())
    path = write(tmp_path / "a", zipped(pickled, {"0": FOUR}))
    monkeypatch.setattr(pytorch, "_MAX_PICKLE", len(pickled))
    assert read_checkpoint(path)["a"].tolist() == [1, 2, 3, 4]
    monkeypatch.setattr(pytorch, "_MAX_PICKLE", len(pickled) - 1)
    with pytest.raises(CheckpointError, match="description is too long"):
        read_checkpoint(path)


@pytest.mark.parametrize("name", ["a/constants.pkl", "a/code/__torch__.py"])
def test_programs_are_named(tmp_path, name):
    path = write(tmp_path / "a", zipped(dictionary(a=tensor()), {"0": FOUR}))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, b"")
    with pytest.raises(CheckpointError, match="TorchScript"):
        read_checkpoint(path)


def test_overlapping_entries_are_refused(tmp_path):
    """Two entries of the directory that point at the same bytes."""
    storage = bytes(4000)
    pickled = dictionary(
        a=tensor(count=1000, shape=(1000,)), b=tensor(count=1000, shape=(1000,), key="1")
    )
    content = zipped(pickled, {"0": storage, "1": storage})
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        first, second = (archive.getinfo(f"a/data/{key}").header_offset for key in "01")
    place = content.rindex(struct.pack("<I", second), 0, content.rindex(b"a/data/1"))
    content = content[:place] + struct.pack("<I", first) + content[place + 4 :]
    with pytest.raises(CheckpointError):
        read_checkpoint(write(tmp_path / "a", content))


def test_entries_within_entries_are_refused(tmp_path):
    """Each storage holds the next one with its header: together they are more than the archive."""

    def local(name, data):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(name, data)
        head = 30 + len(name)
        return bytes(-head % 4) + file.getvalue()[: head + len(data)]

    inner = [bytes(4000)]
    for key in "321":
        inner.insert(0, local(f"a/data/{key}", inner[0]))
    pickled = dictionary(
        **{
            f"t{key}": tensor(count=len(data) // 4, shape=(len(data) // 4,), key=str(key))
            for key, data in enumerate(inner)
        }
    )
    path = write(tmp_path / "a", zipped(pickled, {"0": inner[0]}))
    with zipfile.ZipFile(path, "a") as archive:
        outer = archive.getinfo("a/data/0")
        end = outer.header_offset + 30 + len(outer.filename) + outer.file_size
        for key, data in enumerate(inner[1:], 1):
            nested = zipfile.ZipInfo(f"a/data/{key}")
            nested.header_offset = end - len(data) - 30 - len(nested.filename)
            nested.CRC, nested.file_size = zlib.crc32(data), len(data)
            nested.compress_size = nested.file_size
            archive.filelist.append(nested)
        archive._didModify = True
    # Newer zipfile refuses them itself, as damaged.
    with pytest.raises(CheckpointError, match=r"another size than it says|damaged"):
        read_checkpoint(path)


def test_big_endian_is_refused(tmp_path):
    content = zipped(dictionary(a=tensor()), {"0": FOUR}, order=b"big")
    with pytest.raises(CheckpointError, match="big-endian"):
        read_checkpoint(write(tmp_path / "a", content))
    content = both(dictionary(a=tensor()))[0].replace(
        b"little_endianq\x01\x88", b"little_endianq\x01\x89"
    )
    with pytest.raises(CheckpointError, match="big-endian"):
        read_checkpoint(write(tmp_path / "a", content))


# ---------------------------------------------------------------- damage


def read_or_refuse(path):
    try:
        read = read_checkpoint(path)
    except CheckpointError:
        return
    assert all(isinstance(array, np.ndarray) for array in read.values())


@pytest.mark.parametrize("name", SAMPLES)
def test_truncated_files_are_refused(tmp_path, name):
    content = sample(name)
    path = tmp_path / "cut"
    step = max(1, len(content) // 300)
    for length in [*range(0, len(content), step), len(content) - 1]:
        with pytest.raises(CheckpointError):
            read_checkpoint(write(path, content[:length]))


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("damage") / "file"


@pytest.mark.parametrize("name", SAMPLES)
@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_damaged_bytes_never_surprise(scratch, name, data):
    content = bytearray(sample(name))
    # Half of the places near the ends, where headers and directories are.
    ends = st.integers(0, 600) | st.integers(-600, -1)
    places = st.one_of(st.integers(0, len(content) - 1), ends)
    flips = st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=6)
    for place, value in data.draw(flips):
        content[place % len(content)] = value
    read_or_refuse(write(scratch, bytes(content)))


@settings(deadline=None, max_examples=300)
@given(opcodes=st.binary(max_size=200))
def test_random_pickles_never_surprise(scratch, opcodes):
    read_or_refuse(write(scratch, zipped(b"\x80\x02" + opcodes + b".", {"0": FOUR})))
