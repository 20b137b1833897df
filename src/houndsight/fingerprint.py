"""What decides which vector an image has, as one digest; and what differs between two of these."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

__all__ = ["differences", "fingerprint_of"]


def fingerprint_of(made_of: Mapping[str, Any]) -> str:
    """Return the digest of everything that decides what an image's vector is."""
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()


def differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    """Name what differs between two embedders' settings, as ``name (theirs, not ours)``."""
    first, second = _plain(theirs), _plain(ours)
    return ", ".join(
        f"{name} ({first.get(name)}, not {second.get(name)})"
        for name in sorted({*first, *second})
        if first.get(name) != second.get(name)
    )


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as they are kept, those within others by their own names."""
    kept: dict[str, Any] = json.loads(json.dumps(settings))
    within = kept.pop("preprocessing", None) or {}
    return {**kept, **{("preprocessing" if n == "version" else n): v for n, v in within.items()}}
