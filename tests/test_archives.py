"""Photos in .zip and .tar archives."""

import io
import os
import tarfile
import threading
import zipfile

import pytest

from fakes import draw, encoded, fake_embedder
from houndsight import Gallery, archives, index, watch
from houndsight.errors import ImageError, InputError
from houndsight.images import read
from houndsight.listing import find
from houndsight.queries import read_queries

PHOTOS = {
    f"{label}/{n}.jpg": encoded(draw(10 * n + len(label), (96, 80)))
    for label in ("beagle", "pug")
    for n in range(4)
}
KINDS = ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz", "tgz", "ZIP"]


def pack(path, files, *, at=1_700_000_000):
    """Write an archive of files; returns its path as bytes."""
    if path.name.lower().endswith("zip"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
            for name, data in files.items():
                made.writestr(zipfile.ZipInfo(name, (2024, 5, 6, 7, 8, 10)), data)
    else:
        way = path.suffix.removeprefix(".").replace("tgz", "gz").replace("tar", "")
        with tarfile.open(path, f"w:{way}") as made:
            for name, data in files.items():
                info = tarfile.TarInfo(name)
                info.size, info.mtime = len(data), at
                made.addfile(info, io.BytesIO(data))
    return os.fsencode(path)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_in_an_archive_is_listed_and_read_as_it_is(tmp_path, kind):
    archive = pack(tmp_path / f"photos.{kind}", PHOTOS)
    listing = find(archive)
    assert [os.fsdecode(found.path) for found in listing.photos] == sorted(PHOTOS)
    assert (listing.skipped, listing.unseen, listing.passed_over) == ([], [], {})
    for found in listing.photos:
        file = read(os.path.join(archive, found.path))
        assert file.data == PHOTOS[os.fsdecode(found.path)]
        assert (len(file.data), file.mtime_ns) == (found.size, found.mtime_ns)


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_names_that_begin_in_the_packed_folder_are_paths(tmp_path, kind):
    """As ``tar cf photos.tar .`` writes them."""
    archive = pack(tmp_path / f"photos.{kind}", {f"./{name}": PHOTOS[name] for name in PHOTOS})
    listing = find(archive)
    assert [os.fsdecode(found.path) for found in listing.photos] == sorted(PHOTOS)
    assert listing.skipped == []
    for found in listing.photos:
        data = read(os.path.join(archive, found.path)).data
        assert data == PHOTOS[os.fsdecode(found.path)]


def test_where_no_photo_can_be_used_the_first_reason_is_told(tmp_path):
    archive = pack(tmp_path / "photos.tar", {"../out.jpg": PHOTOS["pug/0.jpg"], "a.txt": b"x"})
    with pytest.raises(InputError) as caught:
        index(archive, tmp_path / "gallery", embedder=fake_embedder())
    assert caught.value.cause == (
        "holds no photo (1 other files, 1 unreadable; ../out.jpg has a name that is no path)"
    )


def test_what_else_is_in_an_archive_is_counted(tmp_path):
    more = {
        "readme.txt": b"x",
        "__MACOSX/a/._1.jpg": b"x",
        "a/.hidden.jpg": b"x",
        ".git/a.jpg": b"x",
        "inner.zip": b"x",
        "none": b"x",
        "../out.jpg": b"x",
        "/root.jpg": b"x",
        "a//b.jpg": b"x",
    }
    for kind in ("zip", "tar"):
        archive = pack(tmp_path / f"photos.{kind}", {**PHOTOS, **more})
        listing = find(archive)
        assert len(listing.photos) == len(PHOTOS)
        assert listing.passed_over == {"hidden": 3, ".txt": 1, ".zip": 1, "no extension": 1}
        assert sorted(skip.path for skip in listing.skipped) == sorted(
            archive + b"/" + name for name in (b"../out.jpg", b"root.jpg", b"a//b.jpg")
        )
        assert {skip.reason for skip in listing.skipped} == {"has a name that is no path"}


def test_links_devices_and_folders_in_an_archive_are_no_photos(tmp_path):
    path = tmp_path / "odd.tar"
    with tarfile.open(path, "w") as made:
        for name, kind in (
            ("link.jpg", tarfile.SYMTYPE),
            ("hard.jpg", tarfile.LNKTYPE),
            ("pipe.jpg", tarfile.FIFOTYPE),
            ("folder.jpg", tarfile.DIRTYPE),
            ("device.jpg", tarfile.CHRTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            made.addfile(info)
    assert find(os.fsencode(path)).photos == []


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_an_archive_is_indexed_like_a_folder(tmp_path, kind):
    folder = tmp_path / "photos"
    for name, data in PHOTOS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    index(folder, tmp_path / "plain", embedder=fake_embedder())
    archive = pack(tmp_path / f"photos.{kind}", PHOTOS)
    done = index(archive, tmp_path / "gallery", embedder=fake_embedder())
    assert (done.new, len(done.skipped)) == (len(PHOTOS), 0)
    with Gallery(tmp_path / "plain") as plain, Gallery(tmp_path / "gallery") as gallery:
        assert gallery.labels() == plain.labels()
        ours, theirs = gallery.items(), plain.items()
        assert [one.path for one in ours] == [one.path for one in theirs]
        assert (gallery.vectors(ours).values == plain.vectors(theirs).values).all()
        item = gallery.items()[0]
        first = gallery.path_of(item)
        assert first == os.path.join(archive, item.path)
        assert read(first).digest == item.digest
        # Thumbnails can be made again from it.
        made = gallery.thumbnail(item)
        gallery._thumbnail_path(item.digest).unlink()
        assert gallery.thumbnail(item) == made
    again = index(archive, tmp_path / "gallery", embedder=fake_embedder())
    assert (again.unchanged, again.embedded) == (len(PHOTOS), 0)
    # Another archive in its place: what has changed is noticed.
    changed = {**PHOTOS, "pug/0.jpg": encoded(draw(999, (96, 80)))}
    del changed["beagle/3.jpg"]
    pack(tmp_path / f"photos.{kind}", changed, at=1_700_000_100)
    third = index(archive, tmp_path / "gallery", embedder=fake_embedder())
    assert third.removed == 1
    assert third.changed >= 1
    with Gallery(tmp_path / "gallery") as gallery:
        assert len(gallery) == len(changed)
        assert gallery.verify() == []


def test_of_a_zip_a_change_shows_though_size_and_time_are_the_same(tmp_path):
    path = tmp_path / "a.zip"
    one, other = bytes(100), bytes(99) + b"x"
    before = find(pack(path, {"a.jpg": one})).photos
    path.unlink()
    after = find(pack(path, {"a.jpg": other})).photos
    assert before[0].size == after[0].size
    assert before[0].mtime_ns != after[0].mtime_ns


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", ["text", "empty", "cut"])
def test_a_damaged_archive_is_named(tmp_path, kind, damage):
    path = tmp_path / f"broken.{kind}"
    whole = pack(path, PHOTOS)
    data = path.read_bytes()
    path.write_bytes(
        {"text": b"no archive " * 99, "empty": b"", "cut": data[: len(data) // 2]}[damage]
    )
    with pytest.raises(InputError) as caught:
        find(whole)
    assert caught.value.path == whole
    assert caught.value.cause.startswith("cannot be read as an archive: ")
    assert "still being copied" in caught.value.remedy


@pytest.mark.parametrize("kind", ["tar", "tar.gz"])
def test_a_tar_that_was_cut_off_does_not_seem_to_hold_less(tmp_path, kind):
    archive = pack(tmp_path / f"photos.{kind}", PHOTOS)
    index(archive, tmp_path / "gallery", embedder=fake_embedder())
    data = (tmp_path / f"photos.{kind}").read_bytes()
    # Behind the last photo are zeros, of which the first 512 tell that it ends there.
    ends = len(data.rstrip(b"\0")) if kind == "tar" else len(data) - 100
    for end in range(600, ends, 1733):
        (tmp_path / f"photos.{kind}").write_bytes(data[:end])
        with pytest.raises(InputError, match="cannot be read as an archive"):
            index(archive, tmp_path / "gallery", embedder=fake_embedder())
    with Gallery(tmp_path / "gallery") as gallery:
        assert len(gallery) == len(PHOTOS)


def test_what_cannot_be_read_from_an_archive_says_why(tmp_path):
    archive = pack(tmp_path / "a.zip", {"a.jpg": b"x" * 1000, "empty.jpg": b""})

    def why(name):
        with pytest.raises(ImageError) as caught:
            read(os.path.join(archive, name))
        return caught.value.cause

    assert why(b"absent.jpg") == "there is no such file in the archive"
    assert why(b"empty.jpg") == "is empty"
    assert why(b"a.jpg/deeper.jpg") == "there is no such file in the archive"
    path = tmp_path / "a.zip"
    data = bytearray(path.read_bytes())
    data[40] ^= 255  # in the compressed bytes of the first
    path.write_bytes(data)
    assert why(b"a.jpg").startswith("cannot be read from the archive: ")
    data = bytearray(pack_encrypted())
    path.write_bytes(data)
    assert "encrypted" in why(b"a.jpg")
    path.unlink()
    assert why(b"a.jpg") == "there is no such file"
    (tmp_path / "file.jpg").write_bytes(b"x")
    with pytest.raises(ImageError, match="there is no such file"):
        read(os.fsencode(tmp_path / "file.jpg" / "b.jpg"))


def pack_encrypted():
    """Return a .zip whose one member says that it is encrypted."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        file.writestr("a.jpg", b"x" * 50)
    data = bytearray(made.getvalue())
    data[6] |= 1  # the flag, in the member's head
    data[data.index(b"PK\x01\x02") + 8] |= 1  # and in the table of contents
    return bytes(data)


def test_more_than_a_photo_can_be_is_not_read(tmp_path, monkeypatch):
    archive = pack(tmp_path / "a.zip", {"a.jpg": bytes(5000)})
    monkeypatch.setattr("houndsight.images.MAX_BYTES", 4000)
    with pytest.raises(ImageError, match="is larger than"):
        read(os.path.join(archive, b"a.jpg"))


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_several_threads_read_at_once(tmp_path, kind):
    made = [pack(tmp_path / f"{n}.{kind}", PHOTOS) for n in range(archives.OPEN + 3)]
    wrong = []

    def look(seed):
        for n in range(40):
            archive = made[(seed + n) % len(made)]
            name = sorted(PHOTOS)[(seed * 7 + n) % len(PHOTOS)]
            if read(os.path.join(archive, os.fsencode(name))).data != PHOTOS[name]:
                wrong.append(name)

    threads = [threading.Thread(target=look, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(archives._kept) <= archives.OPEN


def test_an_archive_is_no_folder_to_be_watched(tmp_path):
    archive = pack(tmp_path / "photos.zip", PHOTOS)
    with pytest.raises(InputError, match="is no folder") as caught:
        next(watch(archive, tmp_path / "gallery", embedder=fake_embedder()))
    assert "houndsight index" in caught.value.remedy


def test_an_archive_is_a_query_like_a_folder(tmp_path):
    archive = pack(tmp_path / "photos.zip", PHOTOS)
    index(archive, tmp_path / "gallery", embedder=fake_embedder())
    with Gallery(tmp_path / "gallery") as gallery:
        found = read_queries(gallery, fake_embedder(), [archive], labels="folder")
        assert [query.label for query in found.photos] == ["beagle"] * 4 + ["pug"] * 4
        for query, matches in zip(found.photos, gallery.search(found.vectors, 1), strict=True):
            assert matches[0].item.id in query.own
