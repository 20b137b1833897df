"""A browser, and what people do with a page in it."""

import base64
import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect

from fakes import draw, encoded, fake_embedder
from houndsight import Gallery, index

KINDS = ("beagle", "collie", "pug", "whippet")
MARKED, BROKEN, HEBREW = '<img src=x onerror=alert(1)> & "it\'s"', "two\nlines", "כלב גדול"
EACH = 14
AXE = (Path(__file__).parents[1] / "axe" / "axe.min.js").read_text("utf-8")
DESK, PHONE = {"width": 1400, "height": 900}, {"width": 390, "height": 844}
LARGE, ZOOMED = {"width": 3840, "height": 2160}, {"width": 640, "height": 450}
# What is refused is in the console as well, whatever the page does: the browser and htmx say so.
REFUSED = (
    "Failed to load resource: the server responded with a status of {}",
    "Failed to load resource: {}",
    "Response Status Error Code {}",
    "htmx:{}, [object HTMLElement]",
)


def executable():
    """Return where Chromium is; skips the tests where it is not, except in CI."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("CI has no chromium: apt-get install chromium")
        pytest.skip("needs chromium")
    return found


def like(kind, seed, size=(640, 480)):
    """Return a photo: those of a kind are alike."""
    return Image.blend(draw(9000 + kind, size), draw(seed, size), 0.55)


def fill(folder, gallery, labels, each):
    """Index photos, those of a label alike; returns the gallery's path."""
    for kind, label in enumerate(labels):
        (folder / label).mkdir(parents=True)
        for n in range(each):
            like(kind, 100 * kind + n + 1).save(folder / label / f"{kind}-{n}.jpg")
    index(folder, gallery, embedder=fake_embedder())
    return gallery


def a_photo(kind=0, seed=77, name="mine.jpg"):
    """Return a photo as what the file chooser takes."""
    return {"name": name, "mimeType": "image/jpeg", "buffer": encoded(like(kind, seed))}


def key_of(photos, path):
    """Return the id of a photo of the fixture `photos`, by how its path ends."""
    with Gallery(photos / "gallery") as gallery:
        return next(item.key for item in gallery.items() if item.path.endswith(path.encode()))


@dataclass
class Watch:
    """What a page does that nobody sees: complaints, and requests to other hosts."""

    home: str
    complaints: list = field(default_factory=list)
    elsewhere: list = field(default_factory=list)
    # Refusals that are looked for.
    expected: tuple = ()

    def listen(self, page):
        page.on("console", self._say)
        page.on("pageerror", lambda error: self._hear(str(error)))
        page.on("request", lambda request: self._see(request.url))

    def _say(self, message):
        if message.type in ("error", "warning"):
            self._hear(message.text, message.location["url"])

    def _hear(self, text, where=""):
        allowed = [words.format(status) for words in REFUSED for status in self.expected]
        if not text.startswith(tuple(allowed)):
            self.complaints.append((text, where))

    def _see(self, url):
        if not url.startswith((self.home + "/", "data:", "blob:")):
            self.elsewhere.append(url)


def tiles(page):
    return page.locator("ol.tiles a.photo")


def answered(page):
    """Wait for an answer, and return its tiles."""
    expect(page.locator("section.answer").first).to_be_visible()
    return tiles(page)


def found(page):
    """Return the ids of the neighbours."""
    addresses = [one.get_attribute("href") for one in tiles(page).all()]
    return [re.search("show=([0-9a-f]{16})", one)[1] for one in addresses]


def toast(page):
    return page.locator("#said")


def scripted(page):
    """Wait until a page that a link led to is one with its script, as `goto` does by itself."""
    expect(page.locator("html.scripted")).to_be_attached()


def opened(page):
    """Wait until the photo that is looked at is one with its script, and return its dialog."""
    expect(page.locator("dialog.ready")).to_be_visible()
    return page.get_by_role("dialog")


def transfer(page, *files):
    """Return files, dicts as for `set_input_files`, as a DataTransfer of the page."""
    given = [
        (one["name"], one["mimeType"], base64.b64encode(one["buffer"]).decode()) for one in files
    ]
    return page.evaluate_handle(
        """given => {
            const all = new DataTransfer();
            for (const [name, type, text] of given) {
                const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
                all.items.add(new File([bytes], name, { type }));
            }
            return all;
        }""",
        given,
    )


def drag(page, spot, start, end):
    """Drag over an element, from and to shares of its size."""
    spot.scroll_into_view_if_needed()
    box = spot.bounding_box()
    for n, (x, y) in enumerate((start, end)):
        at = box["x"] + x * box["width"], box["y"] + y * box["height"]
        page.mouse.move(*at, steps=4)
        if n == 0:
            page.mouse.down()
    page.mouse.up()


def overflows(page):
    """Return by how many pixels the page is wider than the window."""
    return page.evaluate("document.documentElement.scrollWidth - innerWidth")


FOCUSED = """() => {
    const one = document.activeElement;
    if (one === document.body) return null;
    const ring = [one, one.closest(".button")].filter(Boolean).map((each) => getComputedStyle(each))
        .some((style) => style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0);
    const box = (one.closest(".button") ?? one).getBoundingClientRect();
    const seen = box.width > 1 && box.bottom > 0 && box.top < innerHeight && box.right > 0;
    window.reached ??= new Set();
    window.reached.add(one);
    return { name: one.outerHTML.slice(0, 120), ring, seen };
}"""
MISSED = """() => [...document.querySelectorAll(
    "a[href], button, input:not([type=hidden]), select, summary, [tabindex='0']")]
    .filter((one) => one.checkVisibility() && !one.disabled && !window.reached.has(one))
    .filter((one) => one.type !== "radio" || one.checked)
    .map((one) => one.outerHTML.slice(0, 120))"""


def tab_through(page, most=250):
    """Press Tab until all was reached; return what had no ring or was not seen, and the rest."""
    poor = []
    page.evaluate("document.activeElement.blur()")
    for _ in range(most):
        page.keyboard.press("Tab")
        at = page.evaluate(FOCUSED)
        if at is None:
            break
        if not (at["ring"] and at["seen"]):
            poor.append(at)
    return poor, page.evaluate(MISSED)


def violations(page, rules=None):
    """Return what axe-core finds: rule, impact, and where."""
    if page.evaluate("typeof axe") == "undefined":
        page.evaluate(AXE)
    options = {"resultTypes": ["violations"]}
    if rules:
        options["runOnly"] = {"type": "rule", "values": rules}
    found = page.evaluate("(options) => axe.run(document, options)", options)
    return [
        (
            one["id"],
            one["impact"],
            [(node["html"][:160], node["failureSummary"]) for node in one["nodes"]][:3],
        )
        for one in found["violations"]
    ]
