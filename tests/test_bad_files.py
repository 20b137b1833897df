"""Bad files amid good photos, end to end: each is named with its reason, and no photo is lost."""

import hashlib
import json
import os
import struct
import subprocess
import sys
import zlib
from collections import Counter

import numpy as np
import pytest

from fakes import FakeRuntime, draw, encoded, fake_embedder, write_photo
from houndsight import images
from houndsight.gallery import Gallery
from houndsight.indexing import index

NO_PHOTO = "is no photo of a kind that is read (JPEG, PNG, WebP, GIF, TIFF, BMP, AVIF, HEIC, RAW)"
NO_RIGHTS = "may not be read: permission denied"
ROOT = os.geteuid() == 0

# Odd, but good.
GOOD = [
    b"beagle/1.jpg",
    b"beagle/2.JPEG",
    b"beagle/a\nnewline.jpg",
    b"caf\xe9/not-utf8-\xff.jpg",
    b"collie/1.jpg",
    b"collie/link.jpg",
    b"collie/named-like-a-photo.jpg/inside.jpg",
    b"collie/really-png.jpg",
    b"collie/truncated-exif.jpg",
    b"top.webp",
]
# Reported each time, though not decoded: found out by looking at the folder.
BY_LISTING = {
    b"beagle/dangling.jpg": "is a link to a file that does not exist",
    b"beagle/empty-folder.jpg": "is a folder named like a photo, with no photo in it",
    b"beagle/itself.jpg": "is a link that leads to itself",
    b"beagle/back": "is a link that leads back to a folder it lies in",
    b"beagle/pipe.jpg": "is no regular file (a pipe, socket or device)",
}
# Found out by reading the file.
BY_READING = {
    b"beagle/empty.jpg": "is empty",
    b"beagle/text.jpg": NO_PHOTO,
    b"beagle/page.jpg": "is a web page, not a photo",
    b"collie/bomb.png": "holds more pixels than are safe to decode",
    b"collie/truncated.jpg": "is damaged: image file is truncated",
    b"collie/bad\nnewline.jpg": NO_PHOTO,
    b"caf\xe9/bad-\xff.jpg": NO_PHOTO,
}
BAD = {**BY_LISTING, **BY_READING}


def bomb():
    """A PNG of a few bytes that claims 30,000 x 30,000 pixels."""

    def chunk(kind, body):
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def fill(root):
    """Write every good and every bad file."""
    for seed, path in enumerate(GOOD):
        kind = {b"top.webp": "WEBP", b"collie/really-png.jpg": "PNG"}.get(path, "JPEG")
        options = {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01"} if b"exif" in path else {}
        if path != b"collie/link.jpg":
            write_photo(os.path.join(root, path), seed, kind=kind, **options)
    write_photo(os.path.join(os.path.dirname(root), b"elsewhere", b"photo"), 100)
    os.symlink(b"../../elsewhere/photo", os.path.join(root, b"collie/link.jpg"))
    os.symlink(b"nowhere.jpg", os.path.join(root, b"beagle/dangling.jpg"))
    os.mkdir(os.path.join(root, b"beagle/empty-folder.jpg"))
    os.symlink(b"itself.jpg", os.path.join(root, b"beagle/itself.jpg"))
    os.symlink(b"..", os.path.join(root, b"beagle/back"))
    os.mkfifo(os.path.join(root, b"beagle/pipe.jpg"))
    contents = {
        b"beagle/empty.jpg": b"",
        b"beagle/text.jpg": b"dear diary",
        b"beagle/page.jpg": b"<!DOCTYPE html><title>404</title>",
        b"collie/bomb.png": bomb(),
        b"collie/truncated.jpg": encoded(draw(50, (300, 200)))[:2500],
        b"collie/bad\nnewline.jpg": b"no photo",
        b"caf\xe9/bad-\xff.jpg": b"no photo either",
    }
    for path, data in contents.items():
        with open(os.path.join(root, path), "wb") as file:
            file.write(data)


@pytest.fixture
def root(tmp_path):
    folder = os.fsencode(tmp_path / "photos")
    os.mkdir(folder)
    fill(folder)
    return folder


@pytest.fixture
def place(tmp_path):
    return tmp_path / "gallery"


def reasons(skipped, root):
    """Reasons by relative path; how many bytes were left over is Pillow's to say."""
    found = {}
    for path, reason in skipped:
        relative = os.path.relpath(path, root)
        assert relative not in found
        found[relative] = reason.split(" (")[0] if "truncated (" in reason else reason
    return found


def of_report(report, root):
    return reasons([(skip.path, skip.reason) for skip in report.skipped], root)


def paths(place):
    with Gallery(place) as gallery:
        assert gallery.verify() == []
        return sorted(item.path for item in gallery.items())


@pytest.fixture
def reads(monkeypatch):
    """How often each file is read, by base name, and how many are decoded (key None)."""
    counts = Counter()
    read, decode = images.read, images.decode

    def counted_read(path):
        counts[os.path.basename(path)] += 1
        return read(path)

    def counted_decode(data, **rest):
        counts[None] += 1
        return decode(data, **rest)

    monkeypatch.setattr(images, "read", counted_read)
    monkeypatch.setattr(images, "decode", counted_decode)
    return counts


pytestmark = pytest.mark.filterwarnings("ignore:Corrupt EXIF data")


def test_every_bad_file_is_reported_and_every_good_photo_is_in(root, place):
    embedder = fake_embedder()
    report = index(root, place, embedder=embedder)
    assert of_report(report, root) == BAD
    assert paths(place) == sorted(GOOD)
    assert (report.new, report.embedded) == (len(GOOD), len(GOOD))
    assert embedder.runtime.images == len(GOOD)
    with Gallery(place) as gallery:
        kept = gallery.skipped()
        assert reasons([(skip.path, skip.reason) for skip in kept], root) == BAD


def test_each_photo_has_its_own_vector_and_facts_whatever_failed_around_it(root, place):
    embedder = fake_embedder()
    index(root, place, embedder=embedder)
    with Gallery(place) as gallery:
        for item in gallery.items():
            file = os.path.join(root, item.path)
            with open(file, "rb") as opened:
                data = opened.read()
            assert item.digest == hashlib.sha256(data).digest()
            assert (item.size, item.width, item.height) == (len(data), 48, 40)
            alone = embedder.embed(file).values
            assert np.array_equal(gallery.vectors([item]).values, alone)
        labels = {item.path: item.label for item in gallery.items()}
    assert labels[b"top.webp"] is None
    assert labels[b"beagle/a\nnewline.jpg"] == "beagle"
    assert labels[b"collie/named-like-a-photo.jpg/inside.jpg"] == "named-like-a-photo.jpg"
    assert labels[b"caf\xe9/not-utf8-\xff.jpg"] == "caf\N{REPLACEMENT CHARACTER}"


def test_running_again_reads_nothing_embeds_nothing_and_reports_the_same(root, place, reads):
    first = index(root, place, embedder=fake_embedder())
    assert reads[None] == len(GOOD) + len(BY_READING) - 1  # the empty file is not decoded
    reads.clear()
    runtime = FakeRuntime()
    for _ in range(2):
        again = index(root, place, embedder=fake_embedder(runtime=runtime))
        assert of_report(again, root) == BAD
        assert sorted(s.path for s in again.skipped) == sorted(s.path for s in first.skipped)
        assert (again.unchanged, again.new, again.changed, again.embedded) == (len(GOOD), 0, 0, 0)
    assert reads == {}
    assert (runtime.runs, runtime.images) == (0, 0)
    assert paths(place) == sorted(GOOD)


def test_a_file_that_was_put_right_is_taken_in_by_the_next_run(root, place, reads):
    index(root, place, embedder=fake_embedder())
    reads.clear()
    fixed = b"collie/truncated.jpg"
    write_photo(os.path.join(root, fixed), 50, (300, 200))
    report = index(root, place, embedder=fake_embedder())
    assert (report.new, report.embedded) == (1, 1)
    assert of_report(report, root) == {path: BAD[path] for path in BAD if path != fixed}
    assert reads == {b"truncated.jpg": 1, None: 1}
    assert paths(place) == sorted([*GOOD, fixed])


def test_a_file_that_changed_and_is_still_bad_is_looked_at_again(root, place, reads):
    index(root, place, embedder=fake_embedder())
    reads.clear()
    with open(os.path.join(root, b"beagle/text.jpg"), "wb") as file:
        file.write(b"<html>now a page</html>")
    report = index(root, place, embedder=fake_embedder())
    assert of_report(report, root) == {**BAD, b"beagle/text.jpg": "is a web page, not a photo"}
    assert reads == {b"text.jpg": 1, None: 1}


def test_a_bad_file_that_is_gone_is_reported_no_more(root, place):
    index(root, place, embedder=fake_embedder())
    for path in (b"beagle/text.jpg", b"beagle/dangling.jpg", b"collie/bomb.png"):
        os.remove(os.path.join(root, path))
    report = index(root, place, embedder=fake_embedder())
    left = {path: BAD[path] for path in BAD if os.path.lexists(os.path.join(root, path))}
    assert len(left) == len(BAD) - 3
    assert of_report(report, root) == left
    with Gallery(place) as gallery:
        assert len(gallery.skipped()) == len(left)


def test_a_link_whose_file_comes_back_is_taken_in(root, place):
    index(root, place, embedder=fake_embedder())
    write_photo(os.path.join(root, b"beagle/nowhere.jpg"), 70)
    report = index(root, place, embedder=fake_embedder())
    # Equal bytes share one run of the network, or one batch.
    assert report.new == 2
    assert b"beagle/dangling.jpg" in paths(place)
    assert b"beagle/dangling.jpg" not in of_report(report, root)


def test_a_photo_that_goes_bad_is_reported(root, place):
    index(root, place, embedder=fake_embedder())
    with open(os.path.join(root, b"beagle/1.jpg"), "wb") as file:
        file.write(b"overwritten")
    report = index(root, place, embedder=fake_embedder())
    assert of_report(report, root) == {**BAD, b"beagle/1.jpg": NO_PHOTO}
    assert (report.removed, report.embedded) == (1, 0)  # it is no photo any more


def test_a_file_that_may_not_be_read_is_tried_again_each_time(root, place, monkeypatch):
    """As if without rights, since root may read everything."""
    locked = os.path.join(root, b"collie/1.jpg")
    real = open

    def guarded(path, *rest, **options):
        if path == locked:
            raise PermissionError(13, "Permission denied", path)
        return real(path, *rest, **options)

    with monkeypatch.context() as patch:
        patch.setattr("builtins.open", guarded)
        for _ in range(2):
            report = index(root, place, embedder=fake_embedder())
            assert of_report(report, root) == {**BAD, b"collie/1.jpg": NO_RIGHTS}
    # Nothing about the file has changed but that it may be read.
    report = index(root, place, embedder=fake_embedder())
    assert (report.new, of_report(report, root)) == (1, BAD)
    assert paths(place) == sorted(GOOD)


@pytest.mark.skipif(ROOT, reason="root may read everything")
def test_a_file_without_rights_is_reported_until_it_has_them(root, place):
    locked = os.path.join(root, b"collie/1.jpg")
    os.chmod(locked, 0)
    report = index(root, place, embedder=fake_embedder())
    assert of_report(report, root) == {**BAD, b"collie/1.jpg": NO_RIGHTS}
    os.chmod(locked, 0o600)
    assert index(root, place, embedder=fake_embedder()).new == 1
    assert paths(place) == sorted(GOOD)


def test_many_bad_files_in_a_row_stop_nothing(tmp_path, place):
    root = os.fsencode(tmp_path / "photos")
    write_photo(os.path.join(root, b"a.jpg"), 1)
    for number in range(600):
        with open(os.path.join(root, b"bad-%03d.jpg" % number), "wb") as file:
            file.write(b"bad")
    write_photo(os.path.join(root, b"z.jpg"), 2)
    seen = []
    report = index(root, place, embedder=fake_embedder(), progress=seen.append)
    assert (report.new, len(report.skipped)) == (2, 600)
    assert (seen[-1].done, seen[-1].total) == (602, 602)
    assert paths(place) == [b"a.jpg", b"z.jpg"]


def test_nothing_but_bad_files_is_an_empty_gallery_and_a_full_report(tmp_path, place):
    root = os.fsencode(tmp_path / "photos")
    os.mkdir(root)
    with open(os.path.join(root, b"bad.jpg"), "wb") as file:
        file.write(b"bad")
    for _ in range(2):
        report = index(root, place, embedder=fake_embedder())
        assert (report.new, of_report(report, root)) == (0, {b"bad.jpg": NO_PHOTO})
    assert paths(place) == []


# The command line


def houndsight(*arguments, cwd):
    command = [sys.executable, "-m", "houndsight", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, timeout=120, check=False)


def test_the_command_line_reports_every_bad_file(root, place, tmp_path):
    bad = dict(BAD)
    if not ROOT:
        os.chmod(os.path.join(root, b"beagle/empty.jpg"), 0)
        bad[b"beagle/empty.jpg"] = NO_RIGHTS

    def run(*arguments):
        done = houndsight(*arguments, "-g", place, cwd=tmp_path)
        assert b"Traceback" not in done.stderr
        return done

    def of_json(text):
        files = json.loads(text)["skipped_files"]
        return reasons([(os.fsencode(one["path"]), one["reason"]) for one in files], root)

    # As a person types it: a relative path.
    first = run("index", "photos", "--model", "efficientnet-lite0")
    assert first.returncode == 3, first.stderr
    lines = first.stderr.decode("ascii").splitlines()
    named = [line for line in lines if line.startswith("skipped: ")]
    assert len(named) == len(bad)
    assert any(rf"collie/bad\nnewline.jpg: {NO_PHOTO}" in line for line in named)
    assert any(rf"caf\udce9/bad-\udcff.jpg: {NO_PHOTO}" in line for line in named)
    assert f"{len(GOOD)} new".encode() in first.stdout
    assert f"{len(bad)} skipped".encode() in first.stdout
    assert paths(place) == sorted(GOOD)

    info = run("info", "--skipped", "--json")
    assert info.returncode == 0
    assert of_json(info.stdout) == bad
    shown = json.loads(info.stdout)
    assert (shown["items"], shown["skipped"]) == (len(GOOD), len(bad))
    plain = run("info", "--skipped").stdout.decode()
    assert sum(line.startswith("skipped  ") for line in plain.splitlines()) == len(bad) + 1

    again = run("index", "photos", "--json")
    assert again.returncode == 3
    record = json.loads(again.stdout)
    assert (record["new"], record["unchanged"], record["embedded"]) == (0, len(GOOD), 0)
    assert of_json(again.stdout) == bad

    for path in bad:
        full = os.path.join(root, path)
        if os.path.isdir(full) and not os.path.islink(full):
            os.rmdir(full)
        else:
            os.remove(full)
    write_photo(os.path.join(root, b"collie/truncated.jpg"), 50)
    last = run("index", "photos", "--json")
    assert last.returncode == 0, last.stderr
    record = json.loads(last.stdout)
    assert (record["new"], record["skipped_files"]) == (1, [])
