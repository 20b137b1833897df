"""The other pages, each with what it is for."""

import re
import shutil

from browsing import (
    EACH,
    HEBREW,
    MARKED,
    a_photo,
    answered,
    like,
    scripted,
    toast,
)
from playwright.sync_api import expect

from fakes import start_indexing
from houndsight import Gallery


def test_the_gallery_by_label(server, visit):
    page = visit(server, "/gallery")
    total = 4 * EACH + 3 * 3 + 3
    expect(page.locator("h1")).to_contain_text(str(total))
    expect(page.locator("ul.tiles > li")).to_have_count(60)
    page.get_by_role("link", name="Later in the list").click()
    expect(page.locator("ul.tiles > li")).to_have_count(total - 60)
    page.get_by_role("link", name="Earlier in the list").click()
    expect(page.locator("ul.tiles > li")).to_have_count(60)
    scripted(page)
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
