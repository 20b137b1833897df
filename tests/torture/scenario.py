"""What is tortured: a small gallery, the commands that change it, and what it holds as a value."""

import os
import shutil
import sys
import tempfile
import zlib
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from fakes import draw, fake_embedder, write_photo
from houndsight import Gallery, add_photo, index, learn

__all__ = ["COMMANDS", "Scene", "held", "scratch"]

BATCH = 4  # photos that are committed together


def held(place):
    """What a gallery holds, as a value: items and vectors, changes and learned maps."""
    with Gallery(place) as gallery:
        return _held(gallery)


def _held(gallery):
    items = gallery.store.items()
    digests = {item.digest for item in items}
    there = gallery.store.with_digests(digests)
    rows = gallery.store.vectors([item.id for item in there])
    vectors = tuple((item.id, zlib.crc32(row)) for item, row in zip(there, rows, strict=True))
    kinds = ("history/", "metric", "spaces/", "calibrations/")
    names = tuple(name for kind in kinds for name in gallery.store.names(kind))
    return tuple(items), vectors, names


# The commands: each changes the gallery that the one before has left, and calls `note` with what it
# reports as done.


def _index(photos):
    def run(scene, place, note):
        def progress(_):
            # Not by another connection: what that writes is no part of this.
            note(scene.reported(place))

        index(scene.photos / photos, place, embedder=fake_embedder(), progress=progress)

    return run


def _some(gallery, count, *, by_path=b""):
    return [item.id for item in gallery.items() if by_path in item.path][:count]


def _remove(scene, place, note):
    with Gallery(place) as gallery:
        gallery.remove(_some(gallery, 2, by_path=b"pug"))


def _label(scene, place, note):
    with Gallery(place) as gallery:
        gallery.set_labels(dict.fromkeys(_some(gallery, 3), "mongrel"), source="user")


def _undo(scene, place, note):
    with Gallery(place) as gallery:
        gallery.undo()


def _add(scene, place, note):
    with Gallery(place) as gallery:
        add_photo(gallery, fake_embedder(), scene.photos / "own.jpg", label="pug")


def _learn(scene, place, note):
    with Gallery(place) as gallery:
        assert learn(gallery, method="lda").metric is not None


def _compact(scene, place, note):
    with Gallery(place) as gallery:
        gallery.compact()


COMMANDS = {
    "index": _index("first"),
    "remove": _remove,
    "label": _label,
    "undo": _undo,
    "add": _add,
    "learn": _learn,
    "index again": _index("second"),
    "compact": _compact,
}


class Scene:
    """The gallery before and after each command, in folders below `folder`.

    `states[command]` is what it holds before the command, while it runs, and at its end, in order;
    `least[command][n]` which of these it has reached at least after n notes. `base(command)` is a
    folder with the gallery before it.
    """

    def __init__(self, folder):
        os.environ["HOUNDSIGHT_BATCH"] = str(BATCH)
        self.folder = Path(folder)
        self.photos = self.folder / "photos"
        self._photos()
        self.states, self.least = {}, {}
        last = self.folder / "bases" / "start"
        last.mkdir(parents=True)
        for name, run in COMMANDS.items():
            (self.folder / "bases" / name).mkdir()
            shutil.copytree(last, self.base(name), dirs_exist_ok=True)
            work = self.folder / "bases" / f"after {name}"
            shutil.copytree(last, work)
            place = work / "gallery"
            noted = [self.value(place)]
            run(self, place, noted.append)
            states = list(dict.fromkeys([*noted, self.value(place)]))
            self.states[name] = states
            self.least[name] = [states.index(state) for state in noted]
            last = work

    def _photos(self):
        for row, label in enumerate(("beagle", "collie", "pug")):
            for column in range(4):
                for folder in ("first", "second"):
                    path = self.photos / folder / label / f"{column}.jpg"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    # A little alike within a label, so that there is something to learn.
                    Image.blend(draw(row), draw(100 + 10 * row + column), 0.75).save(path)
        write_photo(self.photos / "own.jpg", 90)
        second = self.photos / "second"
        for n in range(3):
            write_photo(second / "collie" / f"new-{n}.jpg", 50 + n)
        write_photo(second / "beagle" / "1.jpg", 60)
        (second / "beagle" / "0.jpg").rename(second / "beagle" / "zero.jpg")
        (second / "collie" / "3.jpg").unlink()
        (second / "pug" / "broken.jpg").write_bytes(b"no photo")
        # The same times everywhere, whenever they were written.
        for path in self.photos.rglob("*.jpg"):
            os.utime(path, (1_700_000_000, 1_700_000_000))

    def base(self, name):
        return self.folder / "bases" / name

    @staticmethod
    def value(place):
        """What is held; None where there is no gallery, or one without photos."""
        if not Gallery.exists(place):
            return None
        found = held(place)
        return found if found[0] else None

    reported = value

    def fresh(self, name):
        """Return a folder with a new copy of the gallery before a command."""
        work = self.folder / "work"
        shutil.rmtree(work, ignore_errors=True)
        shutil.rmtree(f"{work}.gone", ignore_errors=True)
        shutil.copytree(self.base(name), work)
        return work


def scratch():
    """Return a new folder, in memory where the machine allows it."""
    fast = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    return tempfile.mkdtemp(prefix="houndsight-torture-", dir=fast)
