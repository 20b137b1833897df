"""Libraries that only some formats need."""

from importlib import import_module
from typing import Any

from houndsight.errors import InputError

__all__ = ["library"]


def library(name: str, extra: str) -> Any:
    """Load a library; InputError that names the extra it comes with if it is not installed."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise InputError(
            f"this format needs {error.name}, which is not installed",
            remedy=f"Run: pip install 'houndsight[{extra}]'",
        ) from None
