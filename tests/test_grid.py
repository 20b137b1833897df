from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from houndsight.errors import InputError
from houndsight.render import lettering
from houndsight.render.grid import RIGHT, WRONG, Tile, _columns, _Layout, grid
from houndsight.render.labels import one_line
from houndsight.render.lettering import fitted, font_for, shown
from houndsight.render.sheet import MAT, PAPER

BLUE = (20, 40, 200)


def _tile(right=None, size=(60, 40), title="Label", note="0.5000", colour=BLUE):
    return Tile(Image.new("RGB", size, colour), title, note, right)


def _pixels(count, tile=100, columns=None, **changes):
    rights = [True, False, None]
    neighbours = [_tile(rights[i % 3], **changes) for i in range(count)]
    picture = grid(_tile(), neighbours, tile=tile, columns=columns)
    layout = _Layout(tile, count, columns or _columns(count))
    assert picture.size == layout.size
    assert picture.mode == "RGB"
    return np.asarray(picture), layout


def _is(pixels, colour):
    return (pixels == colour).all(axis=-1)


@pytest.mark.parametrize("count", [1, 2, 5, 7, 20, 50, 200])
def test_every_neighbour_stands_in_its_cell(count):
    pixels, layout = _pixels(count, tile=48)
    high, wide = pixels.shape[:2]
    for index in range(count):
        x0, y0, x1, y1 = layout.cell(index)
        assert layout.query[2] < x0 < x1 < wide
        assert y1 < high
        assert tuple(pixels[(y0 + y1) // 2, (x0 + x1) // 2]) == BLUE
    x0, y0, x1, y1 = layout.query
    assert tuple(pixels[(y0 + y1) // 2, (x0 + x1) // 2]) == BLUE
    assert x1 - x0 > layout.tile


def test_cells_do_not_overlap_and_run_in_rank_order():
    _, layout = _pixels(20, columns=6)
    cells = [layout.cell(i) for i in range(20)]
    assert cells == sorted(cells, key=lambda cell: (cell[1], cell[0]))
    assert len({cell[1] for cell in cells}) == 4
    room = 2 * layout.border
    assert all(b[0] - a[2] >= room for a, b in pairwise(cells) if a[1] == b[1])


def test_right_and_wrong_are_marked_by_border_and_by_shape_and_unknown_by_neither():
    pixels, layout = _pixels(3, tile=160)
    badges = []
    for index, colour in enumerate((RIGHT, WRONG, None)):
        x0, y0, x1, y1 = layout.cell(index)
        middle, inside = (y0 + y1) // 2, layout.border // 2 + 1
        sides = [(middle, x0 - inside), (middle, x1 + inside - 1), (y0 - inside, (x0 + x1) // 2)]
        for at in sides:
            assert tuple(pixels[at]) == (colour or PAPER)
        corner = pixels[y0 : y0 + 50, x1 - 50 : x1]
        if colour:
            assert _is(corner, colour).sum() > 60
            assert _is(corner, PAPER).sum() > 20
            badges.append(_is(corner, PAPER))
        else:
            assert not _is(corner, RIGHT).any()
            assert not _is(corner, WRONG).any()
    assert (badges[0] != badges[1]).sum() > 15, "check mark and cross differ without colour"


def test_the_query_bears_no_mark():
    picture = grid(_tile(right=True), [])
    pixels = np.asarray(picture)
    assert not _is(pixels, RIGHT).any()


@pytest.mark.parametrize("size", [(400, 100), (100, 400), (3, 5), (3000, 1)])
def test_photos_are_fitted_without_distortion(size):
    picture = grid(_tile(), [_tile(size=size)], tile=100)
    x0, y0, x1, y1 = _Layout(100, 1, 1).cell(0)
    cell = np.asarray(picture)[y0:y1, x0:x1]
    rows, columns = np.nonzero(_is(cell, BLUE))
    wide, high = np.ptp(columns) + 1, np.ptp(rows) + 1
    assert max(wide, high) == 100
    assert min(wide, high) == max(1, round(100 * min(size) / max(size)))
    if min(wide, high) < 90:
        assert tuple(cell[0, 0]) == MAT
        assert abs((columns.min() + columns.max()) / 2 - 49.5) <= 0.5


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "CMYK", "1", "I;16"])
def test_photos_of_any_mode_are_drawn(mode):
    neighbour = Tile(Image.new(mode, (30, 30)), "a", "b", None)
    assert grid(_tile(), [neighbour]).mode == "RGB"


def test_what_is_transparent_lies_over_white():
    clear = Tile(Image.new("RGBA", (30, 30), (200, 0, 0, 0)), "a", "b", None)
    x0, y0, _, _ = _Layout(160, 1, 1).cell(0)
    assert grid(_tile(), [clear]).getpixel((x0 + 80, y0 + 80)) == PAPER


def test_a_missing_photo_is_a_grey_tile_with_words():
    missing = Tile(None, "Label", "0.1", True)
    picture = grid(missing, [missing], tile=100)
    for box in (_Layout(100, 1, 1).query, _Layout(100, 1, 1).cell(0)):
        cell = np.asarray(picture.crop(box))
        assert _is(cell, MAT).mean() > 0.7
        middle = cell[len(cell) // 2 - 10 : len(cell) // 2 + 10]
        assert (~_is(middle, MAT)).sum() > 30


def test_no_neighbours_is_said():
    none, one = grid(_tile(), []), grid(_tile(), [_tile()])
    heading = (_Layout(160, 0, 1).left, 0, none.width, _Layout(160, 0, 1).top - 6)
    words = np.asarray(none.crop(heading))
    assert (~_is(words, PAPER)).any()
    assert not np.array_equal(words, np.asarray(one.crop(heading)))
    below = np.asarray(none.crop((heading[0], heading[3], none.width, none.height)))
    assert _is(below, PAPER).all()


@pytest.mark.parametrize(
    "title", ["x" * 500, "wide label " * 40, "犬" * 300, "\u05db\u05dc\u05d1 " * 90]
)
def test_long_labels_stay_in_their_column(title):
    plain = grid(_tile(), [_tile(title="") for _ in range(2)], tile=100)
    long = grid(_tile(), [_tile(title=title), _tile(title="")], tile=100)
    assert plain.size == long.size
    changed = np.nonzero((np.asarray(plain) != np.asarray(long)).any(axis=(0, 2)))[0]
    x0, _, x1, _ = _Layout(100, 2, 2).cell(0)
    assert x0 <= changed.min()
    assert changed.max() <= x1 + 2  # the overhang of a last glyph


def test_fitted_keeps_what_fits_and_is_the_longest_beginning():
    font = font_for("a", 14)
    assert fitted("Hound", font, 200) == "Hound"
    short = fitted("Saddleback-Shepherd of the hills", font, 120)
    assert short.endswith("…")
    assert "Saddleback-Shepherd of the hills".startswith(short[:-1])
    assert font.getlength(short) <= 120
    assert font.getlength("Saddleback-Shepherd of the hills"[: len(short)] + "…") > 120
    assert fitted("Hound", font, 1) == ""


@pytest.mark.parametrize(
    ("label", "line"),
    [
        ("<script>", "<script>"),
        ("two\nlines\ttab", "two\\nlines\\ttab"),
        ("turned\u202eback", "turned\\u202eback"),
        ('"quotes"', '"quotes"'),
        ("\x1b[31m", "\\x1b[31m"),
        ("\udcff", "\\udcff"),
    ],
)
def test_hostile_labels_are_one_line_of_text(label, line):
    assert one_line(label) == line
    assert shown(label, font_for(label, 14)) == line
    grid(_tile(title=label, note=label), [_tile(title=label, note=label)])


def test_spaces_and_joiners_of_real_labels_are_kept():
    for label in ("61.7\u202f%", "a\u00a0b", "می\u200cخواهم"):
        assert one_line(label) == label


def test_what_no_font_has_is_an_escape_and_never_an_empty_box(monkeypatch):
    monkeypatch.setattr(lettering, "SYSTEM_FONTS", ())
    font = font_for("犬 dog", 14)
    assert shown("犬 dog", font) == "\\u72ac dog"


def test_a_system_font_is_taken_when_it_has_more(monkeypatch):
    own = font_for("dog", 14)
    if lettering._system("DejaVuSans.ttf", 14) is None:
        pytest.skip("DejaVu Sans is not installed")
    monkeypatch.setattr(lettering, "SYSTEM_FONTS", ("no such font.ttf", "DejaVuSans.ttf"))
    assert font_for("dog", 14) is own
    font = font_for("Ελλάδα", 14)
    assert font is not own
    assert shown("Ελλάδα", font) == "Ελλάδα"


def test_columns_suit_the_number():
    assert [_columns(count) for count in (0, 1, 6)] == [1, 1, 6]
    for count in range(7, 201):
        columns = _columns(count)
        assert 0.8 < columns / (-(-count // columns)) < 3


@pytest.mark.parametrize("wrong", [{"columns": 0}, {"tile": 20}])
def test_impossible_layouts_are_refused(wrong):
    with pytest.raises(InputError):
        grid(_tile(), [], **wrong)
