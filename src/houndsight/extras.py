"""Libraries that only some uses need: they come with extras of the package."""

from importlib import import_module
from typing import Any

from houndsight.errors import InputError

__all__ = ["library"]


def library(name: str, extra: str, use: str) -> Any:
    """Load a library, by the name of its module, for a use, such as "this format".

    Raises
    ------
    InputError
        If it is not installed; it names the extra that it comes with.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise InputError(
            f"{use} needs {error.name}, which is not installed",
            remedy=f"Run: pip install 'houndsight[{extra}]'",
        ) from None
