"""Pictures in the terminal: what is written is decoded as the protocols say."""

import base64
import fcntl
import io
import os
import pty
import re
import struct
import sys
import threading

import numpy as np
import pytest
from PIL import Image

from fakes import draw
from houndsight.cli import terminal
from houndsight.errors import InputError
from houndsight.render.inline import inline
from houndsight.render.sixel import sixel

WIDE = 10_000
# Alike in Sixel: it keeps a part of a colour as per cent, so it may be half of that away.
STEP = 255 / 100 / 2 + 0.5


def opened(png):
    return Image.open(io.BytesIO(png))


def kitty(data):
    """Return the picture that a terminal with Kitty's protocol shows, and what follows."""
    payload, keys, at = b"", None, 0
    for match in re.finditer(rb"\x1b_G([^;]*);([A-Za-z0-9+/=]*)\x1b\\", data):
        assert match.start() == at  # nothing between them
        at = match.end()
        given = dict(pair.split(b"=") for pair in match.group(1).split(b","))
        keys = keys or given
        assert len(match.group(2)) <= 4096
        payload += match.group(2)
        if given[b"m"] == b"0":
            break
        assert len(match.group(2)) % 4 == 0
    else:
        raise AssertionError("there is more to come, but it does not")
    assert (keys[b"a"], keys[b"f"]) == (b"T", b"100")
    return opened(base64.b64decode(payload, validate=True)), data[at:]


def iterm2(data):
    match = re.match(rb"\x1b\]1337;File=([^:]*):([A-Za-z0-9+/=]*)\x07", data)
    keys = dict(pair.split(b"=") for pair in match.group(1).split(b";"))
    png = base64.b64decode(match.group(2), validate=True)
    assert keys[b"inline"] == b"1"
    assert int(keys[b"size"]) == len(png)
    return opened(png), data[match.end() :]


def sixels(data):
    """Return the pixels (h, w, 3) that a sequence paints, -1 where it paints none; and the rest.

    A letter at a time, as the manual of the VT340 tells it.
    """
    head = re.match(rb'\x1bP(\d*;)*\d*q"1;1;(\d+);(\d+)', data)
    wide, high = int(head.group(2)), int(head.group(3))
    painted = np.full((-(-high // 6) * 6, wide, 3), -1.0)
    colours, colour, x, y, at = {}, None, 0, 0, head.end()
    while data[at : at + 2] != b"\x1b\\":
        if match := re.compile(rb"#(\d+);2;(\d+);(\d+);(\d+)").match(data, at):
            number, *parts = map(int, match.groups())
            assert number < 256
            colour = colours[number] = np.array(parts) * 255 / 100
        elif match := re.compile(rb"#(\d+)").match(data, at):
            colour = colours[int(match.group(1))]
        elif match := re.compile(rb"(?:!(\d+))?([?-~])").match(data, at):
            times, bits = int(match.group(1) or 1), match.group(2)[0] - 63
            for row in range(6):
                if bits >> row & 1:
                    painted[y + row, x : x + times] = colour
            x += times
            assert x <= wide
        elif match := re.compile(rb"\$").match(data, at):
            x = 0
        elif match := re.compile(rb"-").match(data, at):
            x, y = 0, y + 6
        else:
            raise AssertionError(data[at : at + 20])
        at = match.end()
    assert (painted[high:] == -1).all()
    return painted[:high], data[at + 2 :]


@pytest.mark.parametrize(("protocol", "read"), [("kitty", kitty), ("iterm2", iterm2)])
@pytest.mark.parametrize("size", [(1, 1), (48, 40), (300, 200)])
def test_the_picture_comes_out_as_it_went_in(protocol, read, size):
    picture = draw(1, size)
    shown, rest = read(inline(picture, protocol, width=WIDE))
    np.testing.assert_array_equal(np.asarray(shown), np.asarray(picture))
    assert rest == b"\n"


def test_a_large_picture_comes_in_many_parts():
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    data = inline(Image.fromarray(noise), "kitty", width=WIDE)
    assert data.count(b"\x1b_G") > 5
    np.testing.assert_array_equal(np.asarray(kitty(data)[0]), noise)


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (5, 6), (48, 40), (301, 97)])
def test_sixels_paint_every_pixel_in_its_colour(size):
    picture = draw(2, size)
    painted, rest = sixels(sixel(picture))
    assert rest == b""
    expected = np.asarray(picture.quantize(256).convert("RGB")).astype(float)
    assert np.abs(painted - expected).max() <= STEP


def test_sixels_of_few_colours_are_exact_and_short():
    pixels = np.zeros((12, 200, 3), np.uint8)
    pixels[:, 100:] = (255, 0, 51)
    data = sixel(Image.fromarray(pixels))
    np.testing.assert_array_equal(sixels(data)[0], pixels)
    assert len(data) < 120  # 200 x 12 pixels: letters that repeat are counted
    assert b"!100~" in data
    assert sixels(inline(Image.fromarray(pixels), "sixel", width=WIDE))[1] == b"\n"


@pytest.mark.parametrize("protocol", ["kitty", "iterm2", "sixel"])
def test_a_picture_wider_than_the_terminal_is_made_smaller(protocol):
    data = inline(draw(3, (400, 100)), protocol, width=120)
    if protocol == "sixel":
        assert sixels(data)[0].shape == (30, 120, 3)
    else:
        assert {"kitty": kitty, "iterm2": iterm2}[protocol](data)[0].size == (120, 30)


@pytest.mark.parametrize(
    ("environment", "protocol"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM": "xterm-ghostty"}, "kitty"),
        ({"TERM_PROGRAM": "iTerm.app"}, "iterm2"),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, "iterm2"),
        ({"TERM_PROGRAM": "WezTerm"}, "iterm2"),
        ({"TERM": "foot"}, "sixel"),
        ({"TERM": "foot-extra"}, "sixel"),
        ({"TERM": "mlterm-256color"}, "sixel"),
        ({"TERM": "xterm-256color"}, None),
        ({"TERM": "screen", "TMUX": "/tmp/tmux", "KITTY_WINDOW_ID": "1"}, None),
        ({"TERM": "screen", "STY": "1.pts", "TERM_PROGRAM": "iTerm.app"}, None),
        ({}, None),
    ],
)
def test_terminals_are_known_by_name(environment, protocol):
    assert terminal._by_name(environment) == protocol


class Terminal:
    """The other end of a terminal, which answers the questions that it understands."""

    def __init__(self, answer, monkeypatch):
        self.ours, theirs = pty.openpty()
        self.theirs, self.answer, self.asked = theirs, answer, b""
        name, real = os.ttyname(theirs), os.open
        monkeypatch.setattr(
            os, "open", lambda path, *more: real(name if path == "/dev/tty" else path, *more)
        )
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        while not self.asked.endswith(b"\x1b[c"):
            self.asked += os.read(self.ours, 1024)
        for part in self.answer:
            os.write(self.ours, part)

    def close(self):
        self.thread.join(10)
        os.close(self.ours)
        os.close(self.theirs)


@pytest.mark.parametrize(
    ("answer", "protocol"),
    [
        ((b"\x1b_Gi=31;OK\x1b\\", b"\x1b[?62;4;22c"), "kitty"),
        ((b"\x1b[?62;4;22c",), "sixel"),
        ((b"\x1b[?6", b"5;1;4", b"c"), "sixel"),
        ((b"\x1b_Gi=31;ENOTSUP\x1b\\\x1b[?62;22c",), None),
        ((b"\x1b[?64c",), None),
        ((b"\x1b[?4c",), None),  # the first number is what it is, not what it can
        ((), None),
    ],
)
def test_terminals_are_asked(answer, protocol, monkeypatch):
    monkeypatch.setattr(terminal, "PATIENCE_S", 0.3)
    other = Terminal(answer, monkeypatch)
    try:
        assert terminal._by_asking() == protocol
        # Neither the question nor its answer is left for whoever reads next.
        assert b"a=q" in other.asked
    finally:
        other.close()


def test_where_nobody_can_be_asked_no_picture_is_shown(monkeypatch):
    def refuse(*_):
        raise OSError(6, "No such device or address")

    monkeypatch.setattr(os, "open", refuse)
    assert terminal._by_asking() is None


def test_what_shows_no_pictures_is_said_with_what_does(monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False, raising=False)
    with pytest.raises(InputError, match=r"is no terminal.*--grid OUT\.png"):
        terminal.picture_protocol()
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(terminal, "_by_name", lambda _: None)
    monkeypatch.setattr(terminal, "_by_asking", lambda: None)
    with pytest.raises(InputError, match=r"this terminal shows no pictures.*--grid OUT\.png"):
        terminal.picture_protocol()


@pytest.mark.parametrize(
    ("size", "width"), [((24, 80, 960, 480), 960), ((24, 80, 0, 0), 720), ((0, 0, 0, 0), 720)]
)
def test_how_wide_a_terminal_is(size, width, monkeypatch):
    monkeypatch.setattr(fcntl, "ioctl", lambda *_: struct.pack("HHHH", *size))
    with open(os.devnull, "w", encoding="utf-8") as out:
        monkeypatch.setattr(sys, "stdout", out)
        assert terminal.width() == width
        monkeypatch.undo()
