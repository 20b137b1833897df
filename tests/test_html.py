import base64
import re
from html.parser import HTMLParser
from io import BytesIO
from itertools import pairwise

import pytest
from PIL import Image

from houndsight.render.html import Answer, Card, Figure, page

VOID = {"meta", "link", "img", "br", "hr", "input", "path"}
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


def full(text="Hound"):
    return page(
        title=text,
        lead=text,
        figures=[Figure(text, text, text, text), Figure("p", "1 %", "", "")],
        table=[("label", text), (text, "2"), ("b", text)],
        answers=[
            Answer(card(text), [card(text, right=True), card(text, right=False, note=text)]),
            Answer(card(text, picture=None), [card("c", picture=None), card(text, alt=text)]),
            Answer(card(text), []),
        ],
        facts=[(text, text)],
    )


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
    assert set(levels) <= {1, 2, 3}


def test_thumbnails_are_the_bytes_given_and_have_alt_texts():
    red, blue = jpeg("red"), jpeg("blue")
    answer = Answer(card("a", picture=red), [card("b", picture=blue)])
    html = page(title="t", lead="", figures=[], table=[], answers=[answer], facts=[])
    images = read(html).tags("img")
    sources = [base64.b64decode(image["src"].partition(",")[2]) for image in images]
    assert sources == [red, blue]
    assert [image["alt"] for image in images] == ["photo of a", "photo of b"]


def test_right_and_wrong_are_said_in_words_and_unknown_is_not():
    answer = Answer(
        card(), [card(right=True), card(right=False), card(right=None), card(right=True)]
    )
    html = page(title="t", lead="", figures=[], table=[], answers=[answer], facts=[])
    words = [text.strip() for text in read(html).text]
    assert words.count("right") == 2
    assert words.count("wrong") == 1
    classes = [attrs.get("class") for attrs in read(html).tags("li")]
    assert classes == ["framed right", "framed wrong", None, "framed right"]


def test_neighbours_are_numbered_in_rank_order():
    answer = Answer(card(), [card(title) for title in "cab"])
    html = page(title="t", lead="", figures=[], table=[], answers=[answer], facts=[])
    found = re.findall(r'class="rank">(\d+)</span><bdi>(\w)</bdi>', html)
    assert found == [("1", "c"), ("2", "a"), ("3", "b")]


def test_a_missing_photo_and_no_neighbours_are_said():
    html = page(
        title="t",
        lead="",
        figures=[],
        table=[],
        answers=[Answer(card(picture=None), [])],
        facts=[],
    )
    reader = read(html)
    assert not reader.tags("img")
    assert "photo not found" in reader.text
    assert "no neighbours" in reader.text


def test_empty_parts_leave_no_empty_sections():
    reader = read(page(title="t", lead="", figures=[], table=[], answers=[], facts=[]))
    assert not reader.tags("section")
    assert [text for tag, text in reader.headings] == ["t"]


def test_the_table_names_its_rows_and_columns():
    reader = read(full())
    scopes = [attrs["scope"] for attrs in reader.tags("th")]
    assert scopes == ["col", "col", "row", "row"]
    assert len(reader.tags("td")) == 2


def _luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _contrast(a, b):
    light, dark = sorted((_luminance(a), _luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_and_marks_have_aa_contrast(scheme):
    blocks = re.findall(r":root \{(.*?)\}", full(), re.DOTALL)
    assert len(blocks) == 2
    colour = dict(re.findall(r"--([\w-]+): (#\w{6})", blocks[scheme]))
    for ground in ("paper", "card", "mat"):
        for text in ("text", "quiet"):
            assert _contrast(colour[text], colour[ground]) >= 4.5
    assert _contrast(colour["strong"], colour["card"]) >= 4.5
    for mark in ("right", "wrong"):
        assert _contrast(colour["on-mark"], colour[mark]) >= 4.5
        assert _contrast(colour[mark], colour["card"]) >= 3
