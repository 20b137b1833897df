"""Which photos a folder holds, and what else lies there."""

import os
import socket

import pytest

from fakes import write_photo
from houndsight.errors import InputError
from houndsight.images import is_photo
from houndsight.listing import MAX_DEPTH, find, scan
from houndsight.types import Skipped


def names(listing):
    return [found.path for found in listing.photos]


def under(folder, **rest):
    return find(os.fsencode(folder), **rest)


def make(folder, *paths):
    """Write a photo at each path."""
    for number, path in enumerate(paths):
        write_photo(os.path.join(os.fsencode(folder), os.fsencode(path)), number, (12, 10))


@pytest.mark.parametrize(
    "name",
    [
        "a.jpg",
        "a.jpeg",
        "a.jpe",
        "a.jfif",
        "a.png",
        "a.webp",
        "a.gif",
        "a.tif",
        "a.tiff",
        "a.bmp",
        "a.avif",
        "a.heic",
        "a.heif",
        "a.dng",
        "a.nef",
        "a.cr3",
        "a.b.JPG",
    ],
)
def test_names_of_photos(name):
    assert is_photo(name.encode())
    assert is_photo(name.upper().encode())


@pytest.mark.parametrize("name", [b"a.txt", b"a", b"jpg", b".jpg", b"a.jpg.txt", b"a.raw", b""])
def test_names_of_other_files(name):
    assert not is_photo(name)


def test_photos_are_found_at_any_depth_sorted_by_path_with_size_and_time(tmp_path):
    make(tmp_path, "b/x/y/3.png", "b/2.jpg", "a.JPG", "b-c/4.webp", "b/x/1.tiff")
    listing = under(tmp_path)
    assert names(listing) == [b"a.JPG", b"b-c/4.webp", b"b/2.jpg", b"b/x/1.tiff", b"b/x/y/3.png"]
    for found in listing.photos:
        info = os.stat(tmp_path / os.fsdecode(found.path))
        assert (found.size, found.mtime_ns) == (info.st_size, info.st_mtime_ns)
    assert (listing.skipped, listing.unseen, listing.passed_over) == ([], [], {})


def test_other_files_are_counted_by_extension(tmp_path):
    make(tmp_path, "a.jpg", ".hidden.jpg", ".folder/b.jpg", "x/notes.txt", "x/b.TXT", "x/README")
    (tmp_path / "x" / "odd").symlink_to("nowhere")
    listing = under(tmp_path)
    assert names(listing) == [b"a.jpg"]
    assert listing.passed_over == {"hidden": 2, ".txt": 2, "no extension": 1, "broken link": 1}
    assert listing.skipped == []


def test_odd_names_are_kept_byte_for_byte(tmp_path):
    odd = [
        b"a\nb.jpg",
        b"caf\xe9.jpg",
        b"\xff\xfe/\xe9.png",
        b"\x1b[31mred.jpg",
        b" .jpg",
        b"%s.gif",
    ]
    for number, name in enumerate(odd):
        write_photo(os.path.join(os.fsencode(tmp_path), name), number)
    assert names(under(tmp_path)) == sorted(odd)


def test_links_to_photos_and_folders_are_followed(tmp_path):
    make(tmp_path, "real/a.jpg", "outside/c.jpg")
    root = tmp_path / "root"
    root.mkdir()
    (root / "photo.jpg").symlink_to(tmp_path / "real" / "a.jpg")
    (root / "folder").symlink_to(tmp_path / "outside", target_is_directory=True)
    listing = under(root)
    assert names(listing) == [b"folder/c.jpg", b"photo.jpg"]
    assert listing.photos[1].size == os.stat(tmp_path / "real" / "a.jpg").st_size
    assert listing.skipped == []


def test_a_root_that_is_a_link_is_followed(tmp_path):
    make(tmp_path, "real/a.jpg")
    (tmp_path / "link").symlink_to("real")
    assert names(under(tmp_path / "link")) == [b"a.jpg"]


def test_links_that_lead_back_are_reported_and_left(tmp_path):
    make(tmp_path, "a/b/1.jpg")
    (tmp_path / "a" / "b" / "top").symlink_to(tmp_path)
    (tmp_path / "a" / "b" / "here").symlink_to(".")
    (tmp_path / "me.jpg").symlink_to("me.jpg")
    (tmp_path / "ping").symlink_to("pong")
    (tmp_path / "pong").symlink_to("ping")
    listing = under(tmp_path)
    assert names(listing) == [b"a/b/1.jpg"]
    back = "is a link that leads back to a folder it lies in"
    itself = "is a link that leads to itself"
    root = os.fsencode(tmp_path)
    assert sorted(listing.skipped, key=lambda skip: skip.path) == [
        Skipped(root + b"/a/b/here", back),
        Skipped(root + b"/a/b/top", back),
        Skipped(root + b"/me.jpg", itself),
        Skipped(root + b"/ping", itself),
        Skipped(root + b"/pong", itself),
    ]


def test_folders_linked_crosswise_come_to_an_end(tmp_path):
    make(tmp_path, "a/1.jpg", "b/2.jpg")
    (tmp_path / "a" / "to-b").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "to-a").symlink_to(tmp_path / "a")
    assert names(under(tmp_path)) == [b"a/1.jpg", b"a/to-b/2.jpg", b"b/2.jpg", b"b/to-a/1.jpg"]


def test_a_dangling_link_named_like_a_photo_is_reported(tmp_path):
    make(tmp_path, "a.jpg")
    (tmp_path / "gone.jpg").symlink_to("nowhere.jpg")
    listing = under(tmp_path)
    gone = os.fsencode(tmp_path / "gone.jpg")
    assert listing.skipped == [Skipped(gone, "is a link to a file that does not exist")]


def test_a_folder_named_like_a_photo_is_searched_and_reported_only_when_empty(tmp_path):
    make(tmp_path, "full.jpg/a.jpg", "nested.jpg/deeper/b.jpg")
    (tmp_path / "empty.jpg").mkdir()
    (tmp_path / "empty").mkdir()
    listing = under(tmp_path)
    assert names(listing) == [b"full.jpg/a.jpg", b"nested.jpg/deeper/b.jpg"]
    reason = "is a folder named like a photo, with no photo in it"
    assert listing.skipped == [Skipped(os.fsencode(tmp_path / "empty.jpg"), reason)]


def test_pipes_and_sockets_named_like_photos_are_reported_not_opened(tmp_path, monkeypatch):
    make(tmp_path, "a.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    monkeypatch.chdir(tmp_path)  # a socket's path may be no longer than 107 bytes
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("socket.png")
    listing = under(tmp_path)
    assert names(listing) == [b"a.jpg"]
    reason = "is no regular file (a pipe, socket or device)"
    assert listing.skipped == [
        Skipped(os.fsencode(tmp_path / name), reason) for name in ("pipe.jpg", "socket.png")
    ]


def test_a_folder_that_may_not_be_read_is_reported_and_not_taken_for_empty(tmp_path, monkeypatch):
    make(tmp_path, "a.jpg", "x/locked/b.jpg", "x/c.jpg")
    scandir = os.scandir

    def guarded(path):
        if path.endswith(b"locked"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    listing = under(tmp_path)
    assert names(listing) == [b"a.jpg", b"x/c.jpg"]
    locked = os.fsencode(tmp_path / "x" / "locked")
    assert listing.skipped == [Skipped(locked, "a folder that may not be read: permission denied")]
    assert listing.unseen == [b"x/locked"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_without_rights_is_reported(tmp_path):
    make(tmp_path, "a.jpg", "locked/b.jpg")
    (tmp_path / "locked").chmod(0)
    try:
        listing = under(tmp_path)
    finally:
        (tmp_path / "locked").chmod(0o700)
    assert (names(listing), listing.unseen) == ([b"a.jpg"], [b"locked"])


def test_folders_nested_without_end_are_reported(tmp_path):
    make(tmp_path, "a.jpg")
    # Deeper than a path may be long, so made step by step.
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(600):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    listing = under(tmp_path)
    assert names(listing) == [b"a.jpg"]
    (skip,) = listing.skipped
    assert skip.reason == f"lies more than {MAX_DEPTH} folders deep"
    assert listing.unseen == [os.path.relpath(skip.path, os.fsencode(tmp_path))]
    assert listing.unseen[0].count(b"/") == MAX_DEPTH


def test_a_gallery_among_the_photos_is_left_out_with_all_it_holds(tmp_path):
    make(tmp_path, "a.jpg", "gallery/thumbnails/00/x.jpg", "gallery/x.jpg", "x/b.jpg")
    (tmp_path / "gallery" / "catalogue.sqlite").write_bytes(b"")
    assert names(under(tmp_path, leave_out_with=b"catalogue.sqlite")) == [b"a.jpg", b"x/b.jpg"]
    everything = [b"a.jpg", b"gallery/thumbnails/00/x.jpg", b"gallery/x.jpg", b"x/b.jpg"]
    assert names(under(tmp_path)) == everything
    assert names(under(tmp_path / "gallery", leave_out_with=b"catalogue.sqlite")) == []


def test_an_empty_root_holds_nothing(tmp_path):
    listing = under(tmp_path)
    assert (listing.photos, listing.skipped, listing.passed_over) == ([], [], {})


def test_an_absent_root_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"nowhere: there is no such folder.*mount the drive"):
        under(tmp_path / "nowhere")


def test_a_root_that_is_a_file_is_an_error(tmp_path):
    make(tmp_path, "a.jpg")
    with pytest.raises(InputError, match=r"a\.jpg: is a file, neither folder nor archive"):
        under(tmp_path / "a.jpg")


def test_a_root_that_cannot_be_read_is_an_error(tmp_path, monkeypatch):
    def locked(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", locked)
    with pytest.raises(InputError, match="cannot be read: Permission denied"):
        under(tmp_path)


def test_folders_are_told_apart_where_their_entries_have_no_numbers(tmp_path):
    """As on Windows, where an entry says 0 for them all."""
    for name in ("a/b/c/1.jpg", "a/2.jpg", "d/3.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path)

    class Numberless:
        def __init__(self, entry):
            self.name, self.is_symlink, self.entry = entry.name, entry.is_symlink, entry

        def stat(self):
            info = list(self.entry.stat())
            info[1] = info[2] = 0
            return os.stat_result(info, {"st_mtime_ns": self.entry.stat().st_mtime_ns})

    root = os.fsencode(tmp_path)
    found = find(root, scan=lambda folder: [Numberless(entry) for entry in scan(folder)])
    assert [photo.path for photo in found.photos] == [b"a/2.jpg", b"a/b/c/1.jpg", b"d/3.jpg"]
    (circle,) = found.skipped
    assert circle.reason == "is a link that leads back to a folder it lies in"


def test_a_root_that_vanishes_as_it_was_looked_into(tmp_path):
    write_photo(tmp_path / "root" / "sub" / "a.jpg", 1)
    write_photo(tmp_path / "root" / "b.jpg", 2)

    def look(folder):
        entries = scan(folder)
        if folder == os.fsencode(tmp_path / "root"):
            (tmp_path / "root").rename(tmp_path / "away")
        return entries

    listing = find(os.fsencode(tmp_path / "root"), scan=look)
    assert listing.photos == []
    assert listing.unseen == [b"b.jpg", b"sub"]  # so nothing of it counts as gone
