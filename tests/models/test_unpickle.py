"""The stack machine by itself: what it makes of each instruction, and why it refuses."""

import io
import pickle
import pickletools
import struct
from collections import OrderedDict

import pytest
from handwritten import dictionary, integers, number, string, tensor

from houndsight.models import unpickle as module
from houndsight.models.unpickle import STORAGE_DTYPES, Refused, Storage, Tensor, unpickle

LIMIT = 1 << 40


def glob(name):
    return f"c{name.replace(' ', chr(10))}\n".encode()


FLOAT = glob("torch FloatStorage")
FOUR = Storage("0", "<f4", 4)
STORAGE = b"(" + string("storage") + FLOAT + string("0") + string("cpu") + number(4) + b"tQ"
ORDERED = glob("collections OrderedDict")
TENSOR = glob("torch._utils _rebuild_tensor_v2")
PARAMETER = glob("torch._utils _rebuild_parameter")
SIZE = glob("torch Size")


def read(*parts):
    return unpickle(io.BytesIO(b"\x80\x02" + b"".join(parts) + b"."))


# ---------------------------------------------------------------- what is read


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize(
    "value",
    [
        *[None, True, False, 0, 255, 65535, -1, 1 << 31, -(1 << 62), 1 << 2100, 1.5],
        *["", "é" * 300, (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
        *[[], [1], [1, [2, []]], {}, {"a": 1}, {"a": 1, 2: [3], 0.5: {}}],
        ["again", "again", ["again"]],
        [str(n) for n in range(600)],
        {n: str(n) for n in range(3000)},
    ],
    ids=lambda value: type(value).__name__,
)
def test_plain_values_are_what_python_reads(value, protocol):
    got = unpickle(io.BytesIO(pickle.dumps(value, protocol)))
    assert repr(got) == repr(value)


@pytest.mark.parametrize("value", [b"", b"a" * 300, {b"key": b"b"}])
def test_bytes_are_what_python_reads(value):
    assert unpickle(io.BytesIO(pickle.dumps(value, 3))) == value
    with pytest.raises(Refused, match="_codecs"):  # protocol 2 writes them as a call
        unpickle(io.BytesIO(pickle.dumps(value or b"a", 2)))


def test_ordered_dicts_and_what_hangs_on_them():
    ordered = OrderedDict(a=1, b=[2])
    ordered._metadata = {"version": 1}
    for protocol in (2, 4):
        got = unpickle(io.BytesIO(pickle.dumps(ordered, protocol)))
        assert dict(got) == {"a": 1, "b": [2]}
        assert not hasattr(got, "_metadata")
    pairs = b"](" + string("a") + b"K\x01\x86]" + b"(" + string("b") + b"K\x02ee"
    assert read(ORDERED, pairs, b"\x85R") == {"a": 1, "b": 2}
    assert read(ORDERED, b")R") == {}
    assert read(ORDERED, b")\x85R") == {}


@pytest.mark.parametrize(("name", "dtype"), STORAGE_DTYPES.items())
def test_a_tensor_of_each_kind(name, dtype):
    got = read(dictionary(a=tensor(kind=name.split()[1]))[2:-1])
    assert got == {"a": Tensor(Storage("0", dtype, 4), 0, (4,), (1,))}


def test_tensors_and_parameters_with_more_or_fewer_arguments():
    four = TENSOR + b"(" + STORAGE + number(1) + integers(3) + integers(1)
    expected = Tensor(FOUR, 1, (3,), (1,))
    assert read(four, b"tR") == expected
    assert read(four, b"\x89NtR") == expected  # requires_grad, hooks
    assert read(four, b"\x89N}tR") == expected  # and metadata
    assert read(PARAMETER, four, b"tR\x85R") == expected
    assert read(PARAMETER, b"(", four, b"tR\x88NtR") == expected
    six = STORAGE[:-2] + b"NtQ"  # a view of no other storage
    assert read(six) == read(STORAGE) == FOUR


def test_sizes():
    assert read(SIZE, b")R") == ()
    assert read(SIZE, integers(2, 3), b"\x85R") == (2, 3)
    assert read(SIZE, integers(*range(64)), b"\x85R") == tuple(range(64))
    assert read(SIZE, integers(LIMIT - 1), b"\x85R") == (LIMIT - 1,)


def test_storages_are_entered_by_key():
    storages = {}
    other = STORAGE.replace(string("0"), string("1"))
    unpickle(io.BytesIO(b"\x80\x02(" + STORAGE + other + STORAGE + b"t."), storages)
    assert storages == {"0": FOUR, "1": Storage("1", "<f4", 4)}


def test_it_reads_one_pickle_and_no_further():
    file = io.BytesIO(pickle.dumps([1], 2) + pickle.dumps("two", 4) + b"rest")
    assert [unpickle(file), unpickle(file), file.read()] == [[1], "two", b"rest"]


def test_keys_of_64_bits_and_no_more():
    for key in ((1 << 64) - 1, -(1 << 64) + 1):
        assert read(b"}", number(key), b"Ns") == {key: None}
    with pytest.raises(Refused, match="odd key"):
        read(b"}", number(1 << 64), b"Ns")


# ---------------------------------------------------------------- what is refused, and why


ZERO, ONE_AXIS, STEP = number(0), integers(4), integers(1)


def odd_tensor(storage=STORAGE, offset=ZERO, shape=ONE_AXIS, strides=STEP):
    return TENSOR + b"(" + storage + offset + shape + strides + b"tR"


def listed(value):
    return b"](" + number(value) + b"e"


@pytest.mark.parametrize(
    ("cause", "parts"),
    [
        ("impossible size", [odd_tensor(offset=number(-1))]),
        ("impossible size", [odd_tensor(offset=number(LIMIT))]),
        ("impossible size", [odd_tensor(offset=b"\x88")]),
        ("impossible size", [odd_tensor(offset=b"G" + struct.pack(">d", 0))]),
        ("impossible size", [SIZE, integers(LIMIT), b"\x85R"]),
        ("impossible size", [STORAGE[:-2].replace(number(4), number(LIMIT)), b"tQ"]),
        ("impossible shape", [odd_tensor(shape=listed(4))]),
        ("impossible shape", [odd_tensor(strides=listed(1))]),
        ("impossible shape", [odd_tensor(shape=integers(2, 2))]),
        ("impossible shape", [SIZE, integers(*[1] * 65), b"\x85R"]),
        ("impossible shape", [SIZE, listed(4), b"\x85R"]),
        ("a tensor in an unknown way", [TENSOR, b")R"]),
        ("a tensor in an unknown way", [TENSOR, STORAGE, b"\x85R"]),
        ("a tensor in an unknown way", [TENSOR, STORAGE, number(0), integers(4), b"\x87R"]),
        ("a tensor in an unknown way", [odd_tensor(storage=string("0"))]),
        ("a parameter in an unknown way", [PARAMETER, b")R"]),
        ("a parameter in an unknown way", [PARAMETER, STORAGE, b"\x85R"]),
        ("a parameter in an unknown way", [PARAMETER, b"}", odd_tensor(), b"\x86R"]),
        ("an ordered dict in an unknown way", [ORDERED, b"](", string("ab"), b"e\x85R"]),
        ("an ordered dict in an unknown way", [ORDERED, b"](K\x01\x85e\x85R"]),
        ("an ordered dict in an unknown way", [ORDERED, b"](K\x01K\x01K\x01\x87e\x85R"]),
        ("an ordered dict in an unknown way", [ORDERED, b"}(K\x01K\x02u}\x86R"]),
        ("odd key", [ORDERED, b"](", b")N\x86e\x85R"]),
        ("odd key", [b"})Ns"]),
        ("odd key", [b"}NNs"]),
        ("asks for 'os.system'", [glob("os system")]),
        ("asks for 'torch.nn'", [glob("torch nn")]),
        ("asks for 'torch.SizeX'", [b"ctorch\nSizeX\n"]),
        ("asks for", [b"ctorch \nSize\n"]),
        ("asks for", [b"ctorch\r\nSize\r\n"]),
        ("asks for 'os.system'", [string("os"), string("system"), b"\x93"]),
        ("asks for a name", [string("torch"), b"N\x93"]),
        ("asks for a name", [b"N", string("Size"), b"\x93"]),
        ("not a storage", [string("stora"), b"Q"]),
        ("not a storage", [STORAGE.replace(string("storage"), string("module"))]),
        ("not a storage", [STORAGE[:-2], b"NNtQ"]),
        ("not a storage", [STORAGE[:-2].replace(number(4), b""), b"tQ"]),
        ("not a storage", [STORAGE.replace(b"(", b"](", 1)[:-2], b"eQ"]),
        ("unknown kind", [STORAGE.replace(FLOAT, string("torch FloatStorage"))]),
        ("unknown kind", [STORAGE.replace(FLOAT, SIZE)]),
        ("part of another", [STORAGE.replace(string("0"), b"K\x00")]),
        ("part of another", [STORAGE[:-2], string("a"), b"tQ"]),
        ("two ways", [b"(", STORAGE, STORAGE.replace(number(4), number(5)), b"t"]),
        ("runs empty", [b"\x85"]),
        ("runs empty", [b"K\x01\x86"]),
        ("runs empty", [b"K\x01(\x85"]),
        ("runs empty", [b"q\x00"]),
        ("did not open", [b"K\x01t"]),
        ("did not open", [b"(tt"]),
        ("dictionary that is none", [b"]K\x01K\x02s"]),
        ("dictionary that is none", [b"}(K\x01u"]),
        ("list that is none", [b"}K\x01a"]),
        ("list that is none", [b")(K\x01e"]),
        ("not a function", [string("torch Size"), b")R"]),
        ("not a function", [FLOAT, b")R"]),
        ("without arguments", [ORDERED, b"]R"]),
        ("did not keep", [b"K\x01q\x01h\x02"]),
        ("attributes of an object", [b"}}b"]),
        ("attributes of an object", [ORDERED, b"}b"]),
        ("values left over", [b"K\x01K\x02"]),
        ("values left over", [b""]),
        ("values left over", [b"K\x01("]),
        ("do not need", [b"K\x01K\x010"]),
        ("do not need", [b"\xff"]),
    ],
)
def test_each_is_refused_for_its_own_reason(cause, parts):
    with pytest.raises(Refused, match=cause):
        read(*parts)


def test_a_pickle_without_end():
    for content in (b"", b"\x80\x02", b"\x80\x02K\x01"):
        with pytest.raises(Refused, match="no end"):
            unpickle(io.BytesIO(content))
    with pytest.raises(ValueError, match="not enough data"):
        unpickle(io.BytesIO(b"\x80\x02J\x01"))


def test_a_limit_of_instructions(monkeypatch):
    content = pickle.dumps([1, 2, 3, 4], 2)  # PROTO ] q ( K K K K e .
    monkeypatch.setattr(module, "_MOST_STEPS", 10)
    assert unpickle(io.BytesIO(content)) == [1, 2, 3, 4]
    monkeypatch.setattr(module, "_MOST_STEPS", 9)
    with pytest.raises(Refused, match="too long"):
        unpickle(io.BytesIO(content))


def test_a_limit_of_what_functions_copy():
    """One list of pairs is made into a dict again and again: no more than 4 values a step."""
    well, refused, just = 0, 0, 0
    for count in range(36, 46):
        pairs = b"](" + b"".join(b"K" + bytes([i]) + b"N\x86" for i in range(count)) + b"eq\x01"
        for calls in range(1, 40):
            repeated = b"h\x02h\x01\x85R" * calls
            content = b"\x80\x02(" + pairs + ORDERED + b"q\x02" + repeated + b"t."
            names = [opcode.name for opcode, *_ in pickletools.genops(content)]
            ends = [n for n, name in enumerate(names, 1) if name == "REDUCE"]
            spare = min(4 * steps - count * call for call, steps in enumerate(ends, 1))
            if spare >= 0:
                assert len(unpickle(io.BytesIO(content))) == 2 + calls
            else:
                with pytest.raises(Refused, match="too often"):
                    unpickle(io.BytesIO(content))
            well, refused, just = well + (spare > 0), refused + (spare < 0), just + (spare == 0)
    assert well
    assert refused
    assert just
