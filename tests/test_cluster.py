"""Indexing on a Ray cluster of three node processes on this machine."""

import contextlib
import http.server
import io
import os
import pickle
import re
import signal
import stat
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from clusters import decoding, patiently
from fakes import draw, fake_embedder, write_photo
from houndsight import Embedder, Gallery, cli, extras, index
from houndsight.ahead import gathered
from houndsight.cli.console import index_bar
from houndsight.cluster import BLOCK, IN_FLIGHT, RayCluster
from houndsight.cluster.engine import WRITTEN
from houndsight.cluster.finding import Finder
from houndsight.cluster.folders import entries_read, entries_told
from houndsight.cluster.rows import Answer, answers_packed, packed
from houndsight.cluster.worker import Job, Writer
from houndsight.errors import ClusterError, GalleryBusy, GalleryError, InputError
from houndsight.gallery import find_photos
from houndsight.indexing import Progress
from houndsight.listing import scan
from houndsight.reading import Read, Reader
from houndsight.shaping import shaped
from houndsight.stores.address import located
from houndsight.types import Found
from milvus_servers import needs_milvus, serving, started
from networks import MEAN, STD, save

ray = pytest.importorskip("ray", reason="needs the extra ray")

# Ray leaves files, sockets and processes to be collected as it ends.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
PHOTOS = 600
DOGS = Path(__file__).resolve().parents[2] / "shared" / "dogs" / "queries"


@pytest.fixture(scope="module")
def cluster():
    """A head without CPUs and two nodes with one each: three node processes."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_AUTH_MODE", "disabled")  # whatever the user has at home
        # Ray starts dozens of processes: what is covered in them is not worth their time.
        for name in ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START"):
            patch.delenv(name, raising=False)
        # Workers find what tests have beside the product.
        patch.setenv(
            "PYTHONPATH", os.pathsep.join(filter(None, [os.path.dirname(__file__), *sys.path]))
        )
        head = {"num_cpus": 0, "include_dashboard": False}
        made = patiently(Cluster, initialize_head=True, head_node_args=head)
        for _ in range(2):
            patiently(made.add_node, num_cpus=1)
        yield made
        ray.shutdown()
        made.shutdown()


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """PHOTOS photos of dogs, or drawings where these are not there; one file is none."""
    folder = tmp_path_factory.mktemp("cluster") / "photos"
    if DOGS.is_dir():
        for path in sorted(DOGS.rglob("*.jpg"))[:PHOTOS]:
            target = folder / path.relative_to(DOGS)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(path)
    else:
        for n in range(PHOTOS):
            write_photo(folder / f"breed-{n % 20}" / f"{n}.jpg", n, (96, 80))
    (folder / "bad.jpg").write_text("no photo")
    return folder


def same(one, other):
    """Assert that two galleries hold the same items with the same vectors."""
    with Gallery(one) as a, Gallery(other) as b:
        assert a.fingerprint == b.fingerprint
        items, others = a.items(), b.items()
        assert [(i.id, i.path, i.label, i.digest, i.size) for i in items] == [
            (i.id, i.path, i.label, i.digest, i.size) for i in others
        ]
        np.testing.assert_allclose(
            a.vectors(items).values, b.vectors(others).values, rtol=0, atol=1e-5
        )
        assert (a.store.verify(), b.store.verify()) == ([], [])
        return len(items)


def test_a_node_that_is_lost_costs_no_photo(cluster, photos, tmp_path):
    embedder = Embedder.load("efficientnet-lite0")
    index(photos, tmp_path / "here", embedder=embedder)
    gone = []

    def lose_a_node(progress):
        if progress.done >= 100 and not gone:
            gone.append(cluster.list_all_nodes()[-1])
            cluster.remove_node(gone[0], allow_graceful=False)

    with RayCluster(cluster.address) as ray_cluster:
        report = index(
            photos,
            tmp_path / "there",
            embedder=embedder,
            engine=ray_cluster,
            progress=lose_a_node,
        )
        assert gone
        assert same(tmp_path / "here", tmp_path / "there") == report.new == PHOTOS
        (skipped,) = report.skipped
        assert skipped.reason.startswith("is no photo")
        assert " (on " in skipped.reason
        assert ray_cluster.received == report.embedded
        twice = ray_cluster.embedded.total() - ray_cluster.received
        print(f"embedded once more: {twice}")
        # What the lost node's one worker had in hand, and what it had done and not yet given away.
        assert 0 <= twice <= 2 * IN_FLIGHT * BLOCK

        # And again: nothing is embedded, and what is new goes to the nodes that are left.
        again = index(photos, tmp_path / "there", engine=ray_cluster)
        assert (again.embedded, again.unchanged) == (0, PHOTOS)
        write_photo(photos / "new.jpg", 999, (96, 80))
        again = index(photos, tmp_path / "there", engine=ray_cluster)
        assert (again.new, again.embedded) == (1, 1)
        (photos / "new.jpg").unlink()
    patiently(cluster.add_node, num_cpus=1)


def test_what_ends_the_writer_is_gone_on_with(cluster, photos, tmp_path):
    class Stopped(Exception):
        pass

    def stop(progress):
        if progress.done >= 64:
            raise Stopped

    embedder = Embedder.load("efficientnet-lite0")
    some = tmp_path / "some"
    for path in sorted(photos.rglob("*.jpg"))[:200]:
        target = some / path.relative_to(photos)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(path.resolve())
    with RayCluster(cluster.address) as ray_cluster:
        with pytest.raises(Stopped):
            index(some, tmp_path / "g", embedder=embedder, engine=ray_cluster, progress=stop)
        with Gallery(tmp_path / "g") as gallery:
            there = len(gallery)
        assert there >= 32
        report = index(some, tmp_path / "g", engine=ray_cluster)
    assert report.unchanged == there
    assert report.new + there + len(report.skipped) == 200
    index(some, tmp_path / "here", embedder=embedder)
    same(tmp_path / "here", tmp_path / "g")


def shaped_by_one_who_dies(mark, data, path, shape):
    """Decode photos; the process that comes to the one with a certain name ends, but once."""
    if path.endswith(b"/60.jpg") and not os.path.exists(mark):
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return shaped(data, path, shape)


class Mortal(Writer):
    """One who writes, and whose process ends once, when a commit is done and not yet told."""

    mark = ""

    def __call__(self, block):
        done = super().__call__(block)
        if not os.path.exists(self.mark):
            Path(self.mark).write_text(self.order.place)
            os.kill(os.getpid(), signal.SIGKILL)
        return done


@needs_milvus
def test_what_was_done_twice_is_in_milvus_once(cluster, tmp_path, monkeypatch):
    """A node takes the rows in: a worker dies, and then the one who writes."""
    for n in range(120):
        write_photo(tmp_path / "photos" / f"{n}.jpg", n, (96, 80))
    (tmp_path / "photos" / "bad.jpg").write_text("no photo")
    embedder = Embedder.load("efficientnet-lite0")
    index(tmp_path / "photos", tmp_path / "here", embedder=embedder)
    mark, other = tmp_path / "died", tmp_path / "wrote and died"
    monkeypatch.setattr(
        "houndsight.cluster.engine.Writer", type("Ending", (Mortal,), {"mark": str(other)})
    )
    told = []
    find = RayCluster.find

    def far_away(self, place):
        listing = find(self, place)
        photos = [replace(one, position=one.position + 2**63) for one in listing.photos]
        return replace(listing, photos=photos)

    monkeypatch.setattr(RayCluster, "find", far_away)  # as some file systems number their files
    with serving(tmp_path / "milvus") as port, RayCluster(cluster.address) as ray_cluster:
        engine = decoding(ray_cluster, partial(shaped_by_one_who_dies, str(mark)))
        there = f"milvus://127.0.0.1:{port}/there"
        report = index(
            tmp_path / "photos", there, embedder=embedder, engine=engine, progress=told.append
        )
        assert mark.exists()
        assert other.read_text() == there
        assert report.new == report.embedded == ray_cluster.received == 120
        assert isinstance(report.embedded, int)  # which JSON takes, and not NumPy's
        (skipped,) = report.skipped
        assert " (on " in skipped.reason
        assert told[-1].done == 121
        assert 0 <= ray_cluster.embedded.total() - 120 <= 2 * IN_FLIGHT * BLOCK + WRITTEN
        assert same(tmp_path / "here", there) == 120
        with Gallery(there) as gallery:
            thumbnails = [gallery._thumbnail_path(item.digest) for item in gallery.items()]
            assert gallery.indexing() is None
        assert all(path.read_bytes().startswith(b"\xff\xd8") for path in thumbnails)

        # A change and a rename, of which only this machine knows by what was listed.
        monkeypatch.undo()
        for place in (tmp_path / "here", there):
            with Gallery(place) as gallery:
                gallery.set_labels({gallery.items()[0].id: "mine"}, source="user")
        (tmp_path / "photos" / "1.jpg").rename(tmp_path / "photos" / "one.jpg")
        write_photo(tmp_path / "photos" / "2.jpg", 500, (96, 80))
        here = index(tmp_path / "photos", tmp_path / "here")
        again = index(tmp_path / "photos", there, engine=ray_cluster)
        for report in (here, again):
            assert (report.renamed, report.changed, report.new, report.removed) == (1, 1, 0, 0)
        assert same(tmp_path / "here", there) == 120


class Alone(Writer):
    """One who writes, and whose server goes away after the first commit."""

    server = 0

    def __call__(self, block):
        done = super().__call__(block)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.server, signal.SIGKILL)
        return done


@needs_milvus
def test_a_server_that_goes_away_is_told_by_the_node_that_writes(cluster, tmp_path, monkeypatch):
    for n in range(100):
        write_photo(tmp_path / "photos" / f"{n}.jpg", n, (96, 80))
    process, port = started(tmp_path / "milvus")
    ending = type("Ending", (Alone,), {"server": process.pid})
    monkeypatch.setattr("houndsight.cluster.engine.Writer", ending)
    told = r"^milvus://127.0.0.1:\d+/there: there is no answer .* \(on [\d.]+\S*\)\. Check that "
    try:
        with RayCluster(cluster.address) as engine, pytest.raises(GalleryError, match=told):
            index(
                tmp_path / "photos",
                f"milvus://127.0.0.1:{port}/there",
                embedder=Embedder.load("efficientnet-lite0"),
                engine=engine,
            )
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def tree(tmp_path):
    """A folder with all that a listing has to tell apart, on three levels of many folders."""
    root = tmp_path / "tree"
    for n in range(40):
        write_photo(root / f"breed {n}" / "a" / f"{n}.jpg", n)
        (root / f"breed {n}" / "notes.txt").write_text("no photo")
    (root / "breed 1" / ".hidden").mkdir()
    write_photo(root / "breed 1" / ".hidden" / "x.jpg", 1)
    (root / "breed 2" / "gone.jpg").symlink_to("nowhere")
    (root / "breed 3" / "up").symlink_to(root)  # leads back
    (root / "linked").symlink_to(root / "breed 4")
    (tmp_path / "elsewhere").mkdir()
    write_photo(tmp_path / "elsewhere" / "else.jpg", 50)
    (root / "breed 5" / "away").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(root / "breed 6" / "pipe.jpg")
    write_photo(root / "breed 7" / "inner" / "catalogue.sqlite" / "in.jpg", 7)
    write_photo(root / os.fsdecode(b"breed \xff") / "odd.jpg", 8)
    index(root / "breed 8", root / "breed 8" / "gallery", embedder=fake_embedder())
    return root


def test_folders_looked_into_by_nodes_are_as_this_process_finds_them(cluster, tree, monkeypatch):
    place = os.fsencode(tree)
    with RayCluster(cluster.address) as ray_cluster:
        asked = []
        finder = Finder(ray_cluster._ray)
        real = finder._looked_into
        monkeypatch.setattr(
            finder, "_looked_into", lambda folders: asked.extend(folders) or real(folders)
        )
        look = finder.scan(place)
        assert len(asked) > 80
        for name in ("breed 1", "breed 8"):  # and there it is read by nobody else
            assert os.path.join(place, name.encode()) in asked
        here = []
        monkeypatch.setattr(
            "houndsight.cluster.finding.scan", lambda folder: here.append(folder) or scan(folder)
        )
        assert find_photos(place, scan=look) == find_photos(place)
        # Of what links lead to, only this process looks.
        assert here == [os.path.join(place, one) for one in (b"breed 5/away", b"linked")] + [
            os.path.join(place, b"linked/a")
        ]


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def test_nodes_list_what_is_at_an_address(cluster, tmp_path):
    pytest.importorskip("fsspec", reason="needs the extra remote")
    for n in range(40):
        write_photo(tmp_path / "in" / "deeper" / f"breed {n}" / f"{n}.jpg", n)
    write_photo(tmp_path / "in" / "top.jpg", 50)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/in".encode()
    try:
        with RayCluster(cluster.address) as ray_cluster, pytest.MonkeyPatch.context() as patch:
            whole = find_photos(address)

            def never(place):
                raise AssertionError(f"listed here: {place}")

            patch.setattr("houndsight.remote.members", never)
            assert ray_cluster.find(address) == whole
            assert len(whole.photos) == 41
        embedder = Embedder.load("efficientnet-lite0")
        with RayCluster(cluster.address) as ray_cluster:
            report = index(address, tmp_path / "g", embedder=embedder, engine=ray_cluster)
        assert (report.new, report.skipped) == (41, [])
    finally:
        server.shutdown()
        server.server_close()


def test_numbers_that_other_machines_have_for_folders_mean_nothing_here(tree, monkeypatch):
    """Devices are numbered by each machine for itself, and so are inodes by some file systems."""
    place = os.fsencode(tree)
    (tree / "breed 8" / "gallery" / "more" / "below").mkdir(parents=True)
    asked = []

    def elsewhere(folders):
        asked.extend(folders)
        return {
            folder: [
                entry._replace(st_ino=1) if stat.S_ISDIR(entry.st_mode) else entry
                for entry in entries_read(entries_told(folder))
            ]
            for folder in folders
        }

    finder = Finder(None)
    monkeypatch.setattr(finder, "_looked_into", elsewhere)
    look = finder.scan(place)
    assert find_photos(place, scan=look) == find_photos(place)
    gallery = os.path.join(place, b"breed 8", b"gallery")
    assert gallery in asked
    assert not [one for one in asked if one.startswith(gallery + b"/")]  # what it keeps is its own


@pytest.mark.parametrize("seen", [[], PermissionError(13, "Permission denied")])
def test_what_a_node_does_not_see_this_machine_looks_for(tree, monkeypatch, seen):
    """As where a drive below the folder is away on that node."""
    place = os.fsencode(tree)
    finder = Finder(None)
    asked = []
    monkeypatch.setattr(
        finder,
        "_looked_into",
        lambda folders: asked.extend(folders) or dict.fromkeys(folders, seen),
    )
    assert find_photos(place, scan=finder.scan(place)) == find_photos(place)
    assert len(asked) == 41


def test_a_folder_that_cannot_be_read_is_told_as_here(tmp_path):
    gone = os.fsencode(tmp_path / "none")
    look = Finder(None).scan(gone)
    with pytest.raises(FileNotFoundError):
        look(gone)
    assert isinstance(entries_read(entries_told(gone)), FileNotFoundError)


class Blocks:
    """What comes of a dataset of four files: some a second time, as their node was lost."""

    def __init__(self, columns):
        self.columns = columns

    def iter_batches(self, **_):
        for some in ([0, 1], [0, 1, 2], [1, 2, 3]):
            yield self.columns(np.array(some), some)


@pytest.fixture
def unplugged(monkeypatch):
    """A cluster on which nothing runs."""

    class Desk:
        class counts:
            remote = staticmethod(lambda: {"10.0.0.1": 6})

    cluster = RayCluster.__new__(RayCluster)
    cluster._ray = type("Ray", (), {"get": staticmethod(dict)})
    cluster.received = 0
    monkeypatch.setattr(cluster, "_desk", lambda *_: Desk)
    monkeypatch.setattr(cluster, "_room", lambda: ({}, 1))
    monkeypatch.setattr("houndsight.cluster.engine.Job", lambda *_: None)
    monkeypatch.setattr("houndsight.cluster.engine.Order", lambda *_: None)
    return cluster


def taking(place, fresh=2):
    """Return what takes photos into a gallery that is nowhere; what it is given is kept."""
    given, thumbnails = [], {}
    gallery = SimpleNamespace(place=place, keep_thumbnail=thumbnails.__setitem__)

    def all_of(batches):
        for batch in batches:
            given.extend(batch)
            yield Counter()

    terms = SimpleNamespace(fresh=fresh)
    return SimpleNamespace(
        gallery=gallery, terms=terms, all_of=all_of, given=given, thumbnails=thumbnails
    )


def test_rows_that_come_twice_count_once(unplugged, monkeypatch, tmp_path):
    """A block that was made again as its node was lost, though the first had come already."""
    # Where a file lies may be any number, and is of no use elsewhere.
    work = [Found(b"%d.jpg" % n, n, n, 2**64 - n) for n in range(4)]

    def columns(numbers, some):
        rows = [(Read(work[n], reason="odd" if n == 3 else None), np.full(3, n)) for n in some]
        return packed(numbers, rows, "there")

    monkeypatch.setattr(unplugged, "_made", lambda *_: Blocks(columns))
    into = taking(tmp_path)
    assert len(list(unplugged.taken(None, None, work, into))) > 0
    assert [read.found for read, _ in into.given] == [replace(one, position=0) for one in work]
    assert [read.reason for read, _ in into.given] == [None] * 3 + ["odd (on there)"]
    np.testing.assert_array_equal([v for _, v in into.given], [[n] * 3 for n in range(4)])
    assert unplugged.received == 4
    assert unplugged.embedded.total() == 6


def test_what_a_lost_writer_had_written_is_told_as_what_it_was(unplugged, monkeypatch):
    """The second time a photo is there already."""

    def columns(numbers, some):
        made = [Answer("unchanged", n != 2, bytes([n]), b"jpeg"[: 4 * (n > 0)]) for n in some]
        return answers_packed(numbers, made)

    monkeypatch.setattr(unplugged, "_made", lambda *_: None)
    monkeypatch.setattr(unplugged, "_written", lambda *_: Blocks(columns))
    into = taking(located("milvus://10.0.0.1/dogs"))
    done = sum(unplugged.taken(None, None, range(4), into), Counter())
    assert done == {"new": 2, "changed": 2, "embedded": 3}
    assert unplugged.received == 3
    assert into.thumbnails == {bytes([n]): b"jpeg" for n in (1, 2, 3)}


def test_what_the_writer_cannot_do_is_told(unplugged, monkeypatch):
    def columns(numbers, some):
        told = Answer("", error="GalleryBusy", path=b"a/1.jpg", cause="is busy", remedy="Wait")
        return answers_packed(numbers, [told] * len(some))

    monkeypatch.setattr(unplugged, "_made", lambda *_: None)
    monkeypatch.setattr(unplugged, "_written", lambda *_: Blocks(columns))
    into = taking(located("milvus://10.0.0.1/dogs"))
    with pytest.raises(GalleryBusy, match=r"^a/1.jpg: is busy. Wait$"):
        list(unplugged.taken(None, None, range(4), into))


def test_what_waits_comes_as_one():
    used, ended = threading.Event(), threading.Event()

    def lists():
        yield [0]
        used.wait()
        yield from ([1], [2, 3], [], [4])
        ended.set()
        raise ClusterError("it ends")

    taking = gathered(lists(), most=9)
    assert next(taking) == [0]
    used.set()
    assert ended.wait(30)
    assert next(taking) == [1, 2, 3, 4]
    with pytest.raises(ClusterError, match="it ends"):
        next(taking)


def test_no_more_than_so_much_waits():
    made, closed = [], []

    def lists():
        try:
            for n in range(100):
                made.append(n)
                yield [n, n]
        finally:
            closed.append(True)

    taking = gathered(lists(), most=3)
    assert next(taking)[:2] == [0, 0]
    time.sleep(0.3)
    assert len(made) <= 2 * 3 + 1
    taking.close()
    assert closed


def test_the_progress_line_tells_what_each_node_does(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "stderr", Terminal())
    with index_bar(lambda: {"10.0.0.2": 10, "10.0.0.1": 30}) as progress:
        progress(Progress(40, 100, 2.0))
    shown = re.sub(r"\x1b\[[0-9;]*m", "", sys.stderr.getvalue())
    assert " 40/100 20.0 images/s, 10.0.0.1: 15.0, 10.0.0.2: 5.0 " in shown


def test_nobody_answers():
    with pytest.raises(ClusterError, match=r"no Ray cluster answers at 127.0.0.1:9: .* ray start"):
        RayCluster("127.0.0.1:9")


def test_without_ray(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(extras, "import_module", missing)
    with pytest.raises(InputError, match=r"needs ray, .* pip install 'houndsight\[ray\]'"):
        RayCluster()


def broken(data, path, shape):
    raise RuntimeError("a fault of the code")


def test_what_fails_on_a_node_is_told(cluster, tmp_path):
    write_photo(tmp_path / "photos" / "a.jpg", 1)
    embedder = Embedder.load("efficientnet-lite0")
    with RayCluster(cluster.address) as ray_cluster:
        engine = decoding(ray_cluster, broken)
        with pytest.raises(ClusterError, match=r"failed: .*a fault of the code"):
            index(tmp_path / "photos", tmp_path / "g", embedder=embedder, engine=engine)


def test_a_network_from_a_file_goes_along(tmp_path):
    description = {"mean": MEAN, "std": STD, "size": 64}
    path = save(tmp_path / "net.onnx", "map", side=64)
    embedder = Embedder.load(str(path), description=description)
    job = Job(embedder, Reader(b"/", embedder.preprocessing, frozenset()))
    path.unlink()
    photo = draw(3)
    there = pickle.loads(pickle.dumps(job)).embedder()
    np.testing.assert_array_equal(there.embed(photo).values, embedder.embed(photo).values)


def test_the_embedder_that_workers_make_is_the_same():
    embedder = Embedder.load("efficientnet-lite0", normalise=False, image_size=160)
    job = Job(embedder, Reader(b"/", embedder.preprocessing, frozenset()))
    assert job.embedder().fingerprint == embedder.fingerprint
    assert fake_embedder().fingerprint != embedder.fingerprint


def test_the_command_tells_what_each_node_did(cluster, tmp_path, capsys):
    ray.shutdown()
    for n in range(40):
        write_photo(tmp_path / "photos" / f"{n}.jpg", n, (96, 80))
    words = ["index", str(tmp_path / "photos"), "-g", str(tmp_path / "g"), "--ray"]
    model = ["--model", "efficientnet-lite0"]
    assert cli._run([*words, cluster.address, *model]) == cli.DONE
    said = capsys.readouterr().out
    assert "40 new" in said
    told = re.findall(r"^[\d.]+\S*: (\d+) photos, [\d.]+ images/s$", said, re.MULTILINE)
    assert sum(map(int, told)) == 40
    assert cli._run([*words, cluster.address, "--dry-run"]) == cli.USAGE
    assert "leave --ray out" in capsys.readouterr().err
    assert cli._run([*words, "somewhere"]) == cli.FAILED
    assert "neither auto nor HOST:PORT" in capsys.readouterr().err
