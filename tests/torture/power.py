"""The power fails: of what was not synced, nothing is there, or any part of it."""

import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from faults import events, trial
from scenario import COMMANDS, held

from houndsight import Gallery

__all__ = ["power"]

PAGE = 512  # bytes that a disk writes whole


@dataclass(slots=True, eq=False)
class File:
    """What a file holds, what of it is safe, and what was changed since: (offset, bytes or None).

    None stands for a cut at the offset.
    """

    now: bytearray = field(default_factory=bytearray)
    safe: bytes = b""
    since: list = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Folder:
    """The names in a folder, which of them are safe, and what was changed since.

    A change is {name: what it is from then on, None where it is gone}: whole, or not at all.
    """

    now: dict = field(default_factory=dict)
    safe: dict = field(default_factory=dict)
    since: list = field(default_factory=list)

    def change(self, names):
        self.now = _applied(self.now, names)
        self.since.append(names)


def _applied(names, change):
    return {name: node for name, node in {**names, **change}.items() if node is not None}


class Disk:
    """Files and folders below a folder, as POSIX lets them be after a failure of the power."""

    def __init__(self, root, base):
        self.root = Path(root)
        self.top = self._read(Path(base))

    def _read(self, path):
        if path.is_dir():
            names = {child.name: self._read(child) for child in path.iterdir()}
            return Folder(dict(names), dict(names))
        content = path.read_bytes()
        return File(bytearray(content), content)

    def _at(self, path):
        """Return the folder that a path is in, its name there, and what it is."""
        node, name = Folder({"": self.top}), ""
        parts = Path(path).relative_to(self.root).parts
        for part in parts:
            node, name = node.now[name], part
        return node, name, node.now.get(name)

    def apply(self, event):
        folder, name, node = self._at(event.path)
        match event.op:
            case "c" | "m":
                folder.change({name: File() if event.op == "c" else Folder()})
            case "w":
                self._write(node, event.offset, event.data)
            case "t":
                self._write(node, event.offset, None)
            case "s" if isinstance(node, File):
                node.safe, node.since = bytes(node.now), []
            case "s":
                node.safe, node.since = dict(node.now), []
            case "u" | "R":
                folder.change({name: None})
            case "l" | "r":
                to, new, _ = self._at(event.to)
                gone = {name: None} if event.op == "r" else {}
                if to is folder:
                    folder.change({**gone, new: node})
                else:
                    to.change({new: node})
                    folder.change(gone)

    @staticmethod
    def _write(file, offset, data):
        file.since.append((offset, data))
        _change(file.now, offset, data)

    def fail(self, place, survives):
        """Write what is left when the power fails; `survives(changes)` are those that are left."""
        _put(self.top, Path(place), survives)


def _change(content, offset, data):
    if data is None:
        del content[offset:]
    content.extend(bytes(max(0, offset - len(content))))
    if data is not None:
        content[offset : offset + len(data)] = data


def _put(node, path, survives):
    if isinstance(node, File):
        content = bytearray(node.safe)
        for offset, data in survives(_pages(node.since)):
            _change(content, offset, data)
        path.write_bytes(content)
        return
    path.mkdir()
    names = node.safe
    # Names come back in the order in which they were made, as a journal has them.
    changes = survives(node.since)
    for change in node.since[: len(changes)]:
        names = _applied(names, change)
    for name, child in names.items():
        # SQLite keeps this one in memory, and makes it anew.
        if not name.endswith("-shm"):
            _put(child, path / name, survives)


def _pages(changes):
    """Cut writes where a disk may stop."""
    for offset, data in changes:
        if data is None:
            yield offset, None
            continue
        for start in range(0, len(data), PAGE):
            yield offset + start, data[start : start + PAGE]


def power(scene, *, step, subsets):
    """Let the power fail after each `step`-th change of a file. Returns figures.

    Once nothing survives that was not synced; `subsets` times any part of it does.
    """
    failures = changes = 0
    log = scene.folder / "log"
    for name in COMMANDS:
        work = scene.fresh(name)
        disk = Disk(work, work)
        outcome = trial(
            lambda note, name=name, work=work: COMMANDS[name](
                scene, work / "gallery", lambda _: note()
            ),
            work,
            log=log,
        )
        assert outcome.error is None, outcome
        found = list(events(log))
        changes += sum(event.op != "!" for event in found)
        noted, dice = 0, random.Random(0)
        for n, event in enumerate(found):
            if event.op == "!":
                noted += 1
            else:
                disk.apply(event)
            if n % step and event.op != "!" and n + 1 < len(found):
                continue
            for kept in (None, *[dice.random() for _ in range(subsets)]):
                shutil.rmtree(work)
                disk.fail(work, _survivors(kept, dice))
                finished = n + 1 == len(found)
                least = len(scene.states[name]) - 1 if finished else scene.least[name][noted]
                share = "nothing" if kept is None else f"{kept:.2f}"
                _check(scene, name, work, least, f"after {n + 1} of {len(found)}, kept {share}")
                failures += 1
    return {"changes of files in all commands": changes, "failures of the power": failures}


def _survivors(kept, dice):
    if kept is None:
        return lambda changes: []
    return lambda changes: [change for change in changes if dice.random() < kept]


def _check(scene, name, work, least, how):
    place, states, how = work / "gallery", scene.states[name], f"{name}, power {how}"
    if Gallery.exists(place):
        with Gallery(place) as gallery:
            damage = gallery.verify()
            assert not damage, (how, damage)
    found = scene.value(place)
    assert found in states, f"{how}: a state that is none between commits"
    assert states.index(found) >= least, f"{how}: what was reported is lost"
    if found != states[-1]:
        COMMANDS[name](scene, place, lambda _: None)
        assert held(place) == states[-1], f"{how}: run again, it came to another end"
