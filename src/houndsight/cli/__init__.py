"""The command line: parses, calls the library, renders, sets the exit code; nothing else."""

import contextlib
import io
import logging
import os
import sqlite3
import sys
import time
import warnings
from typing import Any

import click

import houndsight
from houndsight.cli import (
    asking,
    curating,
    doctor,
    evaluating,
    exchanging,
    explaining,
    galleries,
    keeping,
    learning,
    making,
    manual,
    mapping,
    models,
    saving,
    searching,
    serving,
    tuning,
    watching,
)
from houndsight.cli.advice import advice
from houndsight.cli.config import blame, config_option
from houndsight.cli.console import CODES, DAMAGED, DONE, FAILED, INTERRUPTED, SKIPPED, USAGE, err
from houndsight.cli.log import LOG, logging_options
from houndsight.errors import HoundsightError

__all__ = ["CODES", "DAMAGED", "DONE", "FAILED", "INTERRUPTED", "SKIPPED", "USAGE", "app", "main"]

EPILOG = """\b
Begin with:
  houndsight demo                                see it work, without a download
  houndsight index PHOTOS -g GALLERY             photos into a gallery
  houndsight search -g GALLERY PHOTO             the nearest images
  houndsight evaluate -g GALLERY                 how good the neighbours are

\b
Exit codes: """ + ", ".join(f"{code} {meaning}" for code, meaning in CODES.items())


def _show_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        click.echo(f"houndsight, version {houndsight.__version__}")
        context.exit()


class _Program(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise BrokenPipeError from None  # by its number Click would know it, and exit with 1


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"]}, epilog=EPILOG)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
@config_option
def app() -> None:
    """Find the images that look alike."""


for module in (
    making,
    watching,
    searching,
    serving,
    explaining,
    asking,
    curating,
    evaluating,
    learning,
    tuning,
    mapping,
    keeping,
    saving,
    exchanging,
    galleries,
    models,
    doctor,
    manual,
):
    for command in module.COMMANDS:
        app.add_command(command)
logging_options(app)


def main() -> None:
    """Run the command line and exit with its code."""
    # Pillow warns of large photos and of damaged EXIF data, which are read all the same.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(
            stream, io.TextIOWrapper
        ):  # a terminal that lacks a character shows its number
            stream.reconfigure(errors="backslashreplace")
    # Else what libraries log would go to standard error, tracebacks and all, beside our own words.
    logging.getLogger().addHandler(logging.NullHandler())
    sys.exit(_run(sys.argv[1:]))


def _run(arguments: list[str]) -> int:
    command = next((one for one in arguments if one in app.commands), "")
    began = time.monotonic()
    try:
        code = _done(arguments, command)
        seconds = round(time.monotonic() - began, 3)
        LOG.event("info", "ended", command=command, code=code, seconds=seconds)
        return code
    finally:
        LOG.close()
        LOG.quiet = False


def _done(arguments: list[str], command: str) -> int:
    """Run the command line; return its exit code, once what went wrong was said."""
    try:
        result = app.main(arguments, prog_name="houndsight", standalone_mode=False)
        sys.stdout.flush()
    except click.UsageError as error:
        unfit = blame(error) if isinstance(error, click.BadParameter) else None
        if unfit is not None:
            err(f"houndsight: error: {unfit}")
            return FAILED
        _show(error)
        return USAGE
    except click.ClickException as error:
        _show(error)
        return FAILED
    except HoundsightError as error:
        err(f"houndsight: error: {error}")
        return FAILED
    except (KeyboardInterrupt, click.Abort):
        again = command in ("index", "watch")
        goes_on = ", and the same command goes on there" if again else ""
        err(f"houndsight: stopped; what was stored before stays{goes_on}")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output (head, less) has gone; nothing more can be said there.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except sqlite3.Error as error:
        err(f"houndsight: error: the catalogue cannot be read: {error}. Run houndsight verify")
        return FAILED
    except OSError as error:
        err(f"houndsight: error: {error}")
        return FAILED
    return result if isinstance(result, int) else DONE


def _show(error: click.ClickException) -> None:
    more = advice(error) if isinstance(error, click.UsageError) else None
    said = " ".join(filter(None, (error.format_message(), more)))
    LOG.event("error", "error", message=said)
    if LOG.for_people:
        error.show()
        if more is not None:
            click.echo(more, err=True)
