"""Photos at addresses: of a web server, of S3 and of Google Cloud Storage, each on loopback."""

import functools
import http.server
import json
import os
import shutil
import threading
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qs, quote, unquote, urlsplit

import pytest

from fakes import draw, encoded, fake_embedder
from houndsight import Gallery, cli, extras, images, index, remote, watch
from houndsight.cluster import finding
from houndsight.errors import ImageError, InputError
from houndsight.gallery import find_photos
from houndsight.listing import find, is_place
from houndsight.queries import read_queries

fsspec = pytest.importorskip("fsspec")

PHOTOS = {
    f"{label}/{n}.jpg": encoded(draw(10 * n + len(label), (96, 80)))
    for label in ("German shepherd", "pug")
    for n in range(4)
}


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(remote, "WAIT_S", 0)


# Three servers, each with a folder of files behind it


class Web(http.server.SimpleHTTPRequestHandler):
    """Files of a folder; `failing` requests are answered with `status` first."""

    failing = 0
    status = 503
    asked: ClassVar = []

    def do_GET(self):
        Web.asked.append(self.path)
        if Web.failing > 0:
            Web.failing -= 1
            self.send_error(Web.status)
            return
        super().do_GET()

    def log_message(self, *_):
        pass


class Google(http.server.BaseHTTPRequestHandler):
    """What of Google's storage is used: a list of objects, and their bytes."""

    folder = Path()

    def do_GET(self):
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        start, _, name = path.partition("/b/dogs/o")
        if not start.endswith("/storage/v1") or not _:
            self.answer(404, b"{}")
        elif query.get("alt") == ["media"]:
            file = Google.folder / unquote(name[1:])
            there = file.is_file()
            self.answer(200 if there else 404, file.read_bytes() if there else b"{}")
        elif name:
            file = Google.folder / unquote(name[1:])
            found = self.record(file) if file.is_file() else None
            self.answer(200 if found else 404, json.dumps(found or {}).encode())
        else:
            prefix = query.get("prefix", [""])[0]
            items = [self.record(p) for p in Google.folder.rglob("*") if p.is_file()]
            items = [item for item in items if item["name"].startswith(prefix)]
            found = {"kind": "storage#objects", "items": items}
            if "delimiter" in query:
                rests = [item["name"].removeprefix(prefix).partition("/") for item in items]
                found["items"] = [i for i, rest in zip(items, rests, strict=True) if not rest[1]]
                found["prefixes"] = sorted({f"{prefix}{rest[0]}/" for rest in rests if rest[1]})
            self.answer(200, json.dumps(found).encode())

    def record(self, file):
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(file.stat().st_mtime))
        name = os.fspath(file.relative_to(Google.folder))
        data = file.read_bytes()
        return {
            "kind": "storage#object",
            "bucket": "dogs",
            "name": name,
            "size": str(len(data)),
            "updated": when,
            "timeCreated": when,
            "etag": str(hash(data)),
        }

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def serving(handler):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    folder = tmp_path_factory.mktemp("web")
    server = serving(functools.partial(Web, directory=folder))
    yield folder, f"http://127.0.0.1:{server.server_port}/in".encode()
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def google(tmp_path_factory):
    if find_spec("gcsfs") is None:
        pytest.skip("gcsfs is not installed")
    Google.folder = tmp_path_factory.mktemp("google")
    server = serving(Google)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.server_port}")
        patch.setenv("FSSPEC_GS_TOKEN", "anon")
        patch.setenv("FSSPEC_GS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        fsspec.config.set_conf_env(fsspec.config.conf)
        # The other class asks by gRPC what kind of bucket it is; our server has no such thing.
        plain = import_module("gcsfs.core").GCSFileSystem
        patch.setitem(import_module("fsspec.registry")._registry, "gs", plain)
        yield Google.folder, b"gs://dogs/in"
        fsspec.config.conf.pop("gs", None)
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def s3():
    pytest.importorskip("s3fs")
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "x")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "x")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{port}")
        system = fsspec.filesystem("s3")
        system.mkdir("dogs")
        yield system, b"s3://dogs/in"
        fsspec.get_filesystem_class("s3").clear_instance_cache()
    server.stop()


class Place:
    """Files at an address, and how to change them."""

    def __init__(self, kind, behind, address):
        self.kind, self.behind, self.address = kind, behind, address

    def put(self, name, data, at=None):
        if self.kind == "s3":
            self.behind.pipe_file(f"dogs/in/{name}", data)
            return
        path = self.behind / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        if at is not None:
            os.utime(path, (at, at))

    def take_away(self, name):
        if self.kind == "s3":
            self.behind.rm_file(f"dogs/in/{name}")
        else:
            (self.behind / "in" / name).unlink()

    def clear(self):
        if self.kind == "s3":
            self.behind.invalidate_cache()
            for path in self.behind.find("dogs/in"):
                self.behind.rm_file(path)
        else:
            shutil.rmtree(self.behind / "in", ignore_errors=True)


@pytest.fixture(params=["web", "s3", "google"])
def place(request):
    made = Place(request.param, *request.getfixturevalue(request.param))
    made.clear()
    for name, data in PHOTOS.items():
        made.put(name, data)
    return made


def name_at(place, name):
    return quote(name) if place.kind == "web" else name


# What is there


def test_photos_at_an_address_are_listed_and_read_as_they_are(place):
    place.put("notes.txt", b"x")
    place.put(".hidden/1.jpg", b"x")
    listing = find(place.address)
    assert [os.fsdecode(found.path) for found in listing.photos] == sorted(
        name_at(place, name) for name in PHOTOS
    )
    assert listing.passed_over == {".txt": 1, "hidden": 1}
    for found in listing.photos:
        data = PHOTOS[unquote(os.fsdecode(found.path))]
        assert (found.size, found.mtime_ns > 0) == (len(data), True)
        assert images.read(os.path.join(place.address, found.path)).data == data
    assert find(place.address + b"/").photos == listing.photos


@pytest.mark.parametrize("at_least", [1, 16])
def test_an_address_is_listed_in_parts_as_it_is_as_a_whole(place, monkeypatch, at_least):
    """As a cluster does it, with this process in the nodes' place."""
    for name in ("top.jpg", "notes.txt", ".hidden/1.jpg", "pug/inner/deep/1.jpg"):
        place.put(name, PHOTOS["pug/1.jpg"])
    place.put("pug/g/catalogue.sqlite", b"x")  # a gallery, with what it keeps
    place.put("pug/g/kept.jpg", b"x")
    listed = []

    def on_nodes(folders, tell, read):
        listed.extend(folders)
        return {folder: read(tell(folder)) for folder in folders}

    finder = finding.Finder(None)
    monkeypatch.setattr(finder, "_on_nodes", on_nodes)
    monkeypatch.setattr(finding, "FOLDERS", at_least)
    found = finder.find(place.address)
    assert found == find_photos(place.address)
    assert len(found.photos) == len(PHOTOS) + 2
    names = (".hidden", name_at(place, "German shepherd"), "pug")
    wanted = [os.path.join(place.address, name.encode()) for name in names] if at_least == 1 else []
    assert sorted(listed) == wanted


def test_what_a_node_cannot_list_this_machine_does(web, monkeypatch):
    folder, address = web
    shutil.rmtree(folder / "in", ignore_errors=True)
    for name, data in PHOTOS.items():
        (folder / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "in" / name).write_bytes(data)
    finder = finding.Finder(None)
    monkeypatch.setattr(finder, "_on_nodes", lambda folders, *_: dict.fromkeys(folders))
    monkeypatch.setattr(finding, "FOLDERS", 1)
    assert finder.find(address) == find_photos(address)

    # One that is gone by now holds nothing; one that cannot be asked is told.
    def gone(folders, *_):
        shutil.rmtree(folder / "in" / "pug")
        return dict.fromkeys(folders)

    monkeypatch.setattr(finder, "_on_nodes", gone)
    assert len(finder.find(address).photos) == 4

    def failing(folders, *_):
        Web.failing = 99
        return dict.fromkeys(folders)

    (folder / "in" / "more").mkdir()
    monkeypatch.setattr(finder, "_on_nodes", failing)
    try:
        with pytest.raises(InputError, match="cannot be listed: 503"):
            finder.find(address)
    finally:
        Web.failing = 0
    with pytest.raises(InputError, match="there is nothing at this address"):
        finder.find(address + b"/nowhere")


def test_indexing_an_address_and_again(place, tmp_path):
    photos = tmp_path / "photos"
    for name, data in PHOTOS.items():
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        (photos / name).write_bytes(data)
    index(photos, tmp_path / "local", embedder=fake_embedder())
    report = index(place.address, tmp_path / "g", embedder=fake_embedder())
    assert (report.new, report.skipped) == (8, [])
    with Gallery(tmp_path / "g") as ours, Gallery(tmp_path / "local") as theirs:
        assert ours.labels() == theirs.labels() == {"German shepherd": 4, "pug": 4}
        assert {i.digest: i.label for i in ours.items()} == {
            i.digest: i.label for i in theirs.items()
        }
    embedder = fake_embedder()
    report = index(place.address, tmp_path / "g", embedder=embedder)
    assert (report.unchanged, report.embedded, embedder.runtime.runs) == (8, 0, 0)

    changed = encoded(draw(99, (96, 80)))
    assert len(changed) != len(PHOTOS["pug/0.jpg"])
    place.put("pug/0.jpg", changed)
    place.put("pug/new.jpg", encoded(draw(98, (96, 80))))
    place.put("pug/bad.jpg", b"no photo")
    place.take_away("pug/1.jpg")
    report = index(place.address, tmp_path / "g", embedder=fake_embedder())
    assert (report.new, report.changed, report.removed, report.unchanged) == (1, 1, 1, 6)
    assert [os.fsdecode(s.path).rpartition("/")[2] for s in report.skipped] == ["bad.jpg"]
    with Gallery(tmp_path / "g") as gallery:
        (item,) = [i for i in gallery.items() if i.path.endswith(b"pug/0.jpg")]
        assert gallery.thumbnail(item)
        assert gallery.find(gallery.path_of(item)) == item
        found = read_queries(gallery, fake_embedder(), [gallery.path_of(item)])
        assert (found.photos[0].own, found.photos[0].twins) == ({item.id}, set())


def test_bytes_of_the_same_size_and_second_are_told_apart(place, tmp_path):
    if place.kind == "web":
        pytest.skip("Python's web server gives no tag: only size and second tell")
    place.put("pug/0.jpg", PHOTOS["pug/0.jpg"] + b"0")
    index(place.address, tmp_path / "g", embedder=fake_embedder())
    place.put("pug/0.jpg", PHOTOS["pug/0.jpg"] + b"1")
    assert index(place.address, tmp_path / "g", embedder=fake_embedder()).changed == 1


def test_an_address_from_the_command_line(web, tmp_path, capsys, monkeypatch):
    folder, address = web
    place = Place("web", folder, address)
    place.clear()
    for name, data in PHOTOS.items():
        place.put(name, data)
    monkeypatch.chdir(tmp_path)
    url = os.fsdecode(address)
    lite = ["--model", "efficientnet-lite0"]
    assert cli._run(["index", url, "-g", "g", *lite]) == cli.DONE
    assert cli._run(["index", url, "-g", "g"]) == cli.DONE
    assert "8 unchanged" in capsys.readouterr().out
    assert cli._run(["search", f"{url}/pug/0.jpg", "-g", "g", "-k", "3", "--json"]) == cli.DONE
    assert json.loads(capsys.readouterr().out)[0]["query"] == f"{url}/pug/0.jpg"
    assert cli._run(["evaluate", "--queries", url, "-g", "g", "-k", "2"]) == cli.DONE
    assert cli._run(["embed", url, "-o", "v.npz", *lite]) == cli.DONE
    assert cli._run(["add", f"{url}/pug/1.jpg", "-g", "g"]) == 1
    assert "is in the gallery already" in capsys.readouterr().err
    local = tmp_path / "copy"
    shutil.copytree(folder / "in", local)
    assert cli._run(["relocate", url, os.fspath(local), "-g", "g"]) == cli.DONE
    assert "4 of 8 photos" in capsys.readouterr().out  # "German%20shepherd" is "German shepherd"


def test_labels_from_a_table_are_by_names_as_people_write_them(place, tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("path,label\nGerman shepherd/0.jpg,wolf\n")
    index(place.address, tmp_path / "g", embedder=fake_embedder(), labels=os.fspath(table))
    with Gallery(tmp_path / "g") as gallery:
        assert gallery.labels() == {"wolf": 1}


def test_galleries_are_left_out(place):
    place.put("out/catalogue.sqlite", b"x")
    place.put("out/thumbnails/a.jpg", b"x")
    assert len(find_photos(place.address).photos) == len(PHOTOS)


def test_a_part_of_what_is_indexed_is_not_indexed_twice(place, tmp_path):
    index(place.address, tmp_path / "g", embedder=fake_embedder())
    with pytest.raises(InputError, match="lies inside"):
        index(place.address + b"/pug", tmp_path / "g", embedder=fake_embedder())


# What goes wrong


def test_what_is_not_there(place):
    with pytest.raises(InputError, match="there is nothing at this address"):
        find(place.address + b"/cats")
    with pytest.raises(ImageError, match="there is no such file"):
        images.read(place.address + b"/pug/9.jpg")


def test_a_server_that_fails_for_a_while_is_asked_again(web):
    folder, address = web
    place = Place("web", folder, address)
    place.clear()
    place.put("pug/0.jpg", PHOTOS["pug/0.jpg"])
    Web.failing, Web.status = 2, 503
    assert images.read(address + b"/pug/0.jpg").data == PHOTOS["pug/0.jpg"]
    Web.failing = 3
    with pytest.raises(ImageError, match=r"/pug/0.jpg: cannot be read: 503") as error:
        images.read(address + b"/pug/0.jpg")
    assert isinstance(error.value.__cause__, OSError)  # so that indexing tries it the next time
    Web.failing, Web.status, Web.asked = 9, 403, []
    with pytest.raises(ImageError, match="403"):
        images.read(address + b"/pug/0.jpg")
    assert len(Web.asked) == 1
    Web.failing = 0


def test_a_photo_that_could_not_be_fetched_is_fetched_the_next_time(web, tmp_path, monkeypatch):
    folder, address = web
    place = Place("web", folder, address)
    place.clear()
    for name, data in PHOTOS.items():
        place.put(name, data)
    real = remote.read

    def fails(path):
        if path.endswith(b"pug/2.jpg"):
            raise ImageError("cannot be read: cut off", path=path) from OSError()
        return real(path)

    monkeypatch.setattr(remote, "read", fails)
    report = index(address, tmp_path / "g", embedder=fake_embedder())
    assert (report.new, len(report.skipped)) == (7, 1)
    monkeypatch.undo()
    report = index(address, tmp_path / "g", embedder=fake_embedder())
    assert (report.new, report.unchanged, report.skipped) == (1, 7, [])


def test_nobody_answers():
    with pytest.raises(InputError, match=r"http://127.0.0.1:9/dogs: cannot be listed: .*\. Check"):
        find(b"http://127.0.0.1:9/dogs")
    with pytest.raises(ImageError, match="cannot be read"):
        images.read(b"http://127.0.0.1:9/dogs/1.jpg")


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("s4://dogs/in", "s4.* Give an address such as https://"),
        ("abfs://dogs/in", "what reads abfs:// is not installed"),
        ("https://dogs.example/in.zip", "an archive at an address; .* Fetch it"),
    ],
)
def test_addresses_that_cannot_be_used(address, says):
    with pytest.raises(InputError, match=says):
        find(address.encode())


@pytest.mark.parametrize(("url", "extra"), [("s3://dogs/in", "s3"), ("gs://dogs/in", "gs")])
def test_extras_are_named(url, extra, monkeypatch):
    def missing(*_, **__):
        raise ImportError("Install it")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(InputError, match=rf"pip install 'houndsight\[{extra}\]'"):
        find(url.encode())


def test_without_fsspec(monkeypatch, tmp_path):
    def missing(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(extras, "import_module", missing)
    for extra, address in (("remote", b"https"), ("s3", b"s3"), ("gs", b"gs")):
        with pytest.raises(InputError, match=rf"needs fsspec, .* 'houndsight\[{extra}\]'"):
            find(address + b"://dogs.example/in")
    with pytest.raises(ImageError, match=r"needs fsspec, .* pip install 'houndsight\[remote\]'"):
        images.read(b"https://dogs.example/in/1.jpg")


# Names


def test_passwords_are_not_taken():
    with pytest.raises(InputError, match="holds a password") as error:
        remote.absolute("https://me:secret@dogs.example/in")
    assert "secret" not in str(error.value)


def test_names_in_full(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert remote.absolute("s3://dogs/in/") == b"s3://dogs/in"
    assert remote.absolute("file:///dogs/a%20b") == b"/dogs/a b"
    assert remote.absolute("dogs") == os.fsencode(tmp_path / "dogs")
    assert remote.absolute(b"s3:/dogs") == os.fsencode(tmp_path / "s3:" / "dogs")


@pytest.mark.parametrize(
    ("address", "many"),
    [
        (b"https://dogs.example/in", True),
        (b"https://dogs.example/in/1.jpg", False),
        (b"https://dogs.example/photo?id=3", False),
        (b"s3://dogs", True),
    ],
)
def test_addresses_of_one_photo_and_of_many(address, many):
    assert is_place(address) == many


@pytest.mark.parametrize(
    ("when", "seconds"),
    [
        ("Tue, 24 Nov 2026 01:26:18 GMT", 1795483578),
        ("2026-11-24T01:26:18Z", 1795483578),
        ("2026-11-24 01:26:18", 1795483578),
        (1795483578.5, 1795483578),
        ("some day", 0),
        (None, 0),
    ],
)
def test_times_as_servers_write_them(when, seconds):
    assert remote._stamp({"mtime": when, "size": "7"}) == (7, seconds * 10**9)


def test_where_size_and_time_are_not_known_bytes_decide(tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "_info", lambda *_: {})
    listed = [remote.Found(os.fsencode(quote(name)), -1, 0, 0) for name in PHOTOS]
    monkeypatch.setattr(remote, "members", lambda _: listed)
    monkeypatch.setattr(
        remote, "read", lambda path: PHOTOS[unquote(os.fsdecode(path)).split("/in/")[1]]
    )
    address = b"https://dogs.example/in"
    assert index(address, tmp_path / "g", embedder=fake_embedder()).new == 8
    report = index(address, tmp_path / "g", embedder=fake_embedder())
    assert (report.unchanged, report.embedded) == (8, 0)
    monkeypatch.setitem(PHOTOS, "pug/0.jpg", encoded(draw(97, (96, 80))))
    assert index(address, tmp_path / "g", embedder=fake_embedder()).changed == 1


def test_nothing_is_watched_at_an_address(web, tmp_path):
    Place("web", *web).put("pug/0.jpg", PHOTOS["pug/0.jpg"])
    with pytest.raises(InputError, match="is no folder: nothing tells"):
        next(watch(web[1], tmp_path / "g", embedder=fake_embedder()))
