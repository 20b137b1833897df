import base64
import os
import re
from html.parser import HTMLParser
from io import BytesIO
from itertools import pairwise

import pytest
from jinja2 import UndefinedError
from PIL import Image

from houndsight.errors import InputError
from houndsight.render.html import (
    Answer,
    Answers,
    Bars,
    Card,
    Charts,
    Content,
    Curve,
    Figure,
    Heat,
    Pairs,
    Share,
    Shares,
    Table,
    environment,
    page,
    write_page,
)

VOID = {"meta", "link", "img", "br", "hr", "input", "wbr"}
HOSTILE = [
    "<script>alert(1)</script>",
    '" onerror="alert(1)',
    "' onload='alert(1)",
    "</style><style>*{display:none}",
    "</title><h1>",
    "&lt;b&gt; &amp;",
    "{{ 7 * 7 }} {% raw %}",
    "two\nlines",
    "turned\u202eback",
    "\u05db\u05dc\u05d1",
    "javascript:alert(1)",
]


class Reader(HTMLParser):
    """Reads the page strictly: every element is closed by its own end tag, in order."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.text, self.headings = [], [], [], []

    def handle_starttag(self, tag, attrs):
        assert len({name for name, _ in attrs}) == len(attrs), "an attribute is given twice"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)
        heading = next((tag for tag in self.open if re.fullmatch("h[1-6]", tag)), None)
        if heading:
            self.headings.append((heading, data))

    def tags(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


def read(html):
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader


def jpeg(colour="red"):
    file = BytesIO()
    Image.new("RGB", (8, 6), colour).save(file, "JPEG")
    return file.getvalue()


def card(title="Hound", right=None, picture=b"", **changes):
    given = {"note": "0.5000", "alt": f"photo of {title}"} | changes
    return Card(title=title, right=right, picture=jpeg() if picture == b"" else picture, **given)


def content(text="Hound"):
    bars = [Share(text, 0.25, text), Share("b", 1.0, "1")]
    answers = [
        Answer(card(text), [card(text, right=True), card(text, right=False, note=text)], bars),
        Answer(card(text, picture=None), [card("c", picture=None), card(text, alt=text)]),
        Answer(card(text), []),
    ]
    charts = [
        Curve(text, text, text, text, [(0.0, 0.1), (0.5, 0.4), (1.0, 1.0)]),
        Bars(text, text, text, text, [0, 3, 1]),
    ]
    return Content(
        title=text,
        lead=text,
        figures=[Figure(text, text, text, text), Figure("p", "1 %", "", "")],
        sections=[
            Table("In detail", [("label", text), (text, "2"), ("b", text)], text),
            Answers(text, answers, text),
            Charts(text, charts, text),
            Heat(text, [text, "b"], [[0.75, 0.25], [0.0, 1.0]], text),
            Pairs(text, [(text, [(text, answers[0]), (text, answers[1])])], text),
            Shares(text, bars, text, low=True),
        ],
        facts=[(text, text)],
        notes=[text, text],
    )


def full(text="Hound"):
    return page(content(text))


def with_sections(*sections):
    return page(Content(title="t", lead="", figures=[], sections=sections, facts=[]))


def test_the_page_is_well_formed_html():
    html = full()
    assert html.startswith("<!DOCTYPE html>")
    assert html.isascii()
    reader = read(html)
    assert reader.tags("html") == [{"lang": "en"}]
    assert {"charset": "utf-8"} in reader.tags("meta")
    ids = [attrs["id"] for _, attrs in reader.elements if "id" in attrs]
    assert len(set(ids)) == len(ids)
    for _, attrs in reader.elements:
        if "aria-labelledby" in attrs:
            assert attrs["aria-labelledby"] in ids


def test_nothing_is_loaded_and_nothing_runs():
    html = full()
    reader = read(html)
    bare = re.sub(r'"data:image/jpeg;base64,[^"]*"', '""', html)
    assert not re.search(r"(?i)https?:|//|@import|url\(|javascript:", bare)
    assert not reader.tags("script")
    for tag, attrs in reader.elements:
        assert not [name for name in attrs if name.startswith("on")], tag
        for name in ("src", "href"):
            if name in attrs:
                assert attrs[name].startswith("data:")
    policy = next(a["content"] for a in reader.tags("meta") if "http-equiv" in a)
    assert policy.startswith("default-src 'none'")


def test_within_another_page_nothing_needs_its_style_attributes_or_scripts():
    html = environment().get_template("content.html.jinja").render(content=content())
    reader = read(html)
    assert html.strip() in full()
    assert not [tag for tag, attrs in reader.elements if "style" in attrs]
    assert not {tag for tag, _ in reader.elements} & {"html", "body", "main", "style", "script"}


def test_each_shade_of_a_cell_is_the_share_that_it_stands_for():
    shades = re.findall(r"\.heat \.s(\d+) \{ --share: ([\d.]+); \}", full())
    assert [(int(n), float(share)) for n, share in shades] == [(n, n / 20) for n in range(21)]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(text):
    plain, hostile = read(full()), read(full(text))
    assert [tag for tag, _ in hostile.elements] == [tag for tag, _ in plain.elements]
    assert [set(attrs) for _, attrs in hostile.elements] == [set(a) for _, a in plain.elements]
    visible = text.replace("\n", "\\n").replace("\u202e", "\\u202e")
    assert visible in "".join(hostile.text)
    assert "\u202e" not in full(text)
    assert any(attrs["alt"] == visible for attrs in hostile.tags("img"))


def test_a_label_of_any_code_points_can_be_written_as_utf8():
    assert b"\\udcff" in full("caf\udcff\u00e9").encode("utf-8")


def test_headings_descend_one_step_at_a_time():
    reader = read(full())
    levels = [int(tag[1]) for tag, _ in reader.headings if tag]
    outline = [int(tag[1]) for tag, _ in reader.elements if re.fullmatch("h[1-6]", tag)]
    assert outline[0] == 1
    assert outline.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(outline))
    assert set(levels) <= {1, 2, 3, 4}


def test_thumbnails_are_the_bytes_given_and_have_alt_texts():
    red, blue = jpeg("red"), jpeg("blue")
    answer = Answer(card("a", picture=red), [card("b", picture=blue)])
    html = with_sections(Answers("Answers", [answer]))
    images = read(html).tags("img")
    sources = [base64.b64decode(image["src"].partition(",")[2]) for image in images]
    assert sources == [red, blue]
    assert [image["alt"] for image in images] == ["photo of a", "photo of b"]


def test_right_and_wrong_are_said_in_words_and_unknown_is_not():
    answer = Answer(
        card(), [card(right=True), card(right=False), card(right=None), card(right=True)]
    )
    html = with_sections(Answers("Answers", [answer]))
    words = [text.strip() for text in read(html).text]
    assert words.count("right") == 2
    assert words.count("wrong") == 1
    classes = [attrs.get("class") for attrs in read(html).tags("li")]
    assert classes == ["framed right", "framed wrong", None, "framed right"]


def test_neighbours_are_numbered_in_rank_order():
    answer = Answer(card(), [card(title) for title in "cab"])
    html = with_sections(Answers("Answers", [answer]))
    found = re.findall(r'class="rank">(\d+)</span><bdi>(\w)</bdi>', html)
    assert found == [("1", "c"), ("2", "a"), ("3", "b")]


def test_a_missing_photo_and_no_neighbours_are_said():
    reader = read(with_sections(Answers("Answers", [Answer(card(picture=None), [])])))
    assert not reader.tags("img")
    assert "photo not found" in reader.text
    assert "no neighbours" in reader.text


def test_empty_parts_leave_no_empty_sections():
    reader = read(with_sections())
    assert not reader.tags("section")
    assert [text for tag, text in reader.headings] == ["t"]


def test_the_tables_name_their_rows_and_columns():
    rows = [("label", "n"), ("a", "2"), ("b", "3")]
    reader = read(with_sections(Table("In detail", rows)))
    assert [attrs["scope"] for attrs in reader.tags("th")] == ["col", "col", "row", "row"]
    assert len(reader.tags("td")) == 2
    reader = read(with_sections(Heat("Confused", ["a", "b"], [[1, 0], [0.25, 0.75]])))
    assert [attrs["scope"] for attrs in reader.tags("th")] == ["col", "col", "row", "row"]
    cells = [attrs["class"] for attrs in reader.tags("td") if attrs]
    assert cells == ["right s20", "wrong s0", "wrong s5", "right s15"]
    assert [text for text in reader.text if text.strip().isdecimal()] == ["100", "25", "75"]


def test_drawings_lie_within_their_frame():
    chart = Curve("c", "n", "x", "y", [(0, 0), (0.25, 1), (1, 1)])
    reader = read(with_sections(Charts("Charts", [chart, Bars("b", "n", "l", "r", [2, 0, 4])])))
    points = [(float(a["cx"]), float(a["cy"])) for a in reader.tags("circle")]
    assert points == [(46, 206), (96, 6), (246, 6)]
    bars = [(float(a["y"]), float(a["height"])) for a in reader.tags("rect")]
    assert bars == [(106, 100), (206, 0), (6, 200)]
    assert [a["aria-label"] for a in reader.tags("svg")] == ["c: n", "b: n"]
    flat = read(with_sections(Charts("Charts", [Bars("b", "n", "l", "r", [0])])))
    assert flat.tags("rect")[0]["height"] == "0.0"


def test_bars_are_as_long_as_their_shares():
    some = [Share("a", 0.0, "none"), Share("b", 0.125, "an eighth"), Share("c", 1.0, "all")]
    below = Answer(card(), [], some)
    for section in (Shares("Bars", some), Answers("Answers", [below])):
        reader = read(with_sections(section))
        bars = [attrs for attrs in reader.tags("svg") if attrs["viewbox"] == "0 0 100 1"]
        assert len(bars) == 3
        assert [float(a["width"]) for a in reader.tags("rect")] == [0, 12.5, 100]
        assert {"none", "an eighth", "all"} <= set(reader.text)


def test_a_page_is_there_whole_or_not_at_all(tmp_path):
    path = tmp_path / "page.html"
    path.write_text("before")
    with pytest.raises(UndefinedError):  # no section at all
        write_page(path, Content("t", "", [], [None], []))
    assert path.read_text() == "before"
    write_page(path, content())
    assert path.read_text() == full()
    assert [one.name for one in tmp_path.iterdir()] == ["page.html"]
    with pytest.raises(InputError, match="cannot be written"):
        write_page(tmp_path / "not" / "page.html", content())


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    read_end = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_page(path, Content("t", "", [], [], []))
        assert os.read(read_end, 15) == b"<!DOCTYPE html>"
    finally:
        os.close(read_end)
    assert path.is_fifo()


def test_neighbours_of_which_some_are_left_out_keep_their_rank():
    some = Answer(card(), [card("a", rank=3), card("b", rank=7)])
    html = with_sections(Pairs("Pairs", [("a and b", [("words", some), ("others", some)])]))
    assert re.findall(r'class="rank">(\d+)</span>', html) == ["3", "7", "3", "7"]
    reader = read(html)
    assert [tag for tag, _ in reader.elements if tag in ("h2", "h3", "h4")] == [
        "h2",
        "h3",
        "h4",
        "h4",
    ]
    assert "words" in reader.text


def test_names_may_break_after_underscores_and_nowhere_else_is_anything_added():
    html = with_sections(Answers("Answers", [Answer(card("a_<b>"), [])]))
    assert "a_<wbr>&lt;b&gt;" in html


def _luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(a, b):
    light, dark = sorted((_luminance(a), _luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_and_marks_have_aacontrast(scheme):
    blocks = re.findall(r":root \{(.*?)\}", full(), re.DOTALL)
    assert len(blocks) == 2
    colour = dict(re.findall(r"--([\w-]+): (#\w{6})", blocks[scheme]))
    for ground in ("paper", "card", "mat"):
        for text in ("text", "quiet"):
            assert contrast(colour[text], colour[ground]) >= 4.5
    assert contrast(colour["strong"], colour["card"]) >= 4.5
    for mark in ("right", "wrong"):
        assert contrast(colour["on-mark"], colour[mark]) >= 4.5
        assert contrast(colour[mark], colour["card"]) >= 3
    # A number in a cell of the heat map, however full the cell is.
    (most,) = re.findall(r"--most: (\d+)%", blocks[scheme])
    for shade in ("right", "wrong"):
        cell = _mixed(colour[shade], colour["card"], int(most) / 100)
        assert contrast(colour["text"], cell) >= 4.5


def _mixed(a, b, share):
    pairs = ((int(a[i : i + 2], 16), int(b[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(share * x + (1 - share) * y):02x}" for x, y in pairs)
