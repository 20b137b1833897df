"""Whether what made a file's vectors is known here, so that photos can be compared with them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from houndsight.errors import InputError, ModelError, printable
from houndsight.exchange.incoming import Checked, Incoming
from houndsight.fingerprint import fingerprint_of
from houndsight.gallery.documents import sound
from houndsight.models.spec import spec

__all__ = ["foreign_settings", "own_settings"]

FOREIGN = "foreign"
PARTS = {"weights", "graph", "layer", "preprocessing", "normalised", "precision"}


def foreign_settings(name: str, dim: int, checked: Checked) -> dict[str, Any]:
    """Return what a gallery puts on record of vectors that were made elsewhere.

    Vectors of no other file have its fingerprint: what made them is not known, only its name.
    """
    made_of = {
        FOREIGN: name,
        "dim": dim,
        "vectors": checked.digest,
        "layer": "not known",
        "normalised": checked.normalised,
        "precision": "float32",
    }
    return {
        "model": FOREIGN,
        FOREIGN: name,
        "weights_file": False,
        "dim": dim,
        "made_of": made_of,
        "fingerprint": fingerprint_of(made_of),
        "versions": {},
    }


def own_settings(incoming: Incoming, checked: Checked) -> tuple[dict[str, Any] | None, str]:
    """Return the settings that a file has of houndsight, or None and why it cannot be so.

    Raises
    ------
    InputError
        If the file contradicts itself.
    """
    facts = incoming.facts
    if "settings" not in facts:
        return None, "the file does not say what made them"
    settings = _parsed(facts["settings"], incoming.path)
    made_of = settings["made_of"]
    if fingerprint_of(made_of) != settings["fingerprint"]:
        raise _contradiction(incoming.path, "the fingerprint is not that of its settings")
    if facts.get("fingerprint") != settings["fingerprint"]:
        metric = printable(facts.get("metric", "another metric"))
        return None, f"they are as the metric {metric} has them, not as a network makes them"
    if settings["dim"] != incoming.shape[1]:
        raise _contradiction(incoming.path, f"vectors of {settings['dim']} numbers are announced")
    if made_of["normalised"] and not checked.normalised:
        raise _contradiction(incoming.path, "vectors of length 1 are announced")
    if FOREIGN in settings:
        return settings, f"made elsewhere, by {printable(settings[FOREIGN])}"
    if "network" in made_of:
        return None, f"the network in {printable(made_of['precision'])} is not in the file"
    try:
        known = spec(settings["model"]).dim == settings["dim"]
    except ModelError:
        return None, f"the model {printable(settings['model'])} is not known here"
    if not known:
        raise _contradiction(incoming.path, "its model makes other vectors")
    return settings, ""


def _contradiction(path: Path, what: str) -> InputError:
    return InputError(
        f"contradicts itself: {what}", path=path, remedy="Write the file again with houndsight"
    )


def _parsed(text: str, path: Path) -> dict[str, Any]:
    """Read settings; whoever wrote the file may have written anything."""
    try:
        settings = json.loads(text)
        made_of = settings["made_of"]
        fits = sound(settings)
        if FOREIGN in settings:
            fits = fits and isinstance(settings[FOREIGN], str) and settings["model"] == FOREIGN
        else:
            shape = made_of["preprocessing"]
            fits = (
                fits
                and made_of.keys() >= PARTS
                and re.fullmatch("[0-9a-f]{64}", made_of["weights"]) is not None
                and isinstance(shape["size"], int)
                and isinstance(shape["resize"], str)
            )
    except (ValueError, KeyError, TypeError, AttributeError):
        fits = False
    if not fits:
        raise _contradiction(path, "its settings are none that houndsight writes")
    found: dict[str, Any] = settings
    return found
