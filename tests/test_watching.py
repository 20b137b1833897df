"""A watched folder: with a real watcher of real files, and step by step with the fake network."""

import errno
import os
import queue
import signal
import subprocess
import sys
import threading
import time

import pytest

from fakes import draw, encoded, fake_embedder, write_photo
from houndsight import Gallery, GalleryError, InputError, watch
from houndsight.watching import Batch, Waiting

SETTLE = 1.2


class Watcher:
    """houndsight watch in a process of its own, and the lines that it writes."""

    def __init__(self, *arguments):
        command = [sys.executable, "-m", "houndsight", "watch", *map(str, arguments)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.out, self.err = (self._lines(s) for s in (self.process.stdout, self.process.stderr))

    @staticmethod
    def _lines(stream):
        lines = queue.Queue()

        def read():
            for line in stream:
                lines.put(line.rstrip("\n"))

        threading.Thread(target=read, daemon=True).start()
        return lines

    def end(self, signal_):
        self.process.send_signal(signal_)
        return self.process.wait(60)


@pytest.fixture
def watcher(photos, tmp_path, monkeypatch):
    monkeypatch.setenv("HOUNDSIGHT_OFFLINE", "1")
    made = []

    def start(*more):
        lite = ("--model", "efficientnet-lite0")
        made.append(Watcher(photos, "-g", tmp_path / "g", *lite, "--settle", SETTLE, *more))
        return made[-1]

    yield start
    for one in made:
        one.process.kill()
        one.process.wait()
        one.process.stdout.close()
        one.process.stderr.close()


def line(lines, timeout=90):
    return lines.get(timeout=timeout)


def test_photos_are_taken_in_as_they_arrive(watcher, photos, tmp_path):
    running = watcher()
    assert line(running.err) == f"watching {photos}; Ctrl-C ends it"
    assert " 12 new, 0 changed, 0 renamed, 0 removed, 0 unchanged, 0 skipped" in line(running.out)

    # A burst, and in it a file that grows for longer than others have to stay as they are.
    data = encoded(draw(50))
    with open(photos / "pug" / "growing.jpg", "wb") as growing:
        for n in range(4):
            write_photo(photos / "pug" / f"burst-{n}.jpg", 60 + n)
            growing.write(data[len(data) * n // 4 : len(data) * (n + 1) // 4])
            growing.flush()
            time.sleep(SETTLE / 4)
    assert " 5 new, " in line(running.out)
    assert running.out.empty()

    (photos / "broken.jpg").write_bytes(data[:200])
    said = line(running.out)
    assert " 0 new, " in said
    assert " 1 skipped" in said
    assert line(running.err).startswith(f"skipped: {photos}/broken.jpg: ")

    (photos / "pug" / "burst-0.jpg").unlink()
    (photos / "new" / "deep").mkdir(parents=True)
    write_photo(tmp_path / "a.jpg", 70)
    # Whole from the first: it may be listed right after the look that found all as it was.
    (tmp_path / "a.jpg").rename(photos / "new" / "deep" / "a.jpg")
    said = line(running.out)
    while " 1 removed" not in said or " 1 new" not in said:  # two batches on a slow machine
        said += line(running.out)
    assert list(running.err.queue) == []  # what was skipped is told once

    away = tmp_path / "away"
    photos.rename(away)
    assert line(running.err).startswith(f"waiting: {photos}: there is no such folder")
    with Gallery(tmp_path / "g") as gallery:
        assert len(gallery) == 17
    write_photo(away / "pug" / "meanwhile.jpg", 71)
    away.rename(photos)
    assert " 1 new, 0 changed, 0 renamed, 0 removed, 17 unchanged, 1 sk" in line(running.out)
    write_photo(photos / "pug" / "after.jpg", 72)  # it listens to the folder that is there now
    assert " 1 new, " in line(running.out, timeout=30)

    assert running.end(signal.SIGINT) == 130
    assert line(running.err) == ""
    stopped = (
        "houndsight: stopped; what was stored before stays, and the same command goes on there"
    )
    assert line(running.err) == stopped
    with Gallery(tmp_path / "g") as gallery:
        assert gallery.verify() == []
        assert len(gallery) == 19


def test_a_service_is_ended_as_by_ctrl_c(watcher):
    running = watcher("--poll", "0.2")
    assert " 12 new, " in line(running.out)
    assert running.end(signal.SIGTERM) == 130


@pytest.fixture
def step(photos, tmp_path):
    """Return what a watcher does next, with the fake network, looking all the time."""
    made = fake_embedder()
    loads = []

    def load():
        loads.append(1)
        return made

    steps = watch(photos, tmp_path / "g", embedder=load, settle_s=0.05, poll_s=0.05)
    yield lambda: next(steps)
    steps.close()
    assert len(loads) == 1


def test_another_process_that_indexes_is_waited_for(step, photos, tmp_path):
    assert step().report.new == 12
    with Gallery(tmp_path / "g") as gallery, gallery.appending():
        write_photo(photos / "a.jpg", 40)
        waiting = step()
        assert isinstance(waiting, Waiting)
        assert "another process is adding photos" in str(waiting.reason)
    assert step().report.new == 1


def test_an_empty_folder_is_waited_for_and_nothing_is_removed(step, photos, tmp_path):
    assert step().report.new == 12
    photos.rename(tmp_path / "away")
    photos.mkdir()  # as a drive's mount point looks that is not mounted
    waiting = step()
    assert isinstance(waiting, Waiting)
    assert "holds no photo" in str(waiting.reason)
    photos.rmdir()
    assert "there is no such folder" in str(step().reason)
    (tmp_path / "away").rename(photos)
    write_photo(photos / "a.jpg", 40)
    batch = step()
    assert isinstance(batch, Batch)
    assert (batch.report.new, batch.report.removed, batch.report.unchanged) == (1, 0, 12)


def test_what_changes_all_the_time_is_taken_in_after_a_while(photos, tmp_path, monkeypatch):
    monkeypatch.setattr("houndsight.watching.LONGEST_S", 0.5)
    done = threading.Event()

    def scribble():
        with open(photos / "endless.jpg", "wb") as file:
            while not done.wait(0.01):
                file.write(b"x")
                file.flush()

    thread = threading.Thread(target=scribble)
    thread.start()
    steps = watch(photos, tmp_path / "g", embedder=fake_embedder, settle_s=0.1, poll_s=0.1)
    try:
        batch = next(steps)
        assert batch.report.new == 12
        assert [os.path.basename(skip.path) for skip in batch.skipped] == [b"endless.jpg"]
    finally:
        done.set()
        thread.join()
        steps.close()


def test_reading_photos_does_not_wake_it(photos, tmp_path, monkeypatch):
    looks = []
    look = __import__("houndsight.watching").watching._look
    monkeypatch.setattr("houndsight.watching._look", lambda p: (looks.append(1), look(p))[1])
    steps = watch(photos, tmp_path / "g", embedder=fake_embedder, settle_s=0.05)
    next(steps)
    taken = []
    thread = threading.Thread(target=lambda: taken.append(next(steps)))
    thread.start()
    time.sleep(1)
    before = len(looks)
    for path in photos.rglob("*.jpg"):
        path.read_bytes()
    time.sleep(1)
    assert len(looks) == before
    write_photo(photos / "end.jpg", 41)
    thread.join(60)
    assert taken[0].report.new == 1
    steps.close()


def test_what_ends_it(photos, tmp_path, monkeypatch):
    def first(*arguments, **more):
        return next(watch(*arguments, embedder=fake_embedder, settle_s=0, **more))

    with pytest.raises(InputError, match="there is no such folder"):
        first(tmp_path / "absent", tmp_path / "g")
    with pytest.raises(InputError, match="is a file, neither folder nor archive"):
        first(photos / "pug" / "pug-0.jpg", tmp_path / "g")
    with pytest.raises(InputError, match=r"no\.csv"):
        first(photos, tmp_path / "g", labels=str(tmp_path / "no.csv"))
    with pytest.raises(GalleryError, match="other things in it"):
        first(photos, photos)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "inotify watch limit reached")

    monkeypatch.setattr("watchdog.observers.api.BaseObserver.schedule", full)
    with pytest.raises(GalleryError, match=r"watch limit reached.*--poll.*max_user_watches"):
        first(photos, tmp_path / "g")
    monkeypatch.setitem(sys.modules, "watchdog.events", None)
    with pytest.raises(GalleryError, match=r"pip install 'houndsight\[watch\]'; or .*--poll"):
        first(photos, tmp_path / "g")
    assert first(photos, tmp_path / "g", poll_s=1).report.new == 12
