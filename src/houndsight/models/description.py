"""What a person's own network takes and gives, as a JSON file beside it says.

Either ``FILE.json`` beside ``FILE.onnx``, by the schema below, or the ``preprocessor_config.json``
that Hugging Face's transformers writes. Nothing is guessed: a key that is not known is an error, as
it might be one that changes what vectors mean.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias, get_args

from houndsight.errors import InputError
from houndsight.models.preprocessor_config import CONFIG, from_config
from houndsight.models.spec import Channels, Pooling, Resample, Resize, Triple

__all__ = ["Description", "described"]

_EXAMPLE: Final = '{"size": 224, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}'
_GUIDE: Final = "docs/bring-your-own-network.md lists what it may say"


@dataclass(frozen=True, slots=True)
class Description:
    """What a network takes and gives; the JSON file has these names.

    Attributes
    ----------
    mean, std
        ``(value * scale - mean) / std`` is what a channel's value of 0..255 becomes.
    scale
        1 / 255 unless said.
    size
        Side of the square that the network sees; None where the graph itself says it.
    resize, shorter, resample, channels
        As for `houndsight.preprocess.Preprocessing`.
    layer
        The graph's output that gives the vector; None where there is only one.
    pooling
        Of an output of tokens (n, tokens, dim): ``cls``, the first, or ``mean``, of all.
    """

    mean: Triple
    std: Triple
    scale: float = 1 / 255
    size: int | None = None
    resize: Resize = "squash"
    shorter: int | None = None
    resample: Resample = "bicubic"
    channels: Channels = "RGB"
    layer: str | None = None
    pooling: Pooling | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any], path: Path | None = None) -> Description:
        """Make one of what JSON gave, after checking it.

        Raises
        ------
        InputError
            A key is unknown or missing, or a value is of the wrong kind.
        """
        values = _checked(given, path)
        lacking = [name for name in ("mean", "std") if name not in values]
        if lacking:
            raise InputError(
                f"nothing says which {' and '.join(lacking)} the network takes",
                path=path,
                remedy=f"Write a JSON file beside it, such as {_EXAMPLE}, or give --mean and --std",
            )
        if "shorter" in values and values.get("resize") != "crop":
            raise InputError(
                "'shorter' is only of use where 'resize' is 'crop'", path=path, remedy=_GUIDE
            )
        return cls(**values)


# What a value must be, in words, and what makes it that; raises where it is something else.
_Kind: TypeAlias = tuple[str, Callable[[Any], Any]]


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError
    return float(value)


def _positive(value: Any) -> float:
    if _number(value) <= 0:
        raise ValueError
    return float(value)


def _three(number: Callable[[Any], float]) -> Callable[[Any], Triple]:
    def convert(value: Any) -> Triple:
        if not isinstance(value, list | tuple):
            raise TypeError
        first, second, third = map(number, value)
        return first, second, third

    return convert


def _pixels(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise TypeError
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError
    return value


def _one_of(kind: Any) -> _Kind:
    names = get_args(kind)

    def convert(value: Any) -> str:
        return str(names[names.index(value)])  # a ValueError where it is none of them

    return f"one of {', '.join(names)}", convert


_SCHEMA: Final[Mapping[str, _Kind]] = {
    "mean": ("three numbers", _three(_number)),
    "std": ("three numbers above 0", _three(_positive)),
    "scale": ("a number above 0", _positive),
    "size": ("a whole number of pixels", _pixels),
    "resize": _one_of(Resize),
    "shorter": ("a whole number of pixels", _pixels),
    "resample": _one_of(Resample),
    "channels": _one_of(Channels),
    "layer": ("the name of an output", _text),
    "pooling": _one_of(Pooling),
}


def _checked(given: Mapping[str, Any], path: Path | None) -> dict[str, Any]:
    unknown = sorted(set(given) - set(_SCHEMA))
    if unknown:
        raise InputError(
            f"says {unknown[0]!r}, which is not known",
            path=path,
            remedy=f"It may say {', '.join(_SCHEMA)}",
        )
    made = {}
    for name, value in given.items():
        words, convert = _SCHEMA[name]
        try:
            made[name] = convert(value)
        except (TypeError, ValueError, OverflowError):
            raise InputError(
                f"{name!r} is {json.dumps(value)[:60]}, not {words}", path=path, remedy=_GUIDE
            ) from None
    return made


def described(network: Path, given: Mapping[str, Any]) -> Description:
    """Return what is known of a network, from the JSON file beside it and from what is given.

    Parameters
    ----------
    network
        The ``.onnx`` file. ``FILE.json`` beside it is looked for first, then
        ``preprocessor_config.json`` in its folder, or above that where it is called ``onnx``.
    given
        In the words of the JSON file; wins over it.

    Raises
    ------
    InputError
        A file cannot be read or understood, or what is needed is said nowhere.
    """
    path, found = _beside(network)
    wanted = _checked(given, None)
    values = {**found, **wanted}
    if "shorter" in found and "shorter" not in wanted:
        if wanted.get("resize") == "squash":
            del values["shorter"]
        elif "size" in wanted and "size" in found:  # in proportion
            values["shorter"] = round(found["shorter"] * wanted["size"] / found["size"])
    return Description.of(values, path or network)


def _beside(network: Path) -> tuple[Path | None, dict[str, Any]]:
    """Return the JSON file of a network, if there is one, and what it says."""
    own = network.with_suffix(".json")
    if own.exists():
        return own, _checked(_read(own), own)
    folders = [network.parent]
    if network.absolute().parent.name == "onnx":  # as models are laid out on Hugging Face
        folders.append(network.absolute().parent.parent)
    for folder in folders:
        path = folder / CONFIG
        if path.exists():
            return path, from_config(_read(path), path)
    return None, {}


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", path=path) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"is no JSON: {error}", path=path, remedy=_GUIDE) from error
    if not isinstance(value, dict):
        raise InputError("is JSON, but no object", path=path, remedy=f"Write, say, {_EXAMPLE}")
    return value
