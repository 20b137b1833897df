"""What to write instead, for a command line that click refuses: the cause is in its own words."""

from collections.abc import Iterator

import click

__all__ = ["advice"]

EXAMPLE = "Example: "
SEARCH = "houndsight search -g my-gallery dog.jpg"


def advice(error: click.UsageError) -> str | None:
    """Return a line to add to what click says; None where there is nothing to add."""
    if error.ctx is None:
        return None
    command = error.ctx.command
    if isinstance(command, click.Group):
        return _of_group(error, error.ctx, command)
    example = (command.epilog or "").split(". ")[0]
    return example if example.startswith(EXAMPLE) else None


def _of_group(error: click.UsageError, context: click.Context, group: click.Group) -> str | None:
    """Say where a command is to be found, or that it has to come first."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError) or getattr(
        error, "possibilities", None
    ):
        return None  # the whole help was shown, or the right name
    name = getattr(error, "command_name", None)  # not before click 8.3
    top = context.find_root()
    if context is top:
        elsewhere = next((path for path in _paths(top) if path.split()[-1] == name), None)
        return f"There is: {elsewhere}" if elsewhere else f"The command comes first: {SEARCH}"
    if isinstance(top.command, click.Group) and name in top.command.commands:
        return f"There is: {top.command_path} {name}"
    alone = f"; without one: {group.get_short_help_str(80)}" * group.invoke_without_command
    return f"Commands here, before their flags: {', '.join(group.commands)}{alone}"


def _paths(top: click.Context) -> Iterator[str]:
    """Yield every command as it is typed."""
    below: list[tuple[str, click.Command]] = [(top.command_path, top.command)]
    for path, command in below:
        if isinstance(command, click.Group):
            below += [(f"{path} {name}", inner) for name, inner in command.commands.items()]
        yield path
