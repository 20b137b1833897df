"""The disk is full, read-only or gone from the n-th change of a file on: it is told."""

import errno
import os
import shutil
import subprocess

from faults import Mode, trial
from scenario import COMMANDS, held

from houndsight import Gallery, HoundsightError

__all__ = ["failing", "full_disk"]

# What is wrong, and whether it is from the n-th change on.
TROUBLES = {
    "a full disk": (Mode.FAIL_ON, errno.ENOSPC),
    "one write without space": (Mode.FAIL_ONCE, errno.ENOSPC),
    "a disk that is read-only": (Mode.FAIL_ON, errno.EROFS),
    "a drive that fails": (Mode.FAIL_ON, errno.EIO),
    "one operation that fails": (Mode.FAIL_ONCE, errno.EIO),
    "a folder that is gone": (Mode.VANISH, 0),
}


def failing(scene, *, step):
    """Let every command meet each trouble at each `step`-th change of a file. Returns figures."""
    figures = {}
    for trouble, (mode, error) in TROUBLES.items():
        told = 0
        tried = 0
        for name in COMMANDS:
            count = _run(scene, name, scene.fresh(name)).count
            for at in range(1 + tried % step, count + 1, step):
                work = scene.fresh(name)
                outcome = _run(scene, name, work, at=at, mode=mode, error=error)
                gone = work.with_name("work.gone")
                if gone.exists():  # the drive is back
                    shutil.rmtree(work, ignore_errors=True)
                    gone.rename(work)
                _check(scene, name, work, outcome, f"{name}, {trouble}, {at} of {count}")
                told += outcome.error is not None
                tried += 1
        figures[f"{trouble}: times, of them told"] = f"{tried:,}, {told:,}"
    return figures


def _run(scene, name, work, **how):
    return trial(
        lambda note: COMMANDS[name](scene, work / "gallery", lambda _: note()), work, **how
    )


def _check(scene, name, work, outcome, how):
    """An error names the place; without one all is done; the command can be run again."""
    place, states = work / "gallery", scene.states[name]
    if outcome.error is not None:
        kinds, message = outcome.error
        assert "HoundsightError" in kinds, (how, outcome.error)
        assert str(work) in message, (how, message)
    if Gallery.exists(place):
        with Gallery(place) as gallery:
            damage = gallery.verify()
            assert not damage, (how, damage)
    found = scene.value(place)
    assert found in states, f"{how}: a state that is none between commits"
    assert outcome.notes < len(scene.least[name]), (how, outcome)
    assert states.index(found) >= scene.least[name][outcome.notes], f"{how}: a report is lost"
    assert outcome.error is not None or found == states[-1], f"{how}: it was not told"
    if found != states[-1]:
        COMMANDS[name](scene, place, lambda _: None)
    assert held(place) == states[-1], f"{how}: run again, it came to another end"


def full_disk(scene, *, sizes):
    """Index and add on real disks that are too small. Returns figures, or why it cannot be done."""
    place = scene.folder / "small"
    place.mkdir(exist_ok=True)
    told = 0
    for size in sizes:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}k", "houndsight", place]
        if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
            return {"real disks that are too small": "left out: needs the right to mount one"}
        try:
            told += _fill(scene, place / "gallery")
        finally:
            subprocess.run(["umount", place], check=True)
    return {"real disks that are too small: disks, of them told": f"{len(sizes)}, {told}"}


def _fill(scene, place):
    states = [None, *scene.states["index"][1:]]
    try:
        COMMANDS["index"](scene, place, lambda _: None)
        COMMANDS["add"](scene, place, lambda _: None)
    except HoundsightError as error:
        said = str(error)
    else:
        return 0
    assert str(place) in said, said
    if Gallery.exists(place):
        # To look at a gallery takes some space as well.
        copy = shutil.copytree(place, scene.folder / "copy", dirs_exist_ok=True)
        with Gallery(copy) as gallery:
            assert not gallery.verify()
        assert scene.value(copy) in states
        shutil.rmtree(copy)
    return 1
