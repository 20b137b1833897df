"""Commands for the shell around houndsight: completion, and manual pages made from the help."""

from collections.abc import Iterator
from pathlib import Path

import click

import houndsight
from houndsight.cli.console import DONE, complete_folders, out
from houndsight.errors import InputError, printable, unwritable

__all__ = ["COMMANDS", "pages"]

# zsh completes nothing by programs, and does not know compdef, before compinit has run: a new
# ~/.zshrc has no such line. Where zsh finds the script by its first line, that must stay the first.
FIRST = "#compdef houndsight\n"
COMPINIT = "\n(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }\n"


@click.command(epilog='Example: houndsight completion bash >> ~/.bashrc; or eval "$(...)" there.')
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> int:
    """Write what makes SHELL complete commands, flags and file names by the tab key.

    fish reads it from ~/.config/fish/completions/houndsight.fish.
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    app = context.find_root().command
    if kind is not None:  # click has these three
        script = kind(app, {}, "houndsight", "_HOUNDSIGHT_COMPLETE").source()
        click.echo(script.replace(FIRST, FIRST + COMPINIT, 1))
    return DONE


@click.command(epilog="Example: houndsight manual ~/.local/share/man/man1")
@click.argument("folder", shell_complete=complete_folders)
@click.pass_context
def manual(context: click.Context, folder: str) -> int:
    """Write manual pages into FOLDER, one for each command: then man houndsight-search."""
    place = Path(folder)
    if place.is_file():
        raise InputError("is a file, not a folder", path=folder, remedy="Name a folder")
    written = 0
    try:
        place.mkdir(parents=True, exist_ok=True)
        for name, text in pages(context.find_root().command):
            (place / f"{name}.1").write_text(text, encoding="utf-8")
            written += 1
    except OSError as error:
        raise unwritable(error.filename or folder, error) from error
    out().print(f"{written} pages in {printable(folder)}")
    return DONE


def pages(app: click.Command) -> Iterator[tuple[str, str]]:
    """Yield a manual page for each command, in roff: its name (houndsight-search) and its text."""
    yield from _pages(app, click.Context(app, info_name="houndsight", **app.context_settings))


def _pages(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    below = dict(command.commands) if isinstance(command, click.Group) else {}
    name = context.command_path.replace(" ", "-")
    yield name, "\n".join([*_page(command, context, name), *_see_also(context, name, below)]) + "\n"
    for lower, inner in below.items():
        yield from _pages(inner, click.Context(inner, info_name=lower, parent=context))


def _page(command: click.Command, context: click.Context, name: str) -> Iterator[str]:
    yield f'.TH "{name.upper()}" 1 "" "houndsight {houndsight.__version__}" "houndsight"'
    yield from (".SH NAME", rf"{_escaped(name)} \- {_escaped(command.get_short_help_str(200))}")
    usage = " ".join(command.collect_usage_pieces(context))
    yield from (".SH SYNOPSIS", f".B {_escaped(context.command_path)}", _escaped(usage))
    yield ".SH DESCRIPTION"
    yield from _text(command.help or "")
    options = [one.get_help_record(context) for one in command.get_params(context)]
    if any(options):
        yield ".SH OPTIONS"
    for flags, meaning in filter(None, options):  # arguments and hidden options have none
        yield from (".TP", f".B {_escaped(flags)}", _escaped(meaning))
    if command.epilog:
        yield ".SH MORE"
        yield from _text(command.epilog)


def _see_also(context: click.Context, name: str, below: dict[str, click.Command]) -> Iterator[str]:
    others = [f"{name}-{lower}" for lower in sorted(below)]
    if context.parent is not None:
        others.insert(0, context.parent.command_path.replace(" ", "-"))
    yield ".SH SEE ALSO"
    yield ",\n".join(f".BR {_escaped(one)} (1)" for one in others).replace(",\n", " ,\n")


def _text(text: str) -> Iterator[str]:
    """Yield paragraphs; one that begins with a backspace keeps its lines, as in click's help."""
    for part in text.strip().split("\n\n"):
        kept = part.startswith("\b")
        lines = part.removeprefix("\b").strip("\n").splitlines()
        yield ".PP"
        yield from (".nf",) if kept else ()
        yield from (_escaped(line) for line in (lines if kept else [" ".join(part.split())]))
        yield from (".fi",) if kept else ()


def _escaped(text: str) -> str:
    """Return text that roff takes for text: a dot or a quote begins no line."""
    safe = text.replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{safe}" if safe.startswith((".", "'")) else safe


COMMANDS = [completion, manual]
