"""The library that stands between a process and its files, see faults.c: built, loaded, used."""

import ctypes
import errno
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import traceback
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

__all__ = ["Event", "Mode", "Outcome", "events", "lacking", "note", "run_again", "trial"]

LOADED = "HOUNDSIGHT_TORTURE"
HEAD = struct.Struct("<5q")


class Mode(IntEnum):
    """What happens at the n-th event; as in faults.c."""

    NOTHING = 0
    KILL = 1
    TEAR = 2  # half of a write, then the kill
    FAIL_ONCE = 3
    FAIL_ON = 4  # from then on
    VANISH = 5  # the folder has another name


def lacking():
    """Return why the library cannot be had; None where it can."""
    if sys.platform != "linux":
        return "what stands between a process and its files is written for Linux"
    return None if shutil.which("cc") else "needs a C compiler, cc"


def run_again():
    """Run this program again with the library loaded, unless it is."""
    if LOADED in os.environ:
        return
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "faults.so"
        source = Path(__file__).with_name("faults.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
        # One thread of linear algebra: processes are forked here.
        more = {LOADED: "1", "LD_PRELOAD": str(library), "OPENBLAS_NUM_THREADS": "1"}
        sys.exit(subprocess.run([sys.executable, *sys.argv], env={**os.environ, **more}).returncode)


def _library():
    library = ctypes.CDLL(None)
    library.faults_events.restype = ctypes.c_long
    library.faults_arm.argtypes = (
        ctypes.c_char_p,
        ctypes.c_int,
        ctypes.c_long,
        ctypes.c_int,
        ctypes.c_int,
    )
    return library


def note(text):
    """Write into the log what a person is told at this moment."""
    _library().faults_note(text.encode())


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a process ended.

    `error` is what it raised: class and message; `notes` how many notes it made; `count` how many
    events there were, where it ended by itself.
    """

    killed: bool
    error: tuple[str, str] | None
    notes: int
    count: int


def trial(run, folder, *, at=0, mode=Mode.NOTHING, error=0, log=None, kill_after=None):
    """Do something in a process of its own, in which files below a folder are tampered with.

    `run` is called with a function to call for each note.
    """
    read, write = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            os.close(read)
            code = _child(run, folder, write, (at, mode, error), log)
        finally:
            os._exit(code)
    os.close(write)
    if kill_after is not None:
        signal.sigtimedwait([], kill_after)
        os.kill(child, signal.SIGKILL)
    with os.fdopen(read, "rb") as file:
        said = file.read().decode().splitlines()
    _, status = os.waitpid(child, 0)
    notes = said.count("note")
    rest = [line.split("\t") for line in said if line != "note"]
    failed = next(((line[1], line[2]) for line in rest if line[0] == "error"), None)
    count = next((int(line[1]) for line in rest if line[0] == "events"), 0)
    killed = os.WIFSIGNALED(status)
    assert killed or os.WEXITSTATUS(status) == 0, f"the process ended with {status}"
    return Outcome(killed, failed, notes, count)


def _child(run, folder, write, how, log):
    library = _library()
    handle = -1 if log is None else os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)

    def say(*words):
        os.write(write, ("\t".join(words).replace("\n", " ") + "\n").encode())

    def told(text=""):
        if log is not None:
            note(text)
        say("note")

    library.faults_arm(os.fsencode(folder), handle, *map(int, how))
    try:
        run(told)
    except Exception as error:
        kinds = ",".join(kind.__name__ for kind in type(error).__mro__)
        say("error", kinds, str(error) or repr(error))
        if "HoundsightError" not in kinds:
            traceback.print_exc()
    say("events", str(library.faults_events()))
    return 0


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a log: w(rite), s(ync), t(runcate), c(reate), r(ename), l(ink), u(nlink), m(ake
    folder), R(emove folder), ! (note)."""

    op: str
    offset: int
    path: str
    to: str
    data: bytes


def events(log):
    """Read a log."""
    content, at = Path(log).read_bytes(), 0
    while at < len(content):
        op, offset, *sizes = HEAD.unpack_from(content, at)
        at += HEAD.size
        parts = []
        for size in sizes:
            parts.append(content[at : at + size])
            at += size
        yield Event(chr(op), offset, os.fsdecode(parts[0]), os.fsdecode(parts[1]), parts[2])


ERRORS = {name: getattr(errno, name) for name in ("ENOSPC", "EIO", "EROFS")}
