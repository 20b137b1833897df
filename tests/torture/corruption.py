"""Any byte another one, any end cut off: verify notices it, or no answer changes."""

import random
import shutil
from collections import Counter

import numpy as np

from houndsight import Gallery, HoundsightError
from houndsight.types import Vectors

__all__ = ["corruption"]

NAMES = ("catalogue.sqlite", "vectors-1.bin")


class Answers:
    """What a gallery says, and whether what it says of distances is true."""

    def __init__(self, place):
        with Gallery(place) as gallery:
            items = gallery.items()
            self.vectors = gallery.vectors(items)
            self.of = {item.id: row for item, row in zip(items, self.vectors.values, strict=True)}
            self.all = self.said(gallery)

    def said(self, gallery):
        found = gallery.search(self.vectors, k=5)
        names = gallery.store.names("")
        documents = [gallery.store.documents(name) for name in names]
        return gallery.store.items(), documents, found.ids.tolist(), found.distances.tolist()

    def check_distances(self, gallery):
        """Whatever damage there is, a distance that is given is that of the item's own vector."""
        values = self.vectors.values[:3]
        found = gallery.search(Vectors(values, gallery.fingerprint), k=5, metric="plain")
        for query, ids, distances in zip(values, found.ids, found.distances, strict=True):
            for id_, distance in zip(ids.tolist(), distances.tolist(), strict=True):
                if id_ >= 0 and id_ in self.of:
                    true = np.linalg.norm(query.astype(float) - self.of[id_])
                    assert abs(distance - true) < 1e-9, f"{id_:016x}: {distance}, not {true}"


def corruption(scene, *, step):
    """Change every `step`-th byte, and cut off as many ends. Returns figures."""
    base = scene.fresh("index again") / "gallery"
    place = scene.folder / "corrupt"
    answers = Answers(base)
    dice, figures = random.Random(0), {}
    for name in NAMES:
        whole = (base / name).read_bytes()
        changed = (
            (n, whole[:n] + bytes([whole[n] ^ dice.randrange(1, 256)]) + whole[n + 1 :])
            for n in range(dice.randrange(step), len(whole), step)
        )
        cut = ((n, whole[:n]) for n in range(dice.randrange(step), len(whole), step))
        for what, cases in (("bytes changed", changed), ("ends cut off", cut)):
            counts = Counter(
                _tried(answers, base, place, name, content, f"{name}, {what} at {at}")
                for at, content in cases
            )
            figures[f"{name}, {what}"] = f"{counts.total():,}, of them " + ", ".join(
                f"{count:,} {end}" for end, count in sorted(counts.items())
            )
    return figures


def _tried(answers, base, place, name, content, how):
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(base, place, ignore=shutil.ignore_patterns("thumbnails"))
    (place / name).write_bytes(content)
    try:
        with Gallery(place) as gallery:
            damage = gallery.verify()
    except HoundsightError as error:
        damage = [str(error)]
    try:
        with Gallery(place) as gallery:
            answers.check_distances(gallery)
            said = answers.said(gallery)
    except HoundsightError as error:
        said = error
    assert damage or said == answers.all, f"{how}: {said}, but verify says that all is well"
    if isinstance(said, HoundsightError):
        return "refused and noticed"
    return "noticed" if damage else "without effect"
