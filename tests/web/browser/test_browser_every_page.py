"""Every page, for everybody: any window, the keyboard, contrast, axe-core."""

import io
import itertools

import pytest
from browsing import (
    DESK,
    LARGE,
    PHONE,
    ZOOMED,
    found,
    opened,
    overflows,
    tab_through,
    tiles,
    toast,
    violations,
)
from PIL import Image
from playwright.sync_api import expect

PLACES = (
    *("home", "answer", "several", "dialog", "gallery", "map", "quality", "tidy", "about"),
    *("enter", "problem"),
)


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
    dialog = opened(page)
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
    opened(page)
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
    dialog = opened(page)
    dialog.get_by_label("Label").fill("mops")
    dialog.get_by_role("button", name="Save").click()
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
