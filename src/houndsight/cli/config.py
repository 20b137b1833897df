"""What a person always wants: a file of flags, read before a command is.

The file is TOML. A key is a flag's name without its dashes; at the top it is for every command that
has the flag, in a table for the command of that name. What is given on the command line or by an
environment variable goes before it.
"""

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from houndsight.errors import InputError

__all__ = ["blame", "config_option"]

VARIABLE = "HOUNDSIGHT_CONFIG"
# No settings: they end the program, or would choose this file.
NOT_HERE = {"help", "version", "config"}
# What click calls the types of text; types of our own judge text and numbers themselves.
TEXT = {"text", "choice", "file", "directory", "path", "filename"}
FEW = 30  # names that are listed


def config_option(command: Any) -> Any:
    """Add the option that names the file; it takes effect before other options are looked at."""
    return click.option(
        "--config",
        metavar="FILE",
        envvar=VARIABLE,
        show_envvar=True,
        is_eager=True,
        expose_value=False,
        callback=_apply,
        help="Flags to start from, in TOML; ~/.config/houndsight/config.toml unless given.",
    )(command)


def _apply(context: click.Context, _: click.Parameter, given: str | None) -> None:
    if context.resilient_parsing or not isinstance(context.command, click.Group):
        return
    path = _place(given)
    settings = _read(path, asked_for=given is not None)
    if settings:
        context.meta[VARIABLE] = path
        context.default_map = _File(path).defaults(context.command, settings)


def _place(given: str | None) -> Path:
    if given is not None:
        return Path(given).expanduser()
    base = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser()
    return base / "houndsight" / "config.toml"


def _read(path: Path, *, asked_for: bool) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(path.read_bytes().decode("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        if not asked_for:
            return {}
        raise InputError(
            "there is no such file", path=path, remedy=f"Mend --config or {VARIABLE}"
        ) from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", path=path) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(
            f"is no TOML: {error}",
            path=path,
            remedy='Write lines such as k = 30 or gallery = "dogs", text in quotation marks',
        ) from None


@dataclass(frozen=True, slots=True)
class _File:
    """A file of settings, named in every complaint."""

    path: Path

    def defaults(self, app: click.Group, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return what `click.Context.default_map` takes: values by parameter, by command."""
        tables = {key: value for key, value in settings.items() if isinstance(value, dict)}
        everywhere = {key: value for key, value in settings.items() if key not in tables}
        known = {name for command in _commands(app) for name in _flags(command)}
        for key in everywhere:
            if key not in known:
                table = f"Write it as a table, [{key}]" if key in app.commands else None
                raise self._unknown(f"{key}: no command has --{key}", key, known, table)
        for name in tables:
            if name not in app.commands:
                cause = f"[{name}]: there is no command {name}"
                raise self._unknown(cause, name, app.commands)
        return self._of(app, "", everywhere, tables)

    def _of(
        self,
        command: click.Command,
        name: str,
        everywhere: Mapping[str, Any],
        own: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Return the values for a command, from the top and its table, and for those below it."""
        flags = _flags(command)
        below = command.commands if isinstance(command, click.Group) else {}
        tables = {key: value for key, value in own.items() if key in below}
        made: dict[str, Any] = {}
        for key, value in everywhere.items():
            if key in flags:
                made[str(flags[key].name)] = self._value(name, key, value, flags[key], top=True)
        for key, value in own.items():
            if key in flags:
                made[str(flags[key].name)] = self._value(name, key, value, flags[key], top=False)
            elif key not in tables or not isinstance(value, dict):
                cause = f"[{name}] {key}: houndsight {name} has no --{key}"
                raise self._unknown(cause, key, [*flags, *below])
        for lower, inner in below.items():
            full = f"{name}.{lower}" if name else lower
            made[lower] = self._of(inner, full, everywhere, tables.get(lower, {}))
        return made

    def _value(self, name: str, key: str, value: Any, option: click.Option, *, top: bool) -> Any:
        """Return a value as click takes it, if it is of the kind that the flag wants."""
        several = option.multiple and isinstance(value, list)
        if not all(_fits(one, option) for one in (value if several else [value])):
            where, remedy = (f"{key} = {value!r}", "Write it in the table of the command it is for")
            if not top:
                where, remedy = f"[{name}] {where}", "Mend it there"
            raise InputError(
                f"{where}: {_flag(option)}{f' of houndsight {name}' if name else ''} takes "
                f"{_wanted(option)}",
                path=self.path,
                remedy=remedy,
            )
        if option.multiple:
            return [_home(one) for one in (value if several else [value])]
        return _home(value)

    def _unknown(
        self, cause: str, name: str, known: Collection[str], remedy: str | None = None
    ) -> InputError:
        from difflib import get_close_matches

        like = get_close_matches(name.replace("_", "-"), known)
        every = f"There are: {', '.join(sorted(known)) or 'none'}"
        if len(known) > FEW:
            every = "See what houndsight COMMAND --help lists"
        remedy = remedy or (f"Like it: {', '.join(like)}" if like else every)
        return InputError(cause, path=self.path, remedy=remedy)


def _commands(group: click.Command) -> Iterator[click.Command]:
    yield group
    if isinstance(group, click.Group):
        for command in group.commands.values():
            yield from _commands(command)


def _flags(command: click.Command) -> dict[str, click.Option]:
    """Return a command's options by their longest names, without dashes."""
    found = {_key(one): one for one in command.params if isinstance(one, click.Option)}
    return {name: option for name, option in found.items() if name not in NOT_HERE}


def _flag(option: click.Parameter) -> str:
    return max(option.opts, key=len)


def _key(option: click.Parameter) -> str:
    return _flag(option).lstrip("-")


def _kind(option: click.Option) -> str:
    return "flag" if option.is_flag else option.type.name.removesuffix(" range")


def _fits(value: Any, option: click.Option) -> bool:
    kind = _kind(option)
    if isinstance(value, bool) or kind == "flag":
        return isinstance(value, bool) and kind == "flag"
    if kind == "integer":
        return isinstance(value, int)
    if kind == "float":
        return isinstance(value, int | float)
    return isinstance(value, str if kind in TEXT else str | int | float)


def _wanted(option: click.Option) -> str:
    kinds = {"flag": "true or false", "integer": "a whole number", "float": "a number"}
    kind = kinds.get(_kind(option), "text in quotation marks")
    return f"{kind}, or a list of such in brackets" if option.multiple else kind


def _home(value: Any) -> Any:
    """Return a value as the shell would hand it over: ~ at its beginning is the home folder."""
    return os.path.expanduser(value) if isinstance(value, str) and value[:2] == "~/" else value


def blame(error: click.BadParameter) -> InputError | None:
    """Return what is wrong with the file, where a value that a command refused came from it."""
    context, option = error.ctx, error.param
    if context is None or option is None:
        return None
    if context.get_parameter_source(str(option.name)) is not ParameterSource.DEFAULT_MAP:
        return None
    key = _key(option)
    return InputError(
        f"{key}, for {context.command_path}: {error.message.rstrip('.')}",
        path=context.meta.get(VARIABLE),
        remedy="Mend it there, or give the flag on the command line",
    )
