"""Lets ``python -m houndsight`` do what ``houndsight`` does."""

from houndsight.cli import main

main()
