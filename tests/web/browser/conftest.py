import shutil

import pytest

pytest.importorskip("playwright.sync_api", reason="needs playwright")

from browsing import (
    BROKEN,
    DESK,
    EACH,
    HEBREW,
    KINDS,
    MARKED,
    Watch,
    executable,
    fill,
    key_of,
    like,
)
from playwright.sync_api import sync_playwright

from fakes import fake_embedder
from houndsight import index


# Not for the session: as long as it is there, nothing else in this thread may use asyncio.
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


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def server(photos, serve_all):
    """A server that nothing is changed on."""
    return serve_all(photos / "gallery")


@pytest.fixture
def own(tmp_path, serve):
    """A server of one's own, and its gallery: 4 kinds of 5 photos."""
    gallery = fill(tmp_path / "photos", tmp_path / "gallery", KINDS, 5)
    return serve(gallery)


@pytest.fixture(scope="session")
def beagle(photos):
    """The id of a beagle."""
    return key_of(photos, "/0-0.jpg")
