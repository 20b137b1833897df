"""Lets ``python -m houndsight`` do what ``houndsight`` does."""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line; being stopped while that is still loading is no fault either."""
    try:
        from houndsight.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("houndsight: stopped\n")
        sys.exit(130)  # cli.INTERRUPTED, which may not be there yet


if __name__ == "__main__":
    main()
