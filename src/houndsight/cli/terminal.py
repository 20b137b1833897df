"""What the terminal can do: whether it shows pictures, and how wide it is."""

import contextlib
import os
import re
import select
import struct
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from houndsight.errors import InputError

with contextlib.suppress(ModuleNotFoundError):  # Windows has none of them
    import fcntl
    import termios
    import tty

if TYPE_CHECKING:
    from houndsight.render.inline import Protocol

__all__ = ["picture_protocol", "width"]

# A terminal answers within milliseconds, but the line to it may be long.
PATIENCE_S = 1.0
# Of Kitty's protocol whether it is understood, then what the terminal is: that all answer, and as
# answers come in order, no longer than for that need be waited.
QUESTION = b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[c"
DEVICE = re.compile(rb"\x1b\[\?([\d;]*)c")
SIXEL = b"4"  # among a terminal's attributes
# How wide a letter is where the terminal does not say.
LETTER = 9


def picture_protocol() -> "Protocol":
    """Return how pictures are shown on the terminal that standard output is.

    Raises
    ------
    InputError
        If it is none, or shows no pictures.
    """
    remedy = "Draw them into a file with --grid OUT.png, or a page with --html OUT.html"
    if not sys.stdout.isatty():
        raise InputError(
            "standard output is no terminal, so no pictures can be shown there", remedy=remedy
        )
    found = _by_name(os.environ) or _by_asking()
    if found is None:
        raise InputError(
            "this terminal shows no pictures: it knows neither the protocols of Kitty and iTerm2 "
            "nor Sixel",
            remedy=remedy,
        )
    return found


def _by_name(environment: Mapping[str, str]) -> "Protocol | None":
    """Return what a terminal is known for; nothing within tmux or screen, which pass on little."""
    if "TMUX" in environment or "STY" in environment:
        return None
    kind, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if kind in ("xterm-kitty", "xterm-ghostty") or program == "ghostty":
        return "kitty"
    if program in ("iTerm.app", "WezTerm", "mintty") or environment.get("LC_TERMINAL") == "iTerm2":
        return "iterm2"
    if "KITTY_WINDOW_ID" in environment:
        return "kitty"
    return "sixel" if kind.split("-")[0] in ("foot", "mlterm") else None


def _by_asking() -> "Protocol | None":
    """Ask the terminal; None where it does not answer in time, or answers no."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except (OSError, AttributeError):  # not on Windows
        return None
    try:
        answer = _answer(terminal)
    finally:
        os.close(terminal)
    if b"\x1b_Gi=31;OK" in answer:
        return "kitty"
    device = DEVICE.search(answer)
    return "sixel" if device and SIXEL in device.group(1).split(b";")[1:] else None


def _answer(terminal: int) -> bytes:
    before = termios.tcgetattr(terminal)
    answer, until = b"", time.monotonic() + PATIENCE_S
    try:
        tty.setcbreak(terminal)  # no echo of the answer, and no waiting for the end of a line
        os.write(terminal, QUESTION)
        while not DEVICE.search(answer):
            left = until - time.monotonic()
            if left <= 0 or not select.select([terminal], [], [], left)[0]:
                break
            read = os.read(terminal, 1024)
            if not read:
                break
            answer += read
    finally:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, before)
    return answer


def width() -> int:
    """Return how wide the terminal that standard output is is, in pixels."""
    if os.name != "posix":
        return LETTER * os.get_terminal_size().columns
    size = fcntl.ioctl(sys.stdout.fileno(), termios.TIOCGWINSZ, bytes(8))
    _, columns, wide, _ = struct.unpack("HHHH", size)
    return int(wide) or LETTER * (int(columns) or 80)
