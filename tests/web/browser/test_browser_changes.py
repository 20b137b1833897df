"""Changes of the gallery, and the way back."""

import re

from browsing import a_photo, answered, found, opened, tiles, toast
from playwright.sync_api import expect


def count_of(page, label):
    """Return how many photos the gallery's list says that a label has."""
    text = page.locator("#label-list a", has_text=re.compile(rf"\b{label}\s")).inner_text()
    return int(text.split()[-1])


def test_a_label_is_changed_and_changed_back(own, visit):
    page = visit(own, "/gallery?label=pug")
    page.locator("ul.tiles a").first.click()
    dialog = opened(page)
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
    opened(page).get_by_role("button", name="Take out of the gallery").click()
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
    dialog = opened(page)
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
    opened(page).get_by_role("button", name="Take out of the gallery").click()
    expect(toast(page)).to_contain_text("1 photo taken out")


def test_what_is_gone_by_now_says_so(own, visit):
    page = visit(own, "/gallery?label=pug", expected=(404,))
    page.locator("ul.tiles a").first.click()
    opened(page)
    key = page.locator("dialog").get_attribute("data-item")
    page.keyboard.press("Escape")
    # The dialog is hidden at once, and the address without it comes with the server's answer.
    expect(page).to_have_url(f"{own.address}/?q={key}")
    expect(page.locator("dialog")).to_have_count(0)
    assert page.request.delete(f"{own.address}/api/items/{key}").ok
    page.go_back()
    expect(page.locator(".problem")).to_contain_text("not in the gallery, or not any more")
    page.get_by_role("link", name="Search anew").click()
    expect(page).to_have_url(own.address + "/")


def test_a_server_that_went_away_is_told(own, visit):
    page = visit(own, "/gallery?label=pug", expected=("net::",))
    page.locator("ul.tiles a").first.click()
    dialog = opened(page)
    page.context.set_offline(True)
    dialog.get_by_label("Label").fill("mops")
    page.get_by_role("button", name="Save").click()
    expect(toast(page)).to_contain_text("The server does not answer. See whether")
    page.context.set_offline(False)
    page.get_by_role("button", name="Save").click()
    expect(toast(page)).to_contain_text("abel changed to mops")


def test_nothing_can_be_changed_where_that_is_not_wanted(photos, serve, visit, beagle):
    page = visit(serve(photos / "gallery", read_only=True), f"/?q={beagle}")
    tiles(page).first.click()
    expect(opened(page).get_by_role("link", name="More like this")).to_be_visible()
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
