"""Reads the pickles inside PyTorch checkpoints without running anything they say.

A pickle is a program for a small stack machine. Python's own machine can call any function and set
any attribute; `pickle.Unpickler.find_class` guards the first and not the second (BUILD). So this
is a machine of our own, with only the instructions that tensors need: containers, numbers, strings,
four functions and the kinds of storage. `REDUCE` builds one of our own frozen descriptions, `BUILD`
is accepted on an ordered dict and its state dropped (real files hang `_metadata` there). All else
is refused. Nothing outside this file is ever imported, called or changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import IO, Any, Final

__all__ = ["STORAGE_DTYPES", "Refused", "Storage", "Tensor", "unpickle"]

STORAGE_DTYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "torch FloatStorage": "<f4",
        "torch DoubleStorage": "<f8",
        "torch HalfStorage": "<f2",
        "torch BFloat16Storage": "bfloat16",
        "torch LongStorage": "<i8",
        "torch IntStorage": "<i4",
        "torch ShortStorage": "<i2",
        "torch CharStorage": "|i1",
        "torch ByteStorage": "|u1",
        "torch BoolStorage": "|b1",
    }
)
"""NumPy's name for the elements of each kind of storage; ``bfloat16`` is not known to NumPy."""

_LIMIT: Final = 1 << 40  # more elements than any file has: sizes beyond are lies
_KEY_BITS: Final = 64  # an integer is hashed anew each time: one of megabytes takes milliseconds
# A byte of a pickle can make a list, which takes 64. ResNet-152 needs 40,000 instructions.
_MOST_STEPS: Final = 2_000_000
# Values that functions copy, for each instruction so far: an honest file names each of them.
_MOST_COPIED: Final = 4


class Refused(ValueError):
    """The pickle holds something other than tensors, or is damaged."""


@dataclass(frozen=True, slots=True)
class Storage:
    """A run of `count` elements of `dtype`, stored in the file under `key`."""

    key: str
    dtype: str
    count: int


@dataclass(frozen=True, slots=True)
class Tensor:
    """A view of a storage: `offset`, `shape` and `strides` count elements and are not negative."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Name:
    """What GLOBAL puts on the stack: one of the admitted names, and nothing that can be called."""

    name: str


class _OrderedDict(dict[Any, Any]):
    """Stands for `collections.OrderedDict`, the only thing that BUILD may aim at."""

    __slots__ = ()


def _size(value: object) -> int:
    if type(value) is not int or not 0 <= value < _LIMIT:
        raise Refused("it gives a tensor an impossible size")
    return value


def _sizes(value: object) -> tuple[int, ...]:
    # 64 is the most dimensions that NumPy 2 can hold.
    if not isinstance(value, tuple) or len(value) > 64:
        raise Refused("it gives a tensor an impossible shape")
    return tuple(_size(item) for item in value)


def _ordered_dict(args: tuple[Any, ...]) -> _OrderedDict:
    pairs = args[0] if len(args) == 1 else args
    if not all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in pairs):
        raise Refused("it makes an ordered dict in an unknown way")
    return _OrderedDict((_key(key), value) for key, value in pairs)


def _tensor(args: tuple[Any, ...]) -> Tensor:
    # (storage, offset, shape, strides, requires_grad, backward_hooks[, metadata])
    if len(args) < 4 or not isinstance(args[0], Storage):
        raise Refused("it makes a tensor in an unknown way")
    shape, strides = _sizes(args[2]), _sizes(args[3])
    if len(shape) != len(strides):
        raise Refused("it gives a tensor an impossible shape")
    return Tensor(args[0], _size(args[1]), shape, strides)


def _parameter(args: tuple[Any, ...]) -> Tensor:
    # (tensor, requires_grad, backward_hooks)
    if not args or not isinstance(args[0], Tensor):
        raise Refused("it makes a parameter in an unknown way")
    return args[0]


_CALLABLE: Final[Mapping[str, Callable[[tuple[Any, ...]], Any]]] = MappingProxyType(
    {
        "collections OrderedDict": _ordered_dict,
        "torch._utils _rebuild_tensor_v2": _tensor,
        "torch._utils _rebuild_parameter": _parameter,
        "torch Size": lambda args: _sizes(args[0]) if args else (),
    }
)


def _global(name: str) -> _Name:
    if name not in _CALLABLE and name not in STORAGE_DTYPES:
        raise Refused(f"it asks for {name.replace(' ', '.')[:100]!r}, which is no part of a tensor")
    return _Name(name)


def _key(value: object) -> object:
    """Return `value` if it may be a key: hashing a deep tuple can take for ever."""
    huge = isinstance(value, int) and value.bit_length() > _KEY_BITS
    if huge or not isinstance(value, (str, bytes, int, float)):
        raise Refused("it has a dictionary with an odd key")
    return value


def _storage(pid: object) -> Storage:
    # ("storage", kind, key, device, count[, view of another storage])
    if not isinstance(pid, tuple) or len(pid) not in {5, 6} or pid[0] != "storage":
        raise Refused("it refers to something that is not a storage")
    _, kind, key, _, count, *view = pid
    if not isinstance(kind, _Name) or kind.name not in STORAGE_DTYPES:
        raise Refused("it has a storage of an unknown kind")
    if not isinstance(key, str) or any(item is not None for item in view):
        raise Refused("it has a storage that is part of another")
    return Storage(key, STORAGE_DTYPES[kind.name], _size(count))


_PUSH: Final = frozenset(
    {"BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "BINUNICODE", "BINUNICODE8"}
    | {"SHORT_BINUNICODE", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES"}
)
_CONSTANT: Final[Mapping[str, Callable[[], Any]]] = MappingProxyType(
    {"NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False}
    | {"EMPTY_TUPLE": tuple, "EMPTY_LIST": list, "EMPTY_DICT": dict}
)
_ADMITTED: Final = (
    _PUSH.union(_CONSTANT)
    | {"PROTO", "FRAME", "MARK", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "STOP", "MEMOIZE"}
    | {"BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET", "SETITEM", "SETITEMS", "APPEND"}
    | {"APPENDS", "GLOBAL", "STACK_GLOBAL", "BINPERSID", "REDUCE", "BUILD"}
)


class _Machine:
    """The stack machine: `stack` of values, `marks` where groups began, `memo` of kept values."""

    def __init__(self, storages: dict[str, Storage]) -> None:
        self.storages = storages
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.steps = 0
        self.copied = 0
        self.done = False

    def pop(self, count: int) -> list[Any]:
        """Take `count` values off the stack, but none from before the latest mark."""
        if len(self.stack) - count < (self.marks[-1] if self.marks else 0):
            raise Refused("its stack runs empty")
        taken = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return taken

    def pop_group(self) -> list[Any]:
        """Take everything since the latest mark off the stack, and the mark."""
        if not self.marks:
            raise Refused("it closes a group that it did not open")
        group = self.stack[self.marks[-1] :]
        del self.stack[self.marks.pop() :]
        return group

    def top(self) -> Any:
        self.stack.extend(self.pop(1))
        return self.stack[-1]

    def set_items(self, flat: list[Any]) -> None:
        target = self.top()
        if not isinstance(target, dict) or len(flat) % 2:
            raise Refused("it fills a dictionary that is none")
        for key, value in zip(flat[::2], flat[1::2], strict=True):
            target[_key(key)] = value

    def append(self, values: list[Any]) -> None:
        target = self.top()
        if not isinstance(target, list):
            raise Refused("it fills a list that is none")
        target.extend(values)

    def call(self, function: object, args: object) -> Any:
        """Call one of our own functions; what it copies can be kept once and named many times."""
        if not isinstance(function, _Name) or function.name not in _CALLABLE:
            raise Refused("it calls something that is not a function")
        if not isinstance(args, tuple):
            raise Refused("it calls a function without arguments")
        self.copied += sum(len(one) for one in args if isinstance(one, (list, tuple, dict)))
        if self.copied > _MOST_COPIED * self.steps:
            raise Refused("it repeats what it holds too often")
        return _CALLABLE[function.name](args)

    def step(self, opcode: str, arg: Any) -> None:
        stack = self.stack
        self.steps += 1
        if self.steps > _MOST_STEPS:
            raise Refused("its description is too long")
        if opcode in _PUSH:
            stack.append(arg)
        elif opcode in _CONSTANT:
            stack.append(_CONSTANT[opcode]())
        elif opcode in {"PROTO", "FRAME"}:
            pass
        elif opcode == "MARK":
            self.marks.append(len(stack))
        elif opcode == "TUPLE":
            stack.append(tuple(self.pop_group()))
        elif opcode in {"TUPLE1", "TUPLE2", "TUPLE3"}:
            stack.append(tuple(self.pop(int(opcode[-1]))))
        elif opcode in {"BINPUT", "LONG_BINPUT"}:
            self.memo[arg] = self.top()
        elif opcode == "MEMOIZE":
            self.memo[len(self.memo)] = self.top()
        elif opcode in {"BINGET", "LONG_BINGET"}:
            if arg not in self.memo:
                raise Refused("it fetches a value that it did not keep")
            stack.append(self.memo[arg])
        elif opcode in {"SETITEM", "SETITEMS"}:
            self.set_items(self.pop(2) if opcode == "SETITEM" else self.pop_group())
        elif opcode in {"APPEND", "APPENDS"}:
            self.append(self.pop(1) if opcode == "APPEND" else self.pop_group())
        elif opcode == "GLOBAL":
            stack.append(_global(arg))
        elif opcode == "STACK_GLOBAL":
            module, name = self.pop(2)
            if not isinstance(module, str) or not isinstance(name, str):
                raise Refused("it asks for a name that is none")
            stack.append(_global(f"{module} {name}"))
        elif opcode == "BINPERSID":
            storage = _storage(self.pop(1)[0])
            if self.storages.setdefault(storage.key, storage) != storage:
                raise Refused("it describes one storage in two ways")
            stack.append(storage)
        elif opcode == "REDUCE":
            stack.append(self.call(*self.pop(2)))
        elif opcode == "BUILD":
            self.pop(1)  # the state: `_metadata`, of no use here
            if not isinstance(self.top(), _OrderedDict):
                raise Refused("it changes the attributes of an object")
        elif opcode == "STOP":
            if len(stack) != 1 or self.marks:
                raise Refused("it ends with values left over")
            self.done = True


def unpickle(file: IO[bytes], storages: dict[str, Storage] | None = None) -> Any:
    """Read one pickle, from the file's position to its end, and return what it describes.

    Parameters
    ----------
    file
        Has ``read`` and ``readline``. ``read(n)`` must not allocate `n` bytes when fewer are left
        (a buffered file does): a pickle can claim any length.
    storages
        Where to enter every storage that the pickle mentions, by key.

    Returns
    -------
    Any
        Dicts, lists, tuples, numbers, strings, and `Tensor` where a tensor was.

    Raises
    ------
    Refused
        It holds something other than tensors, or contradicts itself.
    ValueError
        It ends too early, or is no pickle.
    """
    import pickletools

    machine = _Machine({} if storages is None else storages)
    known = {opcode.code: opcode for opcode in pickletools.opcodes if opcode.name in _ADMITTED}
    while code := file.read(1):
        opcode = known.get(code.decode("latin-1"))
        if opcode is None:
            raise Refused("it uses instructions that tensors do not need")
        if opcode.name == "GLOBAL":  # pickletools' own reader would evaluate escapes
            arg: Any = " ".join(file.readline().decode("ascii").rstrip("\n") for _ in "12")
        else:
            arg = opcode.arg.reader(file) if opcode.arg else None
        machine.step(opcode.name, arg)
        if machine.done:
            return machine.stack[0]
    raise Refused("it has no end")
