"""The gallery in the plane: places, the picture, and the page."""

import base64
import hashlib
import io
import json
import os
import re
import sys
from importlib import resources

import numpy as np
import pytest
from PIL import Image, ImageOps

from fakes import fake_embedder, write_photo
from houndsight import Gallery, index, learn
from houndsight.atlas import lay_out
from houndsight.errors import InputError
from houndsight.render import atlas as drawing
from houndsight.render.html import environment
from houndsight.render.sheet import MAT
from test_gallery import DIM, entry
from test_html import contrast, read

HOSTILE = "</script><script>alert(1)</script>\u202e<!--"


@pytest.fixture
def groups(tmp_path):
    """3 labels x 15 photos, each label in a place of its own."""
    rng = np.random.default_rng(0)
    with Gallery.create(tmp_path / "gallery", fake_embedder()) as made:
        root = made.root(os.fsencode(tmp_path / "photos"), None)
        centres = rng.normal(size=(3, DIM))
        rows = [
            entry(f"{n:02d}.jpg", (centres[n % 3] + 0.1 * rng.normal(size=DIM)), f"label-{n % 3}")
            for n in range(45)
        ]
        made.add(root, rows)
        yield made


def apart(atlas):
    """Return how far photos of one label lie from each other, and from those of others."""
    labels = np.array([item.label for item in atlas.items])
    between = np.linalg.norm(atlas.points[:, None] - atlas.points[None], axis=2)
    same = labels[:, None] == labels[None]
    return between[same].max(), between[~same].min()


@pytest.mark.parametrize("method", ["t-SNE", "PCA"])
def test_photos_of_a_group_lie_together(groups, method, monkeypatch):
    if method == "PCA":
        monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    atlas = lay_out(groups)
    assert atlas.method == method
    assert [item.id for item in atlas.items] == [item.id for item in groups.items()]
    inside, outside = apart(atlas)
    assert inside < outside
    assert atlas.points.min() >= 0
    assert atlas.points.max() <= 1
    assert np.ptp(atlas.points, axis=0).max() == pytest.approx(1)
    assert np.array_equal(atlas.points, lay_out(groups).points)


def test_of_too_many_photos_each_label_has_its_share(groups):
    atlas = lay_out(groups, limit=15)
    assert atlas.left_out == 30
    assert [sum(i.label == f"label-{n}" for i in atlas.items) for n in range(3)] == [5, 5, 5]
    assert "30 more photos are not shown" in drawing.page(groups, atlas)


def test_a_learned_metric_is_told_from_others(groups):
    said = "Learned from these labels: new photos lie less clearly apart."
    assert said not in drawing.page(groups, lay_out(groups))
    noisy = np.random.default_rng(1).normal(size=(60, DIM)) * 3
    noisy[:, 0] += np.arange(60) % 3 * 9
    root = groups.root(b"/more", None)
    groups.add(root, [entry(f"m{n}.jpg", v, f"more-{n % 3}") for n, v in enumerate(noisy)])
    name = learn(groups, method="lda").metric
    assert name is not None
    assert said in drawing.page(groups, lay_out(groups, metric=name))
    assert said not in drawing.page(groups, lay_out(groups, metric="plain"))


def test_what_has_no_extent_has_a_place_all_the_same(tmp_path):
    with Gallery.create(tmp_path / "gallery", fake_embedder()) as gallery:
        root = gallery.root(os.fsencode(tmp_path / "photos"), None)
        one = np.ones(DIM, np.float32)
        gallery.add(root, [entry(f"{n}.jpg", one, None) for n in range(2)])
        with pytest.raises(InputError, match="holds 2 photos"):
            lay_out(gallery)
        gallery.add(root, [entry(f"{n}.jpg", one, None) for n in range(2, 20)])
        assert np.isfinite(lay_out(gallery).points).all()
        with pytest.raises(InputError, match="no metric nose"):
            lay_out(gallery, metric="nose")


@pytest.fixture
def hostile(tmp_path):
    folder = tmp_path / "photos"
    for n in range(14):
        write_photo(folder / "dog" / f"<b>{n}&.jpg", n)
    index(folder, tmp_path / "gallery", embedder=fake_embedder())
    with Gallery(tmp_path / "gallery") as gallery:
        gallery.set_labels({gallery.items()[0].id: HOSTILE}, source="user")
        yield gallery


def test_the_page_is_whole_and_keeps_text_as_text(hostile, tmp_path):
    drawing.save(hostile, lay_out(hostile), tmp_path / "map.html")
    page = (tmp_path / "map.html").read_text("utf-8")
    assert page.count("<script") == page.count("</script>") == 2
    script = re.search(r'<script type="module">(.*?)</script>', page, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'\"" in page
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "http:" not in page
    assert "https:" not in page
    assert "default-src 'none'" in page
    assert "\u202e" not in page
    body = re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.DOTALL)
    data = json.loads(body[1])
    assert data == drawing.map_data(hostile, lay_out(hostile))
    assert data["ids"] == [item.key for item in hostile.items()]
    assert "search" not in data
    assert len(data["points"]) == len(data["paths"]) == 14
    assert sorted(data["counts"]) == [0, 1, 13]
    assert any("alert(1)" in label for label in data["labels"])
    assert any(path.endswith("<b>0&.jpg") for path in data["paths"])


def test_the_map_within_another_page_needs_no_style_and_no_script_of_its_own():
    partial = environment().from_string(
        '{% from "map.html.jinja" import map %}{{ map("/sprite?a&b", data_from="/map.json") }}'
    )
    reader = read(partial.render())
    assert [attrs["src"] for attrs in reader.tags("img")] == ["/sprite?a&b"]
    (script,) = reader.tags("script")
    assert (script["type"], script["data-from"]) == ("application/json", "/map.json")
    assert not [tag for tag, attrs in reader.elements if "style" in attrs]
    assert "".join(reader.text).count("{") == 0, "no data: the script is to fetch it"
    css = (resources.files("houndsight.render") / "static" / "atlas.css").read_text("utf-8")
    rules = re.sub(r"/\*.*?\*/|@media[^{]*\{", "", css, flags=re.DOTALL)
    chosen = [part.strip() for part in re.findall(r"([^{}]+)\{", rules)]
    assert len(chosen) > 20
    assert all(part.startswith(".atlas") for part in chosen), "a layout around it stays as it is"
    ids = {attrs["id"] for _, attrs in reader.elements if "id" in attrs}
    used = (resources.files("houndsight.render") / "static" / "atlas.js").read_text("utf-8")
    assert set(re.findall(r'ElementById\("([^"]+)"\)', used)) <= ids


def test_the_sprite_has_each_photo_in_its_place(hostile):
    atlas = lay_out(hostile)
    with Image.open(io.BytesIO(drawing.sprite(hostile, atlas))) as sheet:
        assert (sheet.format, sheet.size) == ("JPEG", (50 * 64, 64))
        for n, item in enumerate(atlas.items):
            with Image.open(io.BytesIO(hostile.thumbnail(item))) as photo:
                given = np.asarray(ImageOps.pad(photo, (64, 64), color=MAT), int)
            cell = np.asarray(sheet.crop((64 * n, 0, 64 * n + 64, 64)), int)
            assert np.abs(cell - given).mean() < 12


def test_colours_of_labels_are_seen_on_the_light_page_and_on_the_dark_one(tmp_path):
    theme = (resources.files("houndsight.render") / "static" / "theme.css").read_text("utf-8")
    papers = re.findall(r"--paper: (#\w{6})", theme)
    assert len(papers) == 2
    with Gallery.create(tmp_path / "gallery", fake_embedder()) as gallery:
        root = gallery.root(os.fsencode(tmp_path / "photos"), None)
        vectors = np.random.default_rng(0).normal(size=(60, DIM))
        gallery.add(root, [entry(f"{n}.jpg", v, f"l{n}") for n, v in enumerate(vectors)])
        colours = drawing.map_data(gallery, lay_out(gallery))["colours"]
    assert len(set(colours)) == 61
    assert min(contrast(colour, paper) for colour in colours for paper in papers) >= 3


def test_the_picture_shows_photos(hostile, tmp_path):
    drawing.save(hostile, lay_out(hostile), tmp_path / "map.png")
    with Image.open(tmp_path / "map.png") as picture:
        assert picture.size == (2000, 2090)
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 200
    with pytest.raises(InputError, match="neither"):
        drawing.save(hostile, lay_out(hostile), tmp_path / "map.gif")
    with pytest.raises(InputError, match="cannot be written"):
        drawing.save(hostile, lay_out(hostile), tmp_path / "absent" / "map.png")


def test_without_the_extra_the_command_says_how_to_get_it(hostile, tmp_path, capsys, monkeypatch):
    from houndsight.cli import app

    monkeypatch.setitem(sys.modules, "sklearn", None)
    real = __import__("importlib.util").util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "sklearn" else real(name)
    )
    app.main(
        ["map", "-g", str(hostile.place), "-o", str(tmp_path / "m.png")], standalone_mode=False
    )
    told = capsys.readouterr()
    assert "pip install 'houndsight[map]'" in told.err
    assert "14 photos by PCA" in told.out
