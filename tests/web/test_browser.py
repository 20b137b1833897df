"""The page in a browser: what a person does, against a server in a process of its own."""

import io
import itertools
import re
import shutil

import pytest

pytest.importorskip("fastapi", reason="needs the extra web")
pytest.importorskip("playwright.sync_api", reason="needs playwright")

from browsing import (
    DESK,
    LARGE,
    PHONE,
    ZOOMED,
    Watch,
    a_photo,
    drag,
    executable,
    fill,
    like,
    overflows,
    tab_through,
    transfer,
    violations,
)
from PIL import Image
from playwright.sync_api import expect, sync_playwright

from fakes import fake_embedder, start_indexing
from houndsight import Gallery, calibrate, index

KINDS = ("beagle", "collie", "pug", "whippet")
MARKED, BROKEN, HEBREW = '<img src=x onerror=alert(1)> & "it\'s"', "two\nlines", "כלב גדול"
EACH = 14
PLACES = (
    *("home", "answer", "several", "dialog", "gallery", "map", "quality", "tidy", "about"),
    *("enter", "problem"),
)


@pytest.fixture(scope="module")
def chromium():
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=executable(), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium):
    """Return what opens a page of a server; nothing may be complained of in any of them."""
    opened = []

    def make(server, path="/", *, expected=(), **options):
        options = {"viewport": DESK, **options}
        context = chromium.new_context(base_url=server.address, **options)
        context.set_default_timeout(10_000)
        watch = Watch(server.address, expected=expected)
        opened.append((context, watch))
        page = context.new_page()
        watch.listen(page)
        page.goto(path)
        return page

    yield make
    for context, watch in opened:
        context.close()
        assert watch.complaints == []
        assert watch.elsewhere == []


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Photos with all that makes trouble, and the gallery that holds them."""
    place = tmp_path_factory.mktemp("browser")
    folder = place / "photos"
    for kind, label in enumerate((MARKED, BROKEN, HEBREW)):
        (folder / label).mkdir(parents=True)
        for n in range(3):
            like(10 + kind, 5000 + 10 * kind + n).save(folder / label / f"{n}.jpg")
    (folder / "pug").mkdir()
    like(0, 4000).save(folder / "pug" / "beagle-in-disguise.jpg")
    (folder / "pug" / "broken.jpg").write_text("no photo")
    (folder / "collie").mkdir()
    first = like(1, 101)
    first.resize((320, 240)).save(folder / "collie" / "small.jpg")
    for kind, label in enumerate(KINDS):
        (folder / label).mkdir(exist_ok=True)
        for n in range(EACH):
            like(kind, 100 * kind + n + 1).save(folder / label / f"{kind}-{n}.jpg")
    shutil.copy(folder / "whippet" / "3-0.jpg", folder / "whippet" / "copy.jpg")
    index(folder, place / "gallery", embedder=fake_embedder())
    return place


@pytest.fixture(scope="module")
def server(photos, serve_all):
    """A server that nothing is changed on."""
    return serve_all(photos / "gallery")


@pytest.fixture
def own(tmp_path, serve):
    """A server of one's own, and its gallery: 4 kinds of 5 photos."""
    gallery = fill(tmp_path / "photos", tmp_path / "gallery", KINDS, 5)
    return serve(gallery)


def key_of(photos, path):
    with Gallery(photos / "gallery") as gallery:
        return next(item.key for item in gallery.items() if item.path.endswith(path.encode()))


@pytest.fixture(scope="module")
def beagle(photos):
    """The id of a beagle."""
    return key_of(photos, "/0-0.jpg")


def tiles(page):
    return page.locator("ol.tiles a.photo")


def answered(page):
    """Wait for an answer, and return its tiles."""
    expect(page.locator("section.answer").first).to_be_visible()
    return tiles(page)


def addresses(page):
    return [one.get_attribute("href") for one in tiles(page).all()]


def found(page):
    """Return the ids of the neighbours."""
    return [re.search("show=([0-9a-f]{16})", one)[1] for one in addresses(page)]


# Asking


@pytest.mark.parametrize("way", ["choose", "drop", "paste"])
def test_a_photo_is_handed_in(server, visit, way):
    page = visit(server)
    expect(page).to_have_title("Search · houndsight")
    if way == "choose":
        page.set_input_files("#choose", a_photo())
    elif way == "drop":
        page.dispatch_event("body", "drop", {"dataTransfer": transfer(page, a_photo())})
    else:
        paste = """(data) => document.dispatchEvent(
            new ClipboardEvent("paste", { clipboardData: data, bubbles: true }))"""
        page.evaluate(paste, transfer(page, a_photo()))
    expect(answered(page)).to_have_count(20)
    expect(page).to_have_url(re.compile(r"/\?q=[0-9a-f]{64}$"))
    expect(page).to_have_title("Like mine.jpg · houndsight")
    expect(page.locator(".name")).to_have_text("mine.jpg")
    expect(page.locator(".vote h3")).to_contain_text("Most neighbours are beagle")
    expect(page.locator(".vote li").first).to_contain_text("14 of 20")
    assert float(page.locator(".vote rect").first.get_attribute("width")) == 70
    nearest = page.locator("ol.tiles > li").first
    expect(nearest.locator(".label")).to_have_text(re.compile(r"^1\s*(beagle|pug)$"))
    expect(nearest.locator(".note")).to_contain_text(re.compile(r"^0\.\d{4} "))
    assert tiles(page).first.locator("img").evaluate("(one) => one.decode().then(() => true)")
    # With a key of its own the same answer is there again, also for others.
    before = found(page)
    page.reload()
    assert found(page) == before
    assert found(visit(server, page.url)) == before


def test_several_photos_are_handed_in_at_once(server, visit):
    page = visit(server)
    page.set_input_files("#choose", [a_photo(0), a_photo(1, 78, "other.jpg")])
    answered(page)
    expect(page.locator("section.answer")).to_have_count(2)
    expect(page).to_have_title("Like mine.jpg and 1 more · houndsight")


def test_without_its_script_the_page_still_searches(server, visit):
    page = visit(server, java_script_enabled=False)
    page.set_input_files("#choose", a_photo())
    page.get_by_role("button", name="Search").click()
    expect(answered(page)).to_have_count(20)


@pytest.mark.parametrize("dropped", [True, False])
def test_what_is_no_photo_is_told_so(server, visit, dropped):
    page = visit(server, expected=(422,))
    if dropped:
        text = {"name": "a.txt", "mimeType": "text/plain", "buffer": b"no photo"}
        page.dispatch_event("body", "drop", {"dataTransfer": transfer(page, text)})
    else:
        fake = {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": b"no photo"}
        page.set_input_files("#choose", fake)
    said = toast(page)
    expect(said).to_contain_text(re.compile("no photo", re.IGNORECASE))
    expect(said).to_contain_text("JPEG, PNG")
    # All is as before, and another photo can be chosen.
    expect(page).to_have_url(server.address + "/")
    page.get_by_role("button", name="Close this message").click()
    expect(said).to_be_empty()
    page.set_input_files("#choose", a_photo())
    answered(page)


def test_there_is_a_camera_where_there_are_fingers(server, visit):
    expect(visit(server).locator(".camera")).to_be_hidden()
    page = visit(server, viewport=PHONE, has_touch=True, is_mobile=True)
    camera = page.get_by_label("Take a photo")
    expect(page.locator(".camera")).to_be_visible()
    assert camera.get_attribute("capture") == "environment"
    camera.set_input_files(a_photo())
    answered(page)


def test_probabilities_are_shown_where_they_are_known(photos, tmp_path, serve, visit):
    shutil.copytree(photos / "gallery", tmp_path / "gallery")
    with Gallery(tmp_path / "gallery") as gallery:
        calibrate(gallery)
    page = visit(serve(tmp_path / "gallery"))
    page.set_input_files("#choose", a_photo())
    answered(page)
    expect(page.locator(".vote h3")).to_contain_text("Probably beagle")
    expect(page.locator(".vote li").first).to_contain_text(re.compile(r"\d+ %"))
    expect(page.locator(".vote")).to_contain_text("none of the labels")


# A part of the query


def test_a_rectangle_is_dragged(server, visit, beagle):
    page = visit(server, f"/?q={beagle}")
    before = found(page)
    drag(page, page.locator("figure.query"), (0.1, 0.2), (0.5, 0.6))
    expect(page).to_have_url(re.compile("crop="))
    expect(page.locator(".crop")).to_be_visible()
    field = page.get_by_label("Only a part of it")
    part = field.input_value()
    assert [float(one) for one in part[:-1].split(",")] == pytest.approx([10, 20, 40, 40], abs=1)
    there = found(page)
    assert there != before
    page.reload()
    expect(field).to_have_value(part)
    expect(page.locator(".crop")).to_be_visible()
    assert found(page) == there
    page.go_back()
    expect(page).to_have_url(f"{server.address}/?q={beagle}")
    expect(page.locator(".crop")).to_have_count(0)
    assert found(page) == before
    page.go_forward()
    expect(field).to_have_value(part)
    # A click is no rectangle: it takes the part away.
    page.locator("figure.query").click(position={"x": 5, "y": 5})
    expect(page).to_have_url(f"{server.address}/?q={beagle}")
    expect(field).to_have_value("")
    assert found(page) == before


def test_a_part_is_typed(server, visit, beagle):
    page = visit(server, f"/?q={beagle}", expected=(422,))
    before = found(page)
    field = page.get_by_label("Only a part of it")
    field.focus()
    page.keyboard.type("10,20,40,40%")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("crop=10%2C20%2C40%2C40%25"))
    expect(page.locator(".crop")).to_be_visible()
    expect(field).to_be_focused()
    assert found(page) != before
    field.fill("here")
    field.press("Enter")
    expect(toast(page)).to_contain_text("'here'")
    expect(field).to_have_value("10,20,40,40%")


# How to search


def test_the_number_of_neighbours_is_chosen_by_keyboard(server, visit, beagle):
    page = visit(server, f"/?q={beagle}")
    slider = page.get_by_role("slider")
    slider.focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    expect(tiles(page)).to_have_count(24)
    expect(page).to_have_url(re.compile("k=24"))
    expect(slider).to_be_focused()
    page.keyboard.press("ArrowLeft")
    expect(tiles(page)).to_have_count(23)
    expect(page.locator("#k-now")).to_have_text("23")
    # What is as always is not in the address.
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    expect(page).to_have_url(f"{server.address}/?q={beagle}")


def test_only_some_labels(server, visit, beagle):
    page = visit(server, f"/?q={beagle}", expected=(404,))
    field = page.get_by_label("Only the label")
    field.fill("pug")
    field.press("Enter")
    expect(tiles(page)).to_have_count(EACH + 1)
    expect(page.locator(".chip")).to_have_count(1)
    field.fill("collie")
    field.press("Enter")
    expect(page.locator(".chip")).to_have_count(2)
    expect(page).to_have_url(re.compile("label=collie.*label=pug|label=pug.*label=collie"))
    expect(tiles(page)).to_have_count(20)
    page.get_by_label("Remove pug from the labels").click()
    expect(page.locator(".chip")).to_have_count(1)
    expect(tiles(page)).to_have_count(EACH + 1)
    assert "pug" not in page.url
    # A label that is not there leaves the answer as it is.
    field.fill("collies")
    field.press("Enter")
    expect(toast(page)).to_contain_text("Labels like it: collie")
    expect(tiles(page)).to_have_count(EACH + 1)


def test_several_queries(server, visit, photos, beagle):
    pug = key_of(photos, "/2-0.jpg")
    page = visit(server, f"/?q={beagle}&q={pug}")
    expect(page.locator("section.answer")).to_have_count(2)
    seen = set()
    for words in ("like all together", "like any of them", "like every one"):
        page.get_by_label(words).check()
        expect(page.get_by_label(words)).to_be_checked()
        expect(page.locator("section.answer")).to_have_count(1)
        expect(page).to_have_url(re.compile("way="))
        expect(page.locator("figure.query")).to_have_count(2)
        expect(page.get_by_label(words)).to_be_focused()
        seen.add(tuple(found(page)))
    assert len(seen) == 3
    page.get_by_label("one by one").check()
    expect(page.locator("section.answer")).to_have_count(2)
    page.get_by_label("Leave out 0-0.jpg").click()
    expect(page).to_have_url(f"{server.address}/?q={pug}")
    expect(page.locator("section.answer")).to_have_count(1)
    expect(page.get_by_label("Leave out")).to_have_count(0)


def test_more_like_this(server, visit, beagle):
    page = visit(server, f"/?q={beagle}&k=40")
    key = found(page)[30]
    page.get_by_role("link", name="more like this : neighbour 31").click()
    expect(page).to_have_url(f"{server.address}/?q={key}&k=40")
    expect(page.locator("#page")).to_be_focused()
    assert page.evaluate("scrollY") == 0
    page.go_back()
    expect(page).to_have_url(f"{server.address}/?q={beagle}&k=40")
    expect(page.get_by_role("img", name="the query: 0-0.jpg")).to_be_attached()
    assert page.evaluate("scrollY") > 0


# One photo


def test_a_photo_is_looked_at(server, visit, beagle):
    page = visit(server, f"/?q={beagle}")
    tiles(page).nth(7).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    key = found(page)[7]
    expect(page).to_have_url(f"{server.address}/?q={beagle}&show={key}")
    expect(dialog.get_by_role("img", name="the query", exact=True)).to_be_visible()
    expect(dialog).to_contain_text(re.compile(r"neighbour 8, at distance 0\.\d{4}"))
    for text in ("beagle", "/photos/beagle/0-", "640 × 480 pixels", key, "the same picture"):
        expect(dialog).to_contain_text(text)
    images = dialog.locator("#why img")
    expect(images.first).to_be_hidden()
    dialog.get_by_text("What made them alike?").click()
    for one in images.all():
        expect(one).to_be_visible()
        expect(one).to_have_js_property("complete", True)
        assert one.evaluate("(one) => one.decode().then(() => one.naturalWidth)") > 100
    # The page behind is out of reach.
    assert page.evaluate("document.querySelector('dialog').matches(':modal')")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(tiles(page).nth(7)).to_be_focused()
    expect(page).to_have_url(f"{server.address}/?q={beagle}")


def test_every_state_is_an_address(server, visit, beagle):
    page = visit(server, f"/?q={beagle}")
    key = found(page)[3]
    page.get_by_label("Only the label").fill("beagle")
    page.get_by_label("Only the label").press("Enter")
    expect(page.locator(".chip")).to_have_count(1)
    tiles(page).nth(2).click()
    expect(page.get_by_role("dialog")).to_be_visible()
    state, shown = page.url, page.locator("dialog").get_attribute("data-item")
    page.go_back()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator(".chip")).to_have_count(1)
    page.go_back()
    expect(page.locator(".chip")).to_have_count(0)
    assert found(page)[3] == key
    page.go_forward()
    expect(page.locator(".chip")).to_have_count(1)
    page.go_forward()
    expect(page.get_by_role("dialog")).to_be_visible()
    # Faster than the answers come.
    page.evaluate("history.back()")
    expect(page).not_to_have_url(state)
    page.evaluate("history.back()")
    expect(page.locator(".chip")).to_have_count(0)
    page.evaluate("history.forward()")
    expect(page).to_have_url(re.compile("label="))
    page.evaluate("history.forward()")
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(page.locator(".chip")).to_have_count(1)
    page.reload()
    other = visit(server, state, color_scheme="dark")
    for one in (page, other):
        assert one.url == state
        expect(one.get_by_role("dialog")).to_be_visible()
        expect(one.locator("dialog")).to_have_attribute("data-item", shown)
        assert one.evaluate("document.querySelector('dialog').matches(':modal')")
        assert found(one) == found(page)
    # Closed by its button, and by a click beside it.
    page.get_by_role("link", name="Close").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    other.mouse.click(5, 5)
    expect(other.get_by_role("dialog")).to_have_count(0)


def test_the_same_picture_and_another_query(server, visit, photos):
    copied, again = key_of(photos, "/3-0.jpg"), key_of(photos, "whippet/copy.jpg")
    page = visit(server, f"/?q={copied}")
    tiles(page).nth(1).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("link", name="Search with it as well").click()
    expect(page.locator("section.answer")).to_have_count(2)
    expect(dialog).to_have_count(0)
    page.goto(f"/?q={copied}&show={copied}")
    same = page.get_by_role("dialog").get_by_text("same bytes")
    for _ in range(20):  # how near is near is found out first
        if same.count():
            break
        page.wait_for_timeout(100)
        page.reload()
    expect(same).to_be_visible()
    page.get_by_role("link", name="the same picture, whippet").click()
    expect(page.locator("dialog")).to_have_attribute("data-item", again)
    page.get_by_role("dialog").get_by_role("link", name="More like this").click()
    expect(page).to_have_url(f"{server.address}/?q={again}")


# Changes


def toast(page):
    return page.locator("#said")


def count_of(page, label):
    """Return how many photos the gallery's list says that a label has."""
    text = page.locator("#label-list a", has_text=re.compile(rf"\b{label}\s")).inner_text()
    return int(text.split()[-1])


def test_a_label_is_changed_and_changed_back(own, visit):
    page = visit(own, "/gallery?label=pug")
    page.locator("ul.tiles a").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Label").fill("mops")
    dialog.get_by_role("button", name="Save").click()
    expect(toast(page)).to_contain_text("abel changed to mops.")
    expect(dialog.get_by_role("heading", name="mops")).to_be_visible()
    expect(dialog).to_contain_text("from a person")
    other = visit(own, "/gallery")
    assert (count_of(other, "pug"), count_of(other, "mops")) == (4, 1)
    toast(page).get_by_role("button", name="Undo").click()
    expect(toast(page)).to_contain_text("aken back")
    expect(dialog.get_by_role("heading", name="pug")).to_be_visible()
    other.reload()
    assert count_of(other, "pug") == 5
    expect(other.locator("#label-list")).not_to_contain_text("mops")
    # Without a label, and with the message still there once the dialog is closed.
    dialog.get_by_label("Label").fill("")
    dialog.get_by_label("Label").press("Enter")
    expect(dialog.get_by_role("heading", name="no label")).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    toast(page).get_by_role("button", name="Undo").click()
    expect(toast(page)).to_contain_text("aken back")
    expect(page.locator(".known")).to_contain_text("pug")


def test_a_photo_is_taken_out_and_put_back(own, visit):
    page = visit(own)
    page.set_input_files("#choose", a_photo(2))
    expect(answered(page)).to_have_count(20)
    key = found(page)[0]
    tiles(page).first.click()
    page.get_by_role("button", name="Take out of the gallery").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(tiles(page)).to_have_count(19)
    assert key not in found(page)
    expect(page.locator(".vote li", has_text="pug")).to_contain_text("4 of 19")
    toast(page).get_by_role("button", name="Undo").click()
    expect(tiles(page)).to_have_count(20)
    assert found(page)[0] == key
    # The query itself: there is nothing left to show beside.
    page.goto(f"/?q={key}&show={key}")
    page.get_by_role("button", name="Take out of the gallery").click()
    expect(page).to_have_url(own.address + "/")
    expect(page.get_by_role("heading", name="Or begin with one of these")).to_be_visible()
    toast(page).get_by_role("button", name="Undo").click()
    expect(toast(page)).to_contain_text("aken back")


def test_a_query_is_added_and_taken_out_again(own, visit):
    page = visit(own)
    page.set_input_files("#choose", a_photo(1))
    expect(answered(page)).to_have_count(20)
    field = page.get_by_label("Add it to the gallery as")
    expect(field).to_have_value("collie")
    field.fill("new kind")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(toast(page)).to_contain_text("1 photo added, new kind")
    expect(page.locator("ol.tiles li").first).to_contain_text("same file")
    expect(page.locator("ol.tiles li").first).to_contain_text("new kind")
    listed = visit(own, "/gallery")
    expect(listed.locator("h1")).to_contain_text("21")
    assert count_of(listed, "new kind") == 1
    expect(listed.locator("ul.tiles .label").first).to_have_text("new kind")
    toast(page).get_by_role("button", name="Undo").click()
    expect(page.locator("ol.tiles li").first).not_to_contain_text("same file")
    listed.reload()
    expect(listed.locator("h1")).to_contain_text("20")


def test_what_is_refused_says_why(own, visit):
    page = visit(own, "/gallery?label=pug", expected=(409,))
    page.locator("ul.tiles a").first.click()
    dialog = page.get_by_role("dialog")
    key = page.locator("dialog").get_attribute("data-item")
    dialog.get_by_label("Label").fill("mops")
    dialog.get_by_role("button", name="Save").click()
    undo = toast(page).get_by_role("button", name="Undo")
    expect(undo).to_be_visible()
    changed = page.request.patch(f"{own.address}/api/items/{key}", data={"label": "other"})
    assert changed.ok
    undo.click()
    expect(page.locator(".toast.failed")).to_contain_text(re.compile(r"changed .* since"))
    expect(dialog).to_be_visible()
    page.get_by_role("button", name="Close this message").click()
    # The next change works as ever.
    page.get_by_role("link", name="Close").click()
    expect(dialog).to_have_count(0)
    page.goto("/gallery?label=collie")
    page.locator("ul.tiles a").first.click()
    page.get_by_role("button", name="Take out of the gallery").click()
    expect(toast(page)).to_contain_text("1 photo taken out")


def test_what_is_gone_by_now_says_so(own, visit):
    page = visit(own, "/gallery?label=pug", expected=(404,))
    page.locator("ul.tiles a").first.click()
    expect(page.locator("dialog.ready")).to_be_visible()
    key = page.locator("dialog").get_attribute("data-item")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert page.request.delete(f"{own.address}/api/items/{key}").ok
    page.go_back()
    expect(page.locator(".problem")).to_contain_text("not in the gallery, or not any more")
    page.get_by_role("link", name="Search anew").click()
    expect(page).to_have_url(own.address + "/")


def test_a_server_that_went_away_is_told(own, visit):
    page = visit(own, "/gallery?label=pug", expected=("net::",))
    page.locator("ul.tiles a").first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.context.set_offline(True)
    page.get_by_role("dialog").get_by_label("Label").fill("mops")
    page.get_by_role("button", name="Save").click()
    expect(toast(page)).to_contain_text("The server does not answer. See whether")
    page.context.set_offline(False)
    page.get_by_role("button", name="Save").click()
    expect(toast(page)).to_contain_text("abel changed to mops")


def test_nothing_can_be_changed_where_that_is_not_wanted(photos, serve, visit, beagle):
    page = visit(serve(photos / "gallery", read_only=True), f"/?q={beagle}")
    tiles(page).first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(page.get_by_role("dialog").get_by_role("link", name="More like this")).to_be_visible()
    expect(page.locator("form[data-change]")).to_have_count(0)
    page.goto("/")
    page.set_input_files("#choose", a_photo())
    answered(page)
    expect(page.get_by_text("Add it to the gallery")).to_have_count(0)
    page.goto("/tidy")
    expect(page.locator(".groups ul")).to_have_count(2)
    expect(page.locator("form[data-change]")).to_have_count(0)
    page.goto("/about")
    expect(page.locator("dl")).to_contain_text("cannot be made here")


# The other pages


def test_the_gallery_by_label(server, visit):
    page = visit(server, "/gallery")
    total = 4 * EACH + 3 * 3 + 3
    expect(page.locator("h1")).to_contain_text(str(total))
    expect(page.locator("ul.tiles > li")).to_have_count(60)
    page.get_by_role("link", name="Later in the list").click()
    expect(page.locator("ul.tiles > li")).to_have_count(total - 60)
    page.get_by_role("link", name="Earlier in the list").click()
    expect(page.locator("ul.tiles > li")).to_have_count(60)
    page.get_by_label("Find a label").fill("COLL")
    entries = page.locator("#label-list > li:visible")
    expect(entries).to_have_count(1)
    entries.get_by_role("link").click()
    expect(page.locator("h1")).to_contain_text("collie")
    expect(page.locator("ul.tiles > li")).to_have_count(EACH + 1)
    expect(page.locator("#label-list [aria-current]")).to_contain_text("collie")
    assert set(page.locator("ul.tiles .label").all_inner_texts()) == {"collie"}


def test_labels_are_text(server, visit, photos):
    page = visit(server, "/gallery")
    entries = page.locator("#label-list a")
    for label in (MARKED, "two\\nlines", HEBREW):
        expect(entries.filter(has_text=label)).to_have_count(1)
        entries.filter(has_text=label).click()
        expect(page.locator("h1")).to_contain_text(label)
        expect(page.locator("ul.tiles > li")).to_have_count(3)
        page.locator("ul.tiles a").first.click()
        expect(page.get_by_role("dialog").get_by_role("heading")).to_have_text(label)
        page.get_by_role("dialog").get_by_role("link", name="More like this").click()
        expect(page.get_by_role("dialog")).to_have_count(0)
        field = page.get_by_label("Only the label")
        field.fill("pug")
        field.press("Enter")
        expect(page.locator(".chip")).to_have_count(1)
        page.goto("/gallery")
    assert page.locator("img[onerror]").count() == 0


def test_the_map(server, visit):
    page = visit(server, "/map")
    canvas = page.get_by_role("application")
    expect(canvas).to_be_visible(timeout=30_000)
    buttons = page.locator("#atlas-labels button")
    expect(buttons).to_have_count(7)
    drawn = """(canvas) => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height)
        .data.some((value) => value)"""
    page.wait_for_timeout(100)
    assert canvas.evaluate(drawn)
    # A photo, found by going over the map.
    card = page.locator("#atlas-card")
    box = canvas.bounding_box()
    for n in range(2000):
        x, y = 0.2 + 0.02 * (n % 30), 0.2 + 0.02 * (n // 30)
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        if card.is_visible():
            break
    expect(card).to_contain_text("/photos/")
    href = page.locator("#atlas-search").get_attribute("href")
    page.mouse.down()
    page.mouse.up()
    expect(page).to_have_url(server.address + href)
    answered(page)
    page.go_back()
    canvas.focus()
    expect(buttons).to_have_count(7)
    page.keyboard.press("ArrowRight")
    expect(card).to_be_visible()
    page.keyboard.press("Escape")
    expect(card).to_be_hidden()
    page.keyboard.press("ArrowLeft")
    href = page.locator("#atlas-search").get_attribute("href")
    page.get_by_label("Show only labels with").fill("pug")
    expect(page.locator("#atlas-labels button:visible")).to_have_count(1)
    canvas.focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(server.address + href)


def test_the_quality(own, visit):
    page = visit(own, "/quality")
    page.get_by_role("button", name="Evaluate now").click()
    expect(page.locator(".report .figures")).to_be_visible(timeout=30_000)
    for words in (
        "precision@",
        "most confused labels",
        "Worst queries",
        "By label, the worst first",
    ):
        expect(page.locator(".report")).to_contain_text(words)
    expect(page.locator(".heat tbody tr")).to_have_count(4)
    expect(page.locator(".report .neighbours img").first).to_be_visible()
    expect(page.get_by_role("button", name="Evaluate")).to_have_count(0)
    key = page.request.get(f"{own.address}/api/items?limit=1").json()["items"][0]["id"]
    page.request.patch(f"{own.address}/api/items/{key}", data={"label": "other"})
    page.reload()
    expect(page.locator(".stale")).to_be_visible()
    page.get_by_role("button", name="Evaluate again").click()
    expect(page.locator(".stale")).to_have_count(0, timeout=30_000)


def test_tidying_up(photos, tmp_path, serve, visit):
    shutil.copytree(photos / "gallery", tmp_path / "gallery")
    page = visit(serve(tmp_path / "gallery"), "/tidy")
    groups = page.locator(".groups ul")
    expect(groups).to_have_count(2, timeout=30_000)
    # Only where one is larger than the others is it said.
    expect(page.get_by_text("the largest")).to_have_count(1)
    small = groups.filter(has_text="the largest").locator("li", has_text="320 × 240")
    small.get_by_role("button", name="Take out").click()
    expect(groups).to_have_count(1)
    expect(toast(page)).to_contain_text("1 photo taken out")
    toast(page).get_by_role("button", name="Undo").click()
    expect(groups).to_have_count(2)
    doubtful = page.get_by_role("region", name="Labels that may be wrong").locator("li")
    wrong = doubtful.filter(has_text="looks like beagle").filter(has=page.get_by_text("pug"))
    expect(wrong).to_have_count(1)
    wrong.get_by_role("button", name="Make it so").click()
    expect(wrong).to_have_count(0)
    expect(page.locator(".stale")).to_be_visible()
    toast(page).get_by_role("button", name="Undo").click()
    expect(wrong).to_have_count(1)
    wrong.get_by_role("link").click()
    expect(page.get_by_role("dialog")).to_contain_text("beagle-in-disguise.jpg")


def test_about_the_gallery(server, visit, photos):
    page = visit(server, "/about")
    with Gallery(photos / "gallery") as gallery:
        print_ = gallery.fingerprint
    for text in (print_, "fake", "192 numbers a photo", str(photos / "photos"), "can be made here"):
        expect(page.locator("dl")).to_contain_text(text)
    expect(page.get_by_role("heading", name="1 file could not be taken in")).to_be_visible()
    row = page.locator("tbody tr")
    expect(row).to_contain_text("pug/broken.jpg")
    expect(row).to_contain_text("is no photo of a kind that is read")


def test_photos_show_while_another_process_indexes(own, tmp_path, visit):
    folder = tmp_path / "photos" / "late"
    folder.mkdir()
    for n in range(48):
        like(7, 3000 + n, (64, 48)).save(folder / f"{n}.jpg")
    indexing = start_indexing(tmp_path / "photos", tmp_path / "gallery", wait=0.8)
    try:
        indexing.stdout.readline()
        page, other = visit(own, "/gallery"), visit(own)
        bar = page.get_by_role("progressbar", name=re.compile("Indexing: "))
        expect(bar).to_be_visible()
        first = bar.evaluate("(bar) => bar.value")
        page.get_by_label("Find a label").fill("la")
        expect(page.locator("h1")).not_to_contain_text("20")
        total = int(page.locator("h1 small").inner_text())
        other.set_input_files("#choose", a_photo())
        expect(answered(other)).to_have_count(20)
        expect(page.locator("h1 small")).not_to_have_text(str(total), timeout=15_000)
        assert bar.count() == 0 or bar.evaluate("(bar) => bar.value") > first
        # What was being looked for stays.
        expect(page.get_by_label("Find a label")).to_have_value("la")
        expect(page.get_by_label("Find a label")).to_be_focused()
        expect(page.locator("#label-list > li:visible")).to_have_count(1)
        expect(page.locator("ul.tiles .label").first).to_have_text("late")
        expect(page.locator("h1")).to_contain_text("68", timeout=20_000)
        expect(bar).to_have_count(0)
    finally:
        indexing.communicate(timeout=30)


def test_who_has_the_link_or_the_token_comes_in(photos, serve, visit):
    served = serve(photos / "gallery", token="a-long-secret")
    page = visit(served, served.link.removeprefix(served.address))
    expect(page).to_have_url(served.address + "/")
    expect(page.locator("ul.tiles img").first).to_be_visible()
    page.goto("/about")
    page.get_by_role("button", name="Make a link for another device").click()
    another = page.locator("output")
    expect(another).to_contain_text("/enter?key=")
    second = visit(served, another.inner_text().removeprefix(served.address))
    expect(second).to_have_url(served.address + "/")
    # Once each.
    late = visit(served, served.link.removeprefix(served.address), expected=(401,))
    expect(late.locator(".problem")).to_contain_text("This link was used before")
    late.goto("/gallery")
    late.get_by_label("Token").fill("wrong")
    late.get_by_role("button", name="Come in").click()
    expect(late.locator(".problem")).to_contain_text("not this server's token")
    late.get_by_label("Token").fill("a-long-secret")
    late.get_by_label("Token").press("Enter")
    expect(late).to_have_url(served.address + "/")
    late.goto("/gallery")
    expect(late.locator("ul.tiles img").first).to_be_visible()


# Every page, for everybody


@pytest.fixture(scope="module")
def places(server, beagle, chromium):
    """Where to look: the address of every kind of page, by name; what takes a while is made."""
    page = chromium.new_page(base_url=server.address)
    page.set_default_timeout(30_000)
    page.goto("/quality")
    page.get_by_role("button", name="Evaluate now").click()
    page.locator(".report").wait_for()
    for one, made in (("/map", "#atlas-labels button >> nth=0"), ("/tidy", ".groups ul >> nth=1")):
        page.goto(one)
        page.locator(made).wait_for()
    page.goto(f"/?q={beagle}")
    show = found(page)[0]
    page.close()
    return {
        "home": "/",
        "answer": f"/?q={beagle}&label=pug&label=beagle&k=30",
        "several": f"/?q={beagle}&q={show}&way=mean",
        "dialog": f"/?q={beagle}&show={show}",
        "gallery": "/gallery?label=pug",
        "map": "/map",
        "quality": "/quality",
        "tidy": "/tidy",
        "about": "/about",
        "enter": "/enter",
        "problem": f"/?q={'0' * 64}",
    }


def arrive(page, name, places):
    page.goto(places[name], wait_until="load")
    if name == "dialog":
        page.get_by_text("What made them alike?").click()
    elif name == "map":
        expect(page.locator("#atlas-labels button")).to_have_count(7)
        page.get_by_role("application").focus()
        page.keyboard.press("ArrowRight")
        expect(page.locator("#atlas-card")).to_be_visible()


@pytest.mark.parametrize("sizes", [(PHONE,), (LARGE, DESK, ZOOMED)], ids=["phone", "desk"])
def test_no_page_is_wider_than_the_window(server, visit, places, sizes):
    small = sizes[0] is PHONE
    page = visit(server, viewport=sizes[0], has_touch=small, is_mobile=small, expected=(404,))
    for name, size in itertools.product(PLACES, sizes):
        if size is sizes[0]:
            arrive(page, name, places)
        page.set_viewport_size(size)
        assert overflows(page) <= 0, (name, size)
        cut = """() => [...document.querySelectorAll("main :is(a, button, input, h1, h2, p)")]
            .filter((one) => one.checkVisibility() && !one.closest(".scroll, .unseen, .ways"))
            .filter((one) => one.getBoundingClientRect().right > innerWidth + 1)
            .map((one) => one.outerHTML.slice(0, 100))"""
        assert page.evaluate(cut) == [], (name, size)


@pytest.mark.parametrize(
    "name", ["home", "answer", "several", "gallery", "tidy", "about", "quality"]
)
def test_all_is_reached_by_keyboard(server, visit, places, name):
    page = visit(server, places[name])
    poor, missed = tab_through(page)
    assert poor == []
    assert missed == []


def test_the_first_tab_leads_past_the_navigation(server, visit, beagle):
    page = visit(server, f"/?q={beagle}")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")
    # A photo is looked at, its label changed no more, and one goes back, all without a mouse.
    tiles(page).nth(2).focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    for _ in range(12):
        page.keyboard.press("Tab")
        assert page.evaluate(
            "document.activeElement === document.body || !!document.activeElement.closest('dialog')"
        )
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(tiles(page).nth(2)).to_be_focused()


def test_nothing_moves_for_those_who_do_not_want_it(server, visit, beagle):
    page = visit(server, f"/?q={beagle}", reduced_motion="reduce")
    tiles(page).first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    moving = """() => [...document.querySelectorAll("*")].map((one) => getComputedStyle(one))
        .filter((style) => parseFloat(style.transitionDuration)
            || parseFloat(style.animationDuration)).length + document.getAnimations().length"""
    assert page.evaluate(moving) == 0


@pytest.mark.parametrize("name", PLACES)
def test_axe_finds_nothing(server, visit, places, name):
    page = visit(server, "/api/health", expected=(404,), bypass_csp=True)
    arrive(page, name, places)
    # Both shapes of the page in full, and both in either colours.
    for size, scheme, rules in (
        (DESK, "light", None),
        (DESK, "dark", ["color-contrast"]),
        (PHONE, "dark", None),
        (PHONE, "light", ["color-contrast"]),
    ):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size(size)
        assert violations(page, rules) == [], (scheme, size)


def test_axe_finds_nothing_in_messages(own, visit):
    page = visit(own, "/gallery?label=pug", bypass_csp=True)
    page.locator("ul.tiles a").first.click()
    page.get_by_role("dialog").get_by_label("Label").fill("mops")
    page.get_by_role("button", name="Save").click()
    expect(toast(page)).to_contain_text("mops")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert violations(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_has_the_focus_stands_out(server, visit, scheme):
    """At least 3 : 1 (WCAG 2.2, 1.4.11), as the borders of fields; axe does not look at it."""
    page = visit(server, color_scheme=scheme)
    colours = page.evaluate(
        """() => {
            const style = getComputedStyle(document.documentElement);
            const names = ["key", "quiet", "strong", "paper", "card", "mat"];
            const value = (name) => [name, style.getPropertyValue(`--${name}`)];
            return Object.fromEntries(names.map(value));
        }"""
    )

    def luminance(text):
        parts = [int(text.strip()[n : n + 2], 16) / 255 for n in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for ring in ("key", "quiet", "strong"):
        for ground in ("paper", "card", "mat"):
            low, high = sorted(luminance(colours[one]) for one in (ring, ground))
            assert (high + 0.05) / (low + 0.05) >= 3, (ring, ground)


def test_photos_fill_a_large_screen(server, visit, beagle):
    page = visit(server, f"/?q={beagle}", viewport=LARGE)
    first = tiles(page).first.bounding_box()
    assert first["width"] > 200
    assert page.evaluate("parseFloat(getComputedStyle(document.documentElement).fontSize)") > 20
    # Sharp in print as well as small: nothing is scaled beyond its size by much.
    source = page.locator("figure.query img").get_attribute("src")
    assert Image.open(io.BytesIO(page.request.get(source).body())).size == (640, 480)
