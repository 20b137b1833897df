"""What a run says beside its results: to people as lines, to machines as JSON, or not at all."""

import contextlib
import json
import sys
import time
from datetime import UTC, datetime
from typing import Any, TextIO

import click
from click.core import ParameterSource

from houndsight.errors import InputError

__all__ = ["LOG", "Log", "logging_options"]

# Progress is told no more often, in seconds: a large folder has thousands of batches.
PROGRESS_S = 1.0


class Log:
    """How one run of the command line speaks; `LOG` is that of this process.

    Attributes
    ----------
    quiet
        Whether only errors are told, and results.
    """

    def __init__(self) -> None:
        self.quiet = False
        self._stream: TextIO | None = None
        self._told = 0.0

    @property
    def for_people(self) -> bool:
        """Whether lines for people may go to standard error; not between lines of JSON."""
        return self._stream is not sys.stderr

    @property
    def chatty(self) -> bool:
        """Whether people want to know more than errors and results."""
        return self.for_people and not self.quiet

    def open(self, place: str) -> None:
        """Write JSON lines behind those of a file, or to standard error for ``-``."""
        self.close()
        try:
            # Closed by `close`, at the end of the run.
            self._stream = sys.stderr if place == "-" else open(place, "a", encoding="utf-8")  # noqa: SIM115
        except OSError as error:
            raise InputError(
                f"cannot be written: {error.strerror}",
                path=place,
                remedy="Name a file in a folder that can be written, or - for standard error",
            ) from error

    def close(self) -> None:
        """End the file."""
        if self._stream is not None and self._stream is not sys.stderr:
            self._stream.close()
        self._stream = None

    def event(self, level: str, event: str, **fields: Any) -> None:
        """Write a line, if there is a log: time, level, event, and what belongs to it."""
        if self._stream is None:
            return
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = {"time": now, "level": level, "event": event, **fields}
        try:
            # In ASCII, so that any file name survives.
            self._stream.write(json.dumps(line) + "\n")
            self._stream.flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """Go on without a log: what the run is for matters more."""
        told = self.for_people
        with contextlib.suppress(OSError):
            self.close()
        self._stream = None
        if told:
            click.echo(f"houndsight: the log cannot be written: {error.strerror}", err=True)

    def progress(self, done: int, total: int, seconds: float) -> None:
        """Tell how far indexing is: now and then, and at its end."""
        now = time.monotonic()
        if done >= total or now - self._told >= PROGRESS_S:
            self._told = now
            self.event("info", "progress", done=done, total=total, seconds=round(seconds, 3))


LOG = Log()


def _hush(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        LOG.quiet = True


def _open(context: click.Context, option: click.Parameter, place: str | None) -> None:
    if place is None or context.resilient_parsing:
        return
    typed = context.get_parameter_source(str(option.name)) is ParameterSource.COMMANDLINE
    # Before the command it may have been typed, and for the command stand in the settings.
    if typed or not context.meta.get(__name__):
        LOG.open(place)
    if typed:
        context.meta[__name__] = True


def logging_options(command: click.Command, *, hidden: bool = False) -> None:
    """Add --quiet and --log-json: listed with the group, and taken by every command as well."""
    command.params += [
        click.Option(
            ["--quiet"],
            is_flag=True,
            expose_value=False,
            callback=_hush,
            hidden=hidden,
            help="Write nothing but results and errors.",
        ),
        click.Option(
            ["--log-json"],
            metavar="FILE|-",
            expose_value=False,
            callback=_open,
            hidden=hidden,
            help="Also write what happens as JSON lines, behind those of a file, or to standard "
            "error, then in place of other lines.",
        ),
    ]
    if isinstance(command, click.Group):
        for one in command.commands.values():
            logging_options(one, hidden=True)
