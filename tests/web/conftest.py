import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fakes import fake_embedder, write_photo

pytest.importorskip("fastapi", reason="needs the extra web")

from starlette.testclient import TestClient

from houndsight import Gallery, index
from houndsight.web.app import make_app
from houndsight.web.desk import Desk
from houndsight.web.guard import Rules, Sessions

TESTS = Path(__file__).resolve().parents[1]
LABELS = ("beagle", "collie", "pug", "whippet")


def fill(folder, gallery, *, size=(96, 80), each=5):
    """Index 4 labels x 5 photos with the fake network; photos of a label are not alike."""
    for row, label in enumerate(LABELS):
        for column in range(each):
            write_photo(folder / label / f"{label}-{column}.jpg", 100 * row + column, size)
    index(folder, gallery, embedder=fake_embedder())
    return gallery


@pytest.fixture
def place(tmp_path):
    """The folder of a small gallery."""
    return fill(tmp_path / "photos", tmp_path / "gallery")


@dataclass
class Asked:
    """An app in this process, and what it stands on."""

    client: TestClient
    desk: Desk
    sessions: Sessions = field(default_factory=Sessions)

    @property
    def gallery(self):
        return self.desk.gallery


@pytest.fixture
def ask(place):
    """Return what makes an app by rules: what it is called with goes to `Rules`.

    Errors inside are answered as they would be (500), and not raised in the test.
    """
    opened = []

    def make(embedder=None, *, at=place, **rules):
        library = Gallery(at)
        desk = Desk(library, embedder or fake_embedder())
        opened.extend([desk, library])
        sessions = Sessions()
        app = make_app(desk, Rules(**rules), sessions)
        client = TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False)
        return Asked(client, desk, sessions)

    yield make
    for one in opened:
        one.close()


class Served:
    """A server in a process of its own."""

    def __init__(self, gallery, port=0, **rules):
        rules = {**rules, "names": [*rules.get("names", ())]}
        self.process = subprocess.Popen(
            [
                sys.executable,
                TESTS / "web" / "serving.py",
                TESTS,
                gallery,
                json.dumps(rules),
                str(port),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.address = self.process.stdout.readline().strip()
        self.link = self.process.stdout.readline().strip()
        if not self.address:
            raise RuntimeError(self.process.communicate()[1])
        self.port = int(self.address.rsplit(":", 1)[1])

    def stop(self):
        """Tell it to stop, and wait; returns what it printed since, its errors, its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        out, err = self.process.communicate(timeout=30)
        return out, err, self.process.returncode


def _serving():
    """Return what serves a gallery until the test, or the last of all, ends."""
    running = []

    def start(gallery, **rules):
        running.append(Served(gallery, **rules))
        return running[-1]

    yield start
    for one in running:
        one.stop()


serve = pytest.fixture(_serving, name="serve")
serve_all = pytest.fixture(_serving, scope="session", name="serve_all")
