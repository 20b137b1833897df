"""Killed at every write, sync, rename, link and unlink, and at random moments: nothing is lost."""

import random
import time
from collections import Counter

from faults import Mode, trial
from scenario import COMMANDS, held

from houndsight import Gallery

__all__ = ["crash"]


def crash(scene, *, step, at_random):
    """Kill every command before each `step`-th change of a file, and in the middle of writes.

    `at_random` is how many more times each is killed at a random moment. Returns figures.
    """
    kills = torn = random_kills = changes = 0
    by_command = Counter()
    dice = random.Random(0)
    for name in COMMANDS:
        started = time.monotonic()
        count = _run(scene, name, scene.fresh(name)).count
        took = time.monotonic() - started
        changes += count
        for mode in (Mode.KILL, Mode.TEAR):
            first = 1 if step == 1 else dice.randrange(step)
            for at in range(first, count + 1, step if mode is Mode.KILL else 2 * step):
                work = scene.fresh(name)
                outcome = _run(scene, name, work, at=at, mode=mode)
                _check(scene, name, work, outcome, f"{mode.name} at {at} of {count}")
                kills += outcome.killed and mode is Mode.KILL
                torn += outcome.killed and mode is Mode.TEAR
                by_command[name.split()[0]] += outcome.killed
        for _ in range(at_random):
            work = scene.fresh(name)
            outcome = _run(scene, name, work, kill_after=dice.uniform(0, took))
            _check(scene, name, work, outcome, "at random")
            random_kills += outcome.killed
            by_command[name.split()[0]] += outcome.killed
    return {
        "changes of files in all commands": changes,
        "kills before a change": kills,
        "kills in the middle of a write": torn,
        "kills at random moments": random_kills,
        "kills of each command": ", ".join(f"{name} {n:,}" for name, n in by_command.items()),
    }


def _run(scene, name, work, **how):
    def run(note):
        COMMANDS[name](scene, work / "gallery", lambda _: note())

    # What is noted is counted only: to look at the gallery would be another process's doing.
    return trial(run, work, **how)


def _check(scene, name, work, outcome, how):
    """What was reported is there, nothing is double, and the command can be finished."""
    place, states = work / "gallery", scene.states[name]
    how = f"{name}, {how}"
    assert outcome.error is None, (how, outcome.error)
    if Gallery.exists(place):
        with Gallery(place) as gallery:
            damage = gallery.verify()
            assert not damage, (how, damage)
            paths = [(item.root, item.path) for item in gallery.items()]
            assert len(set(paths)) == len(paths), how
    found = scene.value(place)
    assert found in states, f"{how}: a state that is none between commits"
    assert states.index(found) >= scene.least[name][outcome.notes], (
        f"{how}: what was reported is lost"
    )
    if found != states[-1] or name.startswith(("index", "compact")):
        COMMANDS[name](scene, place, lambda _: None)
    assert held(place) == states[-1], f"{how}: run again, it came to another end"
