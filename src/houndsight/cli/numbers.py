"""Numbers on the command line: what is wrong with one is said in plain words."""

import math

import click

__all__ = ["Number", "Share", "Whole"]


class Whole(click.IntRange):
    """A whole number within bounds."""

    name = "integer"


class Number(click.FloatRange):
    """A number within bounds; NaN, which no bound keeps out, is none."""

    name = "float"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read it; BadParameter if it is no number or out of bounds."""
        try:
            number = float(value)  # type: ignore[arg-type]  # text, or what a file of settings has
        except (TypeError, ValueError):
            self.fail(f"{value!r} is no number", param, ctx)
        if math.isnan(number):
            self.fail("nan is no number", param, ctx)
        return super().convert(number, param, ctx)


class Share(Number):
    """A share of a whole, from 0 to 1; says so to whom writes per cent."""

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read it; BadParameter if it is no number or out of bounds."""
        text = str(value).removesuffix("%")
        try:
            per_cent = 1 < float(text) <= 100 or text != str(value)
        except ValueError:
            per_cent = False
        if per_cent:
            part = f"{float(text) / 100:g}"
            self.fail(f"give a share from 0 to 1: {text} per cent are {part}", param, ctx)
        return super().convert(value, param, ctx)
