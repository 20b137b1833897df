"""Understands the ``preprocessor_config.json`` that Hugging Face's transformers writes.

What it says of photos becomes the words of `houndsight.models.description`. A setting that cannot
be followed here is an error, never left out silently.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from houndsight.errors import InputError

__all__ = ["CONFIG", "from_config"]

CONFIG: Final = "preprocessor_config.json"
_RESAMPLING: Final = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")  # Pillow's
# These say nothing about what a photo becomes, or what is done here in any case.
_NO_MATTER: Final = frozenset(
    {
        "_valid_processor_keys",
        "auto_map",
        "data_format",
        "default_to_square",
        "device",
        "disable_grouping",
        "do_convert_rgb",
        "feature_extractor_type",
        "image_processor_type",
        "image_seq_length",
        "input_data_format",
        "processor_class",
        "return_tensors",
    }
)
_FOLLOWED: Final = frozenset(
    {
        "crop_pct",
        "crop_size",
        "do_center_crop",
        "do_normalize",
        "do_rescale",
        "do_resize",
        "image_mean",
        "image_std",
        "resample",
        "rescale_factor",
        "size",
    }
)
# A size that is one number is the short side to these of transformers' classes, whatever follows
# their name; to the others it is a square's. Newer files say which by its key.
_BY_SHORT_SIDE: Final = ("Bit", "CLIP", "ChineseCLIP", "MobileNetV")
# transformers' ConvNextImageProcessor crops below this size and squashes from it on.
_CROPPED_BELOW: Final = 384


def from_config(config: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return what a configuration says, in the words of a description.

    Raises
    ------
    InputError
        It lacks something, or asks for what is not done here; names the key.
    """
    reader = _Reader(config, path)
    for name, value in config.items():
        if name not in _NO_MATTER | _FOLLOWED and value not in (None, False):
            raise reader.trouble(f"says {name!r}, which is not known here")
    if not reader.flag("do_resize", default=True):
        raise reader.trouble("has do_resize false, but photos come in all sizes")
    number = reader.needed("resample")
    if isinstance(number, bool) or number not in range(len(_RESAMPLING)):
        raise reader.trouble(f"has the resample {json.dumps(number)}, not 0 to 5")
    normalised = reader.flag("do_normalize", default=True)
    return {
        "mean": reader.needed("image_mean") if normalised else [0.0, 0.0, 0.0],
        "std": reader.needed("image_std") if normalised else [1.0, 1.0, 1.0],
        "scale": reader.scale(),
        "resample": _RESAMPLING[number],
        **reader.shape(),
    }


class _Reader:
    """Takes values out of a configuration, and complains in its name."""

    def __init__(self, config: Mapping[str, Any], path: Path) -> None:
        self.config = config
        self.path = path

    def trouble(self, cause: str) -> InputError:
        own = "a JSON file of the network's own name"
        return InputError(
            cause, path=self.path, remedy=f"Say in {own} what the network takes: that is read first"
        )

    def needed(self, name: str) -> Any:
        value = self.config.get(name)
        if value is None:
            raise self.trouble(f"lacks {name!r}")
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        value = self.config.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.trouble(f"has {name} {json.dumps(value)}, not true or false")
        return value

    def scale(self) -> Any:
        if not self.flag("do_rescale", default=True):
            return 1.0
        value = self.config.get("rescale_factor")
        return 1 / 255 if value is None else value

    def shape(self) -> dict[str, Any]:
        """Return size and resize, and shorter where a photo is cropped."""
        cropped = self.flag("do_center_crop", default=self.config.get("crop_size") is not None)
        short = self._side("size", "shortest_edge")
        if self.config.get("crop_pct") is not None:
            return self._convnext(short)
        by_short_side = not isinstance(self.config["size"], int) or self._by_short_side()
        if not cropped:
            if short is not None and by_short_side:
                raise self.trouble("keeps photos oblong: shortest_edge without do_center_crop")
            return {"size": short or self._square("size"), "resize": "squash"}
        if not by_short_side:
            raise self.trouble(
                f"crops photos of the size {short}, and does not say that this is the short side: "
                "'shortest_edge' does"
            )
        size = self._side("crop_size", None) or self._square("crop_size")
        if short is None:  # squashed first, then cropped: a part of the squashed photo
            if self._square("size") != size:
                raise self.trouble("crops photos after squashing them")
            return {"size": size, "resize": "squash"}
        if short < size:
            raise self.trouble(f"crops {size} pixels out of {short}")
        return {"size": size, "resize": "crop", "shorter": short}

    def _by_short_side(self) -> bool:
        """Return whether a size that is one number is the short side."""
        square = self.config.get("default_to_square")
        if isinstance(square, bool):
            return not square
        names = (
            self.config.get(f"{kind}_type") for kind in ("image_processor", "feature_extractor")
        )
        return any(str(name).startswith(_BY_SHORT_SIDE) for name in names)

    def _convnext(self, size: int | None) -> dict[str, Any]:
        share = self.config["crop_pct"]
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0.1 <= share <= 1:
            raise self.trouble(f"has the crop_pct {json.dumps(share)}, not a number up to 1")
        if size is None:
            raise self.trouble("has crop_pct without a shortest_edge")
        if size >= _CROPPED_BELOW:
            return {"size": size, "resize": "squash"}
        return {"size": size, "resize": "crop", "shorter": int(size / share)}

    def _side(self, name: str, key: str | None) -> int | None:
        """Return a size that is one number, by itself or under `key`; None if it is two."""
        value = self.needed(name)
        if isinstance(value, Mapping):
            if key is None or set(value) != {key}:
                return None
            value = value[key]
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.trouble(f"has the {name} {json.dumps(value)}, which is no number of pixels")
        return value

    def _square(self, name: str) -> int:
        value = self.needed(name)
        if set(value) != {"height", "width"} or value["height"] != value["width"]:
            raise self.trouble(f"has the {name} {json.dumps(value)}, which is no square")
        side = value["height"]
        if isinstance(side, bool) or not isinstance(side, int) or side < 1:
            raise self.trouble(f"has the {name} {json.dumps(side)}, which is no number of pixels")
        return side
