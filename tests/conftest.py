import os
import re
import signal
from pathlib import Path

import pytest

from fakes import write_photo

# Processes of pytest-xdist ignore Ctrl-C, and so would all that they start.
if "PYTEST_XDIST_WORKER" in os.environ:
    signal.signal(signal.SIGINT, signal.default_int_handler)

LABELS = ("beagle", "collie", "pug")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache folder of the test's own (not made): nothing is read from or left in the user's."""
    place = tmp_path.parent / f"{tmp_path.name}-cache"
    monkeypatch.setenv("HOUNDSIGHT_CACHE", str(place))
    return place


@pytest.fixture(autouse=True)
def config(monkeypatch):
    """No settings: not those of whoever runs the tests."""
    monkeypatch.setenv("HOUNDSIGHT_CONFIG", os.devnull)


@pytest.fixture
def photos(tmp_path):
    """A folder with 3 labels x 4 JPEGs."""
    folder = tmp_path / "photos"
    for row, label in enumerate(LABELS):
        for column in range(4):
            write_photo(folder / label / f"{label}-{column}.jpg", 10 * row + column)
    return folder


@pytest.fixture
def shared():
    """The folder of data for development that is no part of the project."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    place = Path(os.environ.get("HOUNDSIGHT_SHARED") or beside)
    if not place.is_dir():
        pytest.skip(f"needs the development data, which are not at {place}")
    return place


@pytest.fixture(scope="module")
def milvus_port(tmp_path_factory):
    """The port of a Milvus Lite that only the tests of a file have."""
    from milvus_servers import serving

    with serving(tmp_path_factory.mktemp("milvus") / "data") as port:
        yield port


@pytest.fixture
def url(milvus_port, request):
    """An address of a gallery there that no other test has."""
    return f"milvus://127.0.0.1:{milvus_port}/{re.sub('[^a-z0-9]', '_', request.node.name)}"
