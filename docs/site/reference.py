"""The reference, made from the code: every command's help, and every name that is exported."""

import inspect
from collections.abc import Iterator
from importlib import import_module

import click

import houndsight
from houndsight.cli import app

__all__ = ["commands", "names"]

WIDTH = 100


def commands() -> str:
    """Return a section for each command, subcommands included, with what its --help says."""
    settings = {"terminal_width": WIDTH, "max_content_width": WIDTH, **app.context_settings}
    return "\n".join(_sections(app, click.Context(app, info_name="houndsight", **settings)))


def _sections(command: click.Command, context: click.Context) -> Iterator[str]:
    yield f"## {context.command_path}\n\n```text\n{command.get_help(context).rstrip()}\n```\n"
    if isinstance(command, click.Group):
        for name, lower in sorted(command.commands.items()):
            yield from _sections(lower, click.Context(lower, info_name=name, parent=context))


def names() -> str:
    """Return a section for each module, with the exported names that it holds, as autodoc has them.

    Modules come in the order of their names; each is introduced by its own first line.
    """
    return "\n".join(
        _section(home, held.split()) for home, held in sorted(houndsight._HOMES.items())
    )


def _section(home: str, held: list[str]) -> str:
    lead, _, _ = (inspect.getdoc(import_module(f"houndsight.{home}")) or "").partition("\n\n")
    directives = "\n".join(map(_directive, held))
    return f"## {home.capitalize()}\n\n{lead}\n\n```{{eval-rst}}\n{directives}\n```\n"


def _directive(name: str) -> str:
    value = getattr(houndsight, name)
    if inspect.isclass(value):
        return f".. autoclass:: houndsight.{name}\n   :members:\n"
    kind = "autofunction" if inspect.isfunction(value) else "autodata"
    return f".. {kind}:: houndsight.{name}\n"
