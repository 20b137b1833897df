"""One process indexes, others read, relabel and copy: every answer is a state between commits."""

import multiprocessing
import os
import shutil
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from scenario import BATCH

from fakes import fake_embedder, start_indexing, write_photo
from houndsight import Gallery, GalleryBusy, Where, backup, index

__all__ = ["beside"]

SEEN = {"one", "other"}


def beside(scene, *, photos, seconds):
    """Index so many photos, slowly, with all that can happen beside it. Returns figures."""
    folder = scene.folder / "beside"
    for n in range(BATCH):
        write_photo(folder / "first" / f"{n}.jpg", n)
    for n in range(photos):
        write_photo(folder / "photos" / f"{n}.jpg", 1000 + n)
    place = folder / "gallery"
    index(folder / "first", place, embedder=fake_embedder())
    with Gallery(place) as gallery:
        group = gallery.ids().tolist()
        gallery.set_labels(dict.fromkeys(group, "one"), source="user")
    indexer = start_indexing(folder / "photos", place, wait=seconds * BATCH / photos)
    assert indexer.stdout.readline()
    refused = _refused(folder / "photos", place, indexer.pid)
    context = multiprocessing.get_context("fork")
    stop, results = context.Event(), context.SimpleQueue()
    workers = [
        context.Process(target=_worker, args=(work, place, group, stop, results))
        for work in (_read, _read, _relabel, _copy)
    ]
    for worker in workers:
        worker.start()
    _, said = indexer.communicate()
    time.sleep(0.2)
    stop.set()
    figures = {"indexers refused": refused}
    for _ in workers:
        kind, count, error = results.get()
        assert error is None, f"{kind}: {error}"
        figures[kind] = figures.get(kind, 0) + count
    for worker in workers:
        worker.join()
    assert indexer.returncode == 0, said
    with Gallery(place) as gallery:
        assert gallery.verify() == []
        assert len(gallery) == photos + BATCH
    return figures


def _refused(photos, place, pid):
    try:
        index(photos, place, embedder=fake_embedder())
    except GalleryBusy as error:
        said = str(error)
    else:
        raise AssertionError("a second process may index at once")
    assert f"process {pid} on " in said, said
    return 1


def _worker(work, place, group, stop, results):
    count, error = 0, None
    try:
        while not stop.is_set():
            work(place, group, count)
            count += 1
    except Exception as found:
        error = repr(found)
    results.put((f"times of {work.__name__.strip('_')}", count, error))
    # What the parent has open is not to be closed here.
    os._exit(0)


def _read(place, group, count):
    """Whole batches, one state of the labels, and true distances."""
    with Gallery(place) as gallery:
        for _ in range(5):
            assert len(gallery) % BATCH == 0, len(gallery)
            labels = {item.label for item in gallery.items(group)}
            assert len(labels) == 1, labels
            assert labels <= SEEN, labels
            vectors = gallery.vectors(gallery.items(group))
            found = gallery.search(vectors, k=10_000)
            assert found.ids.shape[1] % BATCH == 0, found.ids.shape
            labels = {found.items[id_].label for id_ in group}
            assert len(labels) == 1, labels
            assert labels <= SEEN, labels
            ones = gallery.search(vectors, len(group), where=Where(labels=frozenset(["one"])))
            assert {item.label for item in ones.items.values()} <= {"one"}, "of two moments"
            assert ones.ids.shape[1] in (0, len(group)), ones.ids.shape
            near = found.ids[:, 0].tolist()
            assert sorted(near) == sorted(group), "no photo is nearest to itself"


def _relabel(place, group, count):
    with Gallery(place) as gallery:
        label = sorted(SEEN)[count % 2]
        gallery.set_labels(dict.fromkeys(group, label), source="user")
    time.sleep(0.01)


def _copy(place, group, count):
    """A copy verifies, and is a state between commits."""
    target = place.with_name("copy")
    with Gallery(place) as gallery:
        backup(gallery, target)
    _read(target, group, count)
    with Gallery(target) as gallery:
        assert gallery.verify() == []
    shutil.rmtree(target)
