"""Queries: a part of them, how to search, and the photo that is looked at."""

import re

import pytest
from browsing import EACH, drag, found, key_of, opened, tiles, toast
from playwright.sync_api import expect

# A part of the query


def test_a_rectangle_is_dragged(server, visit, beagle):
    page = visit(server, f"/?q={beagle}")
    before = found(page)
    drag(page, page.locator("figure.query.ready"), (0.1, 0.2), (0.5, 0.6))
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
    page.locator("figure.query.ready").click(position={"x": 5, "y": 5})
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
    ways = {"mean": "like all together", "min": "like any of them", "max": "like every one"}
    for way, words in ways.items():
        page.get_by_label(words).check()
        expect(page.get_by_label(words)).to_be_checked()
        expect(page.locator("section.answer")).to_have_count(1)
        expect(page).to_have_url(re.compile(f"way={way}"))
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
    dialog = opened(page)
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
    opened(page)
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
    dialog = opened(page)
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
