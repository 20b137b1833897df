"""Pickles that attack are refused, and nothing in them runs."""

import builtins
import collections
import os
import pickle

import pytest
from handwritten import (
    FOUR,
    both,
    dictionary,
    legacy,
    string,
    tensor,
    write,
    zipped,
)

from houndsight.errors import CheckpointError
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
