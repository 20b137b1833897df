"""Which embedder a gallery's photos go through: what flags say, and what it was made with."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from houndsight.cli.console import load_embedder
from houndsight.cli.rehearsing import opened
from houndsight.errors import InputError, printable

if TYPE_CHECKING:
    from houndsight.embedder import Embedder

__all__ = ["kept_precision", "own_embedder"]


def own_embedder(
    gallery: str, model: dict[str, Any], *, dry_run: bool = False
) -> "Callable[[], Embedder] | None":
    """Return what loads the embedder that the model options name.

    None for an existing gallery and no options: it loads its own, and only if there is work for it.
    """
    from houndsight.models.spec import CATALOGUE

    settings = _settings(gallery, dry_run)
    if settings is None:
        return lambda: load_embedder(**model)
    if all(value in (None, False) for value in model.values()):
        return None

    from houndsight.errors import FingerprintMismatch

    kept = settings["model"]
    if model["model"] in CATALOGUE and kept in CATALOGUE and model["model"] != kept:
        # Before anything is downloaded.
        raise FingerprintMismatch(
            f"was made with {kept}, not with {model['model']}",
            path=gallery,
            remedy="Leave --model out to use the gallery's own, or make a new gallery",
        )

    def embedder() -> "Embedder":
        made = load_embedder(**_filled(settings, model))
        narrow = settings["made_of"]["precision"] != "float32"
        return _with_network_of(gallery, made, dry_run) if narrow else made

    return embedder


def kept_precision(gallery: str, *, dry_run: bool) -> str | None:
    """Return in what an existing gallery's network computes; None where there is no gallery."""
    settings = _settings(gallery, dry_run)
    return None if settings is None else str(settings["made_of"]["precision"])


def _settings(gallery: str, dry_run: bool) -> dict[str, Any] | None:
    from houndsight.gallery import Gallery

    if not Gallery.exists(gallery):
        return None
    with opened(gallery, dry_run) as library:
        if library.foreign is not None:
            raise library.no_network()
        return library.settings


def _with_network_of(gallery: str, made: "Embedder", dry_run: bool) -> "Embedder":
    """Return the gallery's own embedder, if only the precision is another than the one made."""
    from houndsight.errors import FingerprintMismatch
    from houndsight.fingerprint import differences

    with opened(gallery, dry_run) as library:
        own = library.embedder()
    same = ("precision", "network")
    theirs, ours = (
        {name: value for name, value in one.made_of.items() if name not in same}
        for one in (own, made)
    )
    if theirs != ours:
        raise FingerprintMismatch(
            f"was made with other settings: {differences(theirs, ours)}",
            path=gallery,
            remedy="Leave the settings out to use the gallery's own, or make a new gallery",
        )
    return own


def _filled(settings: dict[str, Any], model: dict[str, Any]) -> dict[str, Any]:
    """Complete the options given with the gallery's own settings, so that only they can differ."""
    if "description" in settings:  # the network is in the gallery, and its file may be anywhere
        if model["model"] is None:
            raise InputError(
                f"the gallery was made with {printable(settings['model'])}",
                remedy="Leave the settings out, or name the file again with --model",
            )
        return {**model, "raw": model["raw"] or not settings["made_of"]["normalised"]}
    shape = settings["made_of"]["preprocessing"]
    return {
        **model,
        "model": model["model"] or settings["model"],
        "image_size": model["image_size"] or shape["size"],
        "resize": model["resize"] or shape["resize"],
        "raw": model["raw"] or not settings["made_of"]["normalised"],
    }
