"""Files that commands are asked to write: refused early where they cannot be written."""

from collections.abc import Callable
from pathlib import Path

import click

from houndsight.errors import InputError, printable

__all__ = ["check_picture", "html_option", "output_file"]


def output_file(
    *endings: str, picture: bool = False
) -> Callable[[click.Context, click.Parameter, str | None], str | None]:
    """Return what refuses a file that cannot be written, before long work is done for it.

    Its folder must be there, and its name end in one of `endings`, if any are given, or like a
    picture.
    """

    def check(_: click.Context, __: click.Parameter, name: str | None) -> str | None:
        if name is None:
            return None
        path = Path(name)
        if not path.absolute().parent.is_dir():
            raise InputError(
                "cannot be written, as there is no such folder",
                path=path,
                remedy="Make the folder, or name another",
            )
        if picture:
            check_picture(path)
        elif endings and path.suffix.lower() not in endings:
            raise InputError(
                f"does not end in {' or '.join(endings)}",
                path=path,
                remedy=f"Name it like {printable(path.stem)}{endings[0]}",
            )
        return name

    return check


def check_picture(path: Path) -> None:
    """Refuse a name that does not end like a picture that Pillow writes."""
    from PIL import Image

    if Image.registered_extensions().get(path.suffix.lower()) not in Image.SAVE:
        raise InputError(
            "does not end like a picture that can be written",
            path=path,
            remedy=f"Name it like {printable(path.stem)}.png",
        )


html_option = click.option(
    "--html",
    type=click.Path(dir_okay=False),
    callback=output_file(),
    metavar="OUT.html",
    help="Write a page with pictures, complete in one file.",
)
