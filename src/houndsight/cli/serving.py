"""The command that serves a gallery as a page and an HTTP API."""

import logging

import click

from houndsight.cli.console import DONE, err, gallery_option, out, reopen_embedder
from houndsight.cli.numbers import Whole
from houndsight.errors import InputError, ModelError, printable

__all__ = ["COMMANDS"]

SHORTEST = 16


@click.command(epilog="Example: houndsight serve -g my-gallery --open")
@gallery_option
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Listen at this address or name."
)
@click.option(
    "--port",
    type=Whole(0, 65535),
    default=8000,
    show_default=True,
    help="Listen at this port; 0 takes any that is free.",
)
@click.option("--open", "show", is_flag=True, help="Open the page in a browser.")
@click.option(
    "--token",
    envvar="HOUNDSIGHT_TOKEN",
    show_envvar=True,
    help="What everybody has to show: needed wherever other machines can reach the server. "
    "Others can see it on the command line; the variable is better.",
)
@click.option(
    "--read-only/--writable",
    default=None,
    help="Whether labels and photos can be changed; by default only at this machine's own "
    "address (127.0.0.1).",
)
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="HOST",
    help="Another name that the server goes by, such as a proxy's; repeatable.",
)
@click.option(
    "--max-upload",
    type=Whole(1, 1024),
    default=64,
    show_default=True,
    metavar="MB",
    help="The most that can be handed in at once.",
)
def serve(
    gallery: str,
    host: str,
    port: int,
    show: bool,
    token: str | None,
    read_only: bool | None,
    names: tuple[str, ...],
    max_upload: int,
) -> int:
    """Show a gallery as a page in the browser, with an HTTP API beside it.

    It ends by Ctrl-C. A gallery that is being indexed is served all the same.
    """
    import secrets  # brings much along that no other command needs

    try:
        from houndsight.web.guard import Rules, is_loopback, is_name
        from houndsight.web.server import serve as listen
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("houndsight"):
            raise
        raise InputError(
            f"the page needs {error.name}, which is not installed",
            remedy="Run: pip install 'houndsight[web]'",
        ) from error
    from houndsight.gallery import Gallery

    if not is_name(host):
        raise InputError(
            f"--host {printable(host)}: this is no address or name",
            remedy="Give it alone, such as 127.0.0.1, and the port with --port",
        )
    # What has another name is reached through something that passes it on to others.
    away = next((name for name in (host, *names) if not is_loopback(name)), None)
    if token is None and away is not None:
        raise InputError(
            f"as {printable(away)} other machines reach the server, and nothing keeps them out",
            remedy=f"Give it a token, such as --token {secrets.token_urlsafe(16)}",
        )
    if token is not None and (len(token) < SHORTEST or not token.isascii() or " " in token):
        raise InputError(
            f"the token has to be {SHORTEST} or more letters and digits, without spaces",
            remedy=f"Take one that nobody guesses: --token {secrets.token_urlsafe(16)}",
        )
    for name in names:
        if not is_name(name):
            raise InputError(
                f"--name {printable(name)}: this is no name of a host",
                remedy="Give the name alone, without https:// or a port",
            )
    # What is broken here goes to the terminal; what strangers send that is no HTTP does not.
    logging.basicConfig(level=logging.ERROR, format="houndsight: %(message)s")
    rules = Rules(
        host=host,
        names=frozenset(name.lower().rstrip(".") for name in names),
        token=token,
        read_only=away is not None if read_only is None else read_only,
        max_body=max_upload << 20,
    )

    def started(address: str, link: str | None) -> None:
        out().print(f"{gallery} is at {address}", soft_wrap=True)
        if link is not None:
            out().print(f"this link lets one browser in: {link}", soft_wrap=True)
        if show:
            click.launch(link or address)

    with Gallery(gallery) as library:
        try:
            embedder = reopen_embedder(library)
        except ModelError as error:
            err(f"houndsight: only the gallery's own photos can be asked about: {error}")
            listen(library, error, rules, port=port, started=started)
        else:
            listen(library, embedder, rules, port=port, started=started)
    return DONE


COMMANDS = [serve]
