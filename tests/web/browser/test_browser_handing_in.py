"""Photos that are handed in: chosen, dropped, pasted, taken."""

import re
import shutil

import pytest
from browsing import PHONE, a_photo, answered, found, tiles, toast, transfer
from playwright.sync_api import expect

from houndsight import Gallery, calibrate


def hand_in(page, way, *files):
    if way == "choose":
        page.set_input_files("#choose", files)
    elif way == "drop":
        page.dispatch_event("body", "drop", {"dataTransfer": transfer(page, *files)})
    else:
        paste = """(data) => document.dispatchEvent(
            new ClipboardEvent("paste", { clipboardData: data, bubbles: true }))"""
        page.evaluate(paste, transfer(page, *files))


@pytest.mark.parametrize("way", ["choose", "drop", "paste"])
def test_a_photo_is_handed_in(server, visit, way):
    page = visit(server)
    expect(page).to_have_title("Search · houndsight")
    hand_in(page, way, a_photo())
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
        hand_in(page, "drop", text)
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


def here(page):
    """Return the name of the page that the navigation says one is on."""
    return page.get_by_role("navigation", name="Pages").locator("[aria-current]")


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_a_photo_for_another_page_goes_on_to_the_search(server, visit, way):
    page = visit(server, "/gallery?label=pug")
    expect(here(page)).to_have_text("Gallery")
    hand_in(page, way, a_photo())
    expect(answered(page)).to_have_count(20)
    expect(page).to_have_url(re.compile(r"/\?q=[0-9a-f]{64}$"))
    expect(page).to_have_title("Like mine.jpg · houndsight")
    expect(here(page)).to_have_text("Search")
    # What lay between was no place to go back to.
    page.go_back()
    expect(page).to_have_url(f"{server.address}/gallery?label=pug")
    expect(page.locator("#label-list [aria-current]")).to_contain_text("pug")
    expect(here(page)).to_have_text("Gallery")
    page.go_forward()
    expect(answered(page)).to_have_count(20)
    expect(here(page)).to_have_text("Search")


def test_what_is_no_photo_leads_nowhere_from_another_page(server, visit):
    page = visit(server, "/gallery", expected=(422,))
    text = {"name": "a.txt", "mimeType": "text/plain", "buffer": b"no photo"}
    hand_in(page, "drop", text)
    expect(toast(page)).to_contain_text("That is no photo")
    expect(page).to_have_url(server.address + "/gallery")
    expect(here(page)).to_have_text("Gallery")
    # What only the server can tell is told where another photo can be chosen.
    hand_in(page, "drop", {**text, "name": "a.jpg", "mimeType": "image/jpeg"})
    expect(toast(page)).to_contain_text("is no photo of a kind that is read")
    expect(page).to_have_url(server.address + "/")
    expect(here(page)).to_have_text("Search")
    page.go_back()
    expect(page).to_have_url(server.address + "/gallery")
    expect(here(page)).to_have_text("Gallery")


def test_a_photo_dropped_when_the_server_went_away(server, visit):
    page = visit(server, "/gallery", expected=("net::", "afterRequest", "sendError"))
    page.context.set_offline(True)
    hand_in(page, "drop", a_photo())
    expect(toast(page)).to_contain_text("The server does not answer. See whether")
    expect(page).to_have_url(server.address + "/gallery")
    page.context.set_offline(False)
    hand_in(page, "drop", a_photo())
    expect(answered(page)).to_have_count(20)


@pytest.mark.parametrize("way", ["choose", "drop"])
def test_of_several_photos_what_cannot_be_read_is_named_once(server, visit, way):
    page = visit(server)
    bad = {"name": "bad <b>.txt", "mimeType": "text/plain", "buffer": b"no photo"}
    hand_in(page, way, a_photo(0), bad, a_photo(1, 78, "other.jpg"))
    answered(page)
    expect(page.locator("section.answer")).to_have_count(2)
    expect(page.locator(".name")).to_have_text(["mine.jpg ×", "other.jpg ×"])
    expect(page).to_have_title("Like mine.jpg and 1 more · houndsight")
    notice = page.locator(".problem")
    expect(notice).to_contain_text("1 of the files could not be used")
    expect(notice.locator("li")).to_have_count(1)
    expect(notice).to_contain_text("bad <b>.txt: is no photo of a kind that is read")
    expect(page).to_have_url(re.compile(r"/\?q=[0-9a-f]{64}&q=[0-9a-f]{64}$"))
    there, before = page.url, found(page)
    page.reload()
    expect(notice).to_have_count(0)
    assert (page.url, found(page)) == (there, before)
    page.go_back()
    expect(page).to_have_url(server.address + "/")
    page.go_forward()
    expect(page.locator("section.answer")).to_have_count(2)
    expect(notice).to_have_count(0)
