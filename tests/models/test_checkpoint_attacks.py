"""Pickles that attack are refused, and nothing in them runs."""

import builtins
import collections
import os
import pickle
import subprocess
import sys
import time
import tracemalloc

import numpy as np
import pytest
from handwritten import (
    FOUR,
    both,
    dictionary,
    legacy,
    string,
    tensor,
    tensors_file,
    write,
    zipped,
)

from houndsight.errors import CheckpointError
from houndsight.models import unpickle
from houndsight.models.checkpoint import read_checkpoint


class Reduced:
    """Pickles as a call."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def glob(module, name):
    return f"c{module}\n{name}\n".encode()


ORDERED = glob("collections", "OrderedDict")
REBUILD = glob("torch._utils", "_rebuild_tensor_v2")
STATE = b"}" + string("__class__") + b"K\x01s"
TOUCH = "open('executed', 'w').close()"
LAUGH = b"]q\x00" + b"".join(
    b"](" + b"h" + bytes([i]) + b"h" + bytes([i]) + b"eq" + bytes([i + 1]) for i in range(60)
)
DEEP = b")q\x00" + b"".join(
    b"h" + bytes([i]) + b"h" + bytes([i]) + b"\x86q" + bytes([i + 1]) for i in range(60)
)

ATTACKS = {
    "os.system": pickle.dumps(Reduced(os.system, "touch executed"), 2),
    "os.system, protocol 0": pickle.dumps(Reduced(os.system, "touch executed"), 0),
    "os.system, protocol 4": pickle.dumps(Reduced(os.system, "touch executed"), 4),
    "eval": pickle.dumps(Reduced(builtins.eval, TOUCH), 2),
    "exec": pickle.dumps(Reduced(builtins.exec, TOUCH), 4),
    "subprocess": pickle.dumps(Reduced(subprocess.call, ["touch", "executed"]), 2),
    "posix.system, by its own module": b"\x80\x02"
    + glob("posix", "system")
    + string("touch executed")
    + b"\x85R.",
    "import": pickle.dumps(Reduced(__import__, "antigravity"), 2),
    "compile and exec": pickle.dumps(Reduced(exec, Reduced(compile, TOUCH, "a", "exec")), 4),
    "a chain of getattr": b"\x80\x02"
    + glob("builtins", "getattr")
    + glob("torch._utils", "_rebuild_tensor_v2")
    + string("__globals__")
    + b"\x86R.",
    "dotted name of an admitted module": b"\x80\x04\x8c\x05torch\x8c\x0eSize.__class__\x93)R.",
    "copyreg": b"\x80\x02" + glob("copyreg", "_reconstructor") + ORDERED + b"}N\x87R.",
    "operator.attrgetter": b"\x80\x02" + glob("operator", "attrgetter") + string("a") + b"\x85R.",
    "functools.partial": b"\x80\x02" + glob("functools", "partial") + ORDERED + b"\x85R.",
    "types.CodeType": b"\x80\x02" + glob("types", "CodeType") + b")R.",
    "runpy": b"\x80\x02" + glob("runpy", "run_path") + string("a.py") + b"\x85R.",
    "pickle within a pickle": b"\x80\x02" + glob("_pickle", "loads") + b"C\x01.\x85R.",
    "__setstate__ by REDUCE": b"\x80\x02" + ORDERED + b")R" + STATE + b"b" + STATE + b"\x86b.",
    "_rebuild_device_tensor_from_numpy": b"\x80\x02"
    + glob("torch._utils", "_rebuild_device_tensor_from_numpy")
    + b")R.",
    "_rebuild_wrapper_subclass": b"\x80\x02"
    + glob("torch._utils", "_rebuild_wrapper_subclass")
    + b")R.",
    "_rebuild_from_type_v2": b"\x80\x02"
    + glob("torch._tensor", "_rebuild_from_type_v2")
    + ORDERED
    + b"\x85R.",
    "a storage of a kind that is no storage": b"\x80\x02("
    + string("storage")
    + ORDERED
    + string("0")
    + string("cpu")
    + b"K\x04tQ.",
    "a storage with a list for a key": b"\x80\x02("
    + string("storage")
    + glob("torch", "FloatStorage")
    + b"]"
    + string("cpu")
    + b"K\x04tQ.",
    "getattr": pickle.dumps(Reduced(getattr, "a", "upper")),
    "nested in a state dict": pickle.dumps({"state_dict": {"a": [Reduced(eval, TOUCH)]}}, 2),
    "as a dictionary's key": pickle.dumps({(Reduced(eval, TOUCH),): 1}, 2),
    "as an argument": b"\x80\x02"
    + ORDERED
    + pickle.dumps(Reduced(eval, TOUCH), 2)[2:-1]
    + b"\x85R.",
    "_load_from_bytes": b"\x80\x02" + glob("torch.storage", "_load_from_bytes") + b"C\x01a\x85R.",
    "torch.load": b"\x80\x02" + glob("torch.serialization", "load") + b"X\x01\x00\x00\x00a\x85R.",
    "torch.hub": b"\x80\x02" + glob("torch.hub", "load") + b")R.",
    "numpy": b"\x80\x02" + glob("numpy.core.multiarray", "_reconstruct") + b")R.",
    "STACK_GLOBAL": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0etouch executed\x85R.",
    "STACK_GLOBAL, dotted": b"\x80\x04\x8c\x0bcollections\x8c\x14OrderedDict.__init__\x93)R.",
    "STACK_GLOBAL, split oddly": b"\x80\x04\x8c\x00\x8c\x17collections OrderedDict\x93)R.",
    "STACK_GLOBAL of numbers": b"\x80\x04K\x01K\x02\x93.",
    "GLOBAL with a space": b"\x80\x02ccollections OrderedDict\n\n)R.",
    "GLOBAL with an escape": b"\x80\x02cos\\X\nsystem\n)R.",
    "STRING with an escape": b"\x80\x02S'\\X'\n.",
    "INST": b"(S'touch executed'\nios\nsystem\n.",
    "OBJ": b"(cos\nsystem\nS'touch executed'\no.",
    "OBJ of an admitted name": b"(" + ORDERED + b"o.",
    "NEWOBJ": b"\x80\x02" + ORDERED + b")\x81.",
    "NEWOBJ_EX": b"\x80\x04" + ORDERED + b")}\x92.",
    "EXT1": b"\x80\x02\x82\x01.",
    "EXT4": b"\x80\x02\x84\x01\x00\x00\x00.",
    "PERSID": b"Pstorage\n.",
    "BINPERSID of a string": b"\x80\x02" + string("storage") + b"Q.",
    "BINPERSID of anything": b"\x80\x02("
    + string("module")
    + glob("torch", "FloatStorage")
    + b"K\x01K\x01K\x01tQ.",
    "BUILD onto a class": b"\x80\x02" + ORDERED + STATE + b"b.",
    "BUILD onto a function": b"\x80\x02" + REBUILD + b"N" + STATE + b"\x86b.",
    "BUILD onto a string": b"\x80\x02" + string("a") + STATE + b"b.",
    "BUILD onto a dict": b"\x80\x02}" + STATE + b"b.",
    "BUILD onto a tensor": b"\x80\x02" + tensor() + STATE + b"b.",
    "BUILD onto a storage kind": b"\x80\x02" + glob("torch", "FloatStorage") + STATE + b"b.",
    "REDUCE of a storage kind": b"\x80\x02" + glob("torch", "FloatStorage") + b")R.",
    "REDUCE of a string": b"\x80\x02" + string("os.system") + b")R.",
    "REDUCE without a tuple": b"\x80\x02" + ORDERED + b"}R.",
    "OrderedDict of a number": b"\x80\x02" + ORDERED + b"K\x01\x85R.",
    "OrderedDict of a string": b"\x80\x02" + ORDERED + string("ab") + b"\x85R.",
    "OrderedDict of three": b"\x80\x02" + ORDERED + b")))\x87R.",
    "OrderedDict of huge keys": b"\x80\x02" + ORDERED + b"]" + DEEP + b"N\x86a\x85R.",
    "tensor of nothing": b"\x80\x02" + REBUILD + b")R.",
    "tensor of strings": b"\x80\x02" + REBUILD + b"(" + string("a") * 6 + b"tR.",
    "parameter of a dict": b"\x80\x02" + glob("torch._utils", "_rebuild_parameter") + b"}\x85R.",
    "parameter of a dict of tensors": b"\x80\x02"
    + glob("torch._utils", "_rebuild_parameter")
    + dictionary(a=tensor())[2:-1]
    + b"\x85R.",
    "Size of a string": b"\x80\x02" + glob("torch", "Size") + string("ab") + b"\x85R.",
    "a key that takes for ever to hash": b"\x80\x02}" + DEEP + b"Ns.",
    "a thousand million laughs": b"\x80\x02" + LAUGH + b".",
    "SETITEM on a list": b"\x80\x02]" + string("a") + b"K\x01s.",
    "APPEND on a dict": b"\x80\x02}K\x01a.",
    "SETITEMS, odd": b"\x80\x02}(K\x01u.",
    "POP": b"\x80\x02K\x01K\x010.",
    "DUP": b"\x80\x02}2.",
    "an empty stack": b"\x80\x02.",
    "no mark": b"\x80\x02K\x01t.",
    "values left over": b"\x80\x02K\x01}.",
    "a mark left over": b"\x80\x02(}.",
    "what was not kept": b"\x80\x02h\x05.",
    "taking from before a mark": b"\x80\x02K\x01(\x85.",
    "a string of 2 GB": b"\x80\x02X\xff\xff\xff\x7fa.",
    "bytes of 8 EB": b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7fa.",
    "a frame of 8 EB": b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f}.",
    "itself": b"\x80\x02}q\x00" + string("state_dict") + b"h\x00s.",
    "no dictionary": b"\x80\x02K\x01.",
    "no tensors": b"\x80\x02}.",
}


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_are_refused_and_nothing_runs(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    before = set(dir(collections.OrderedDict)), dict(vars(Reduced))
    attack = ATTACKS[name]
    contents = [attack, legacy(attack), zipped(attack), zipped(attack, {"0": FOUR})]
    # Wherever a pickle is read, not only where the tensors are.
    contents += [both(dictionary(a=tensor()))[0][:30] + attack]
    for content in contents:
        with pytest.raises(CheckpointError):
            read_checkpoint(write(tmp_path / "a.pth", content))
    assert not (tmp_path / "executed").exists()
    assert before == (set(dir(collections.OrderedDict)), dict(vars(Reduced)))


def test_the_attacks_would_have_worked(tmp_path, monkeypatch):
    """Python's own unpickler falls for them: the test above tests something."""
    monkeypatch.chdir(tmp_path)
    for name in ("os.system", "eval", "STACK_GLOBAL", "INST", "OBJ"):
        pickle.loads(ATTACKS[name])
        assert (tmp_path / "executed").exists()
        (tmp_path / "executed").unlink()


# ---------------------------------------------------------------- more than the file justifies


def pairs(count):
    """A list of so many pairs with keys of their own, kept as 1."""
    return (
        b"]q\x01("
        + b"".join(b"J" + n.to_bytes(4, "little") + b"N\x86" for n in range(count))
        + b"e"
    )


BOMBS = {
    "one list as the pairs of a thousand": b"("
    + pairs(5_000)
    + ORDERED
    + b"q\x02"
    + b"h\x02h\x01\x85R" * 1_000
    + b"t",
    "a number of 100 kB as a key ten thousand times": b"}("
    + b"\x8b"
    + (100_000).to_bytes(4, "little")
    + b"\x7f" * 100_000
    + b"q\x01N"
    + b"h\x01N" * 10_000
    + b"u",
    "lists within lists": b"]" * 100_000 + b"a" * 99_999,
    "tuples within tuples": b")" + b"\x85" * 100_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_small_file_takes_little_memory_and_time(tmp_path, name):
    """Peak memory stays below a small multiple of the file, and every instruction is quick."""
    content = legacy(b"\x80\x02" + BOMBS[name] + b".")
    path = write(tmp_path / "bomb.pth", content)
    tracemalloc.start()
    begin = time.process_time()
    try:
        with pytest.raises(CheckpointError):
            read_checkpoint(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # A byte can be an empty list: 64 bytes and a place on the stack.
    assert peak < 100 * len(content) + 1_000_000
    assert time.process_time() - begin < 10


def test_a_description_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(unpickle, "_MOST_STEPS", 1_000)
    with pytest.raises(CheckpointError, match="description is too long"):
        read_checkpoint(write(tmp_path / "a.pth", legacy(b"\x80\x02" + b"]" * 1_000 + b".")))


LIMITED = """
import resource, sys
from pathlib import Path
import numpy, zipfile, pickletools
from houndsight.errors import CheckpointError
from houndsight.models.checkpoint import read_checkpoint
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20),) * 2)
for path in sys.argv[1:]:
    try:
        read_checkpoint(Path(path))
    except CheckpointError as error:
        print(error.cause)
    else:
        print("read")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of memory are Linux's")
def test_with_64_mib_to_spare_hostile_files_are_refused_for_what_they_are(tmp_path):
    """That a limit of memory stopped it would be told as "it is damaged"."""
    huge = 1 << 39
    content = {
        "a string of 2 GB": legacy(b"\x80\x02X\xff\xff\xff\x7fa."),
        "a tensor of terabytes": both(dictionary(a=tensor(shape=(huge,), strides=(0,))))[1],
        "a storage of terabytes": both(dictionary(a=tensor(count=huge, shape=(huge,))))[0],
        "dictionaries without end": legacy(
            b"\x80\x02" + pairs(20_000) + ORDERED + b"q\x02" + b"h\x02h\x01\x85R" * 3_000 + b"."
        ),
        "a safetensors of terabytes": tensors_file({"a": np.zeros(4, "<f4")}).replace(
            b'"shape": [4]', b'"shape": [4, 999999999]'
        ),
    }
    paths = [write(tmp_path / f"{n}.pth", each) for n, each in enumerate(content.values())]
    ran = subprocess.run(
        [sys.executable, "-c", LIMITED, *map(str, paths)], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    said = dict(zip(content, ran.stdout.splitlines(), strict=True))
    assert said["a tensor of terabytes"] == "it has a tensor that reaches beyond its storage"
    assert said["a storage of terabytes"] == "it has a storage of another size than it says"
    assert said["dictionaries without end"] == "it repeats what it holds too often"
    assert "read" not in said.values()
