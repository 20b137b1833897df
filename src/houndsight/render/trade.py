"""The trade between two figures as a picture: every setting that was tried, and what was chosen."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw

from houndsight.errors import unwritable
from houndsight.learning import LearnReport
from houndsight.render.learned import favoured
from houndsight.render.lettering import font_for

__all__ = ["picture", "save"]

WIDTH, HEIGHT = 1200, 800
LEFT, RIGHT, TOP, BOTTOM = 130, 60, 90, 110
OVERSAMPLING = 2
INK, QUIET, LINE, PAPER = (30, 30, 30), (105, 105, 105), (222, 222, 222), (255, 255, 255)
DOT, FRONT, CHOSEN, PLAIN = (170, 190, 210), (0, 114, 178), (213, 94, 0), (30, 30, 30)


def save(report: LearnReport, path: Path) -> None:
    """Write the picture as PNG.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    try:
        picture(report).save(path, "PNG")
    except (OSError, ValueError) as error:
        raise unwritable(path, error) from error


def picture(report: LearnReport) -> Image.Image:
    """Draw all settings by their recall@5 and precision, the best ones joined by a line."""
    points = [
        (float(outcome.recall.mean()), float(outcome.precision.mean()))
        for _, outcome in report.trials.maps
    ]
    plain = report.trials.plain
    start = (float(plain.recall.mean()), float(plain.precision.mean()))
    chart = _Chart([*points, start])
    chart.axes("recall@5: one of the nearest 5 has the label", f"precision@{report.k}")
    for point in points:
        chart.dot(point, 5, DOT)
    best = [
        (name, (float(outcome.recall.mean()), float(outcome.precision.mean())))
        for name, _, outcome in favoured(report)
    ]
    chart.line([point for _, point in best], FRONT)
    chosen = next(
        (
            (float(o.recall.mean()), float(o.precision.mean()))
            for s, o in report.trials.maps
            if s == report.settings and report.metric is not None
        ),
        None,  # no map did better than none
    )
    labels: dict[tuple[float, float], list[str]] = {}
    for name, point in best:
        labels.setdefault(point, []).append(name)
    for point, names in labels.items():
        mark = point == chosen
        chart.dot(point, 11 if mark else 8, CHOSEN if mark else FRONT)
        text = "favour " + ", ".join(names) + (": chosen" if mark else "")
        chart.text(point, text, CHOSEN if mark else FRONT)
    ink = CHOSEN if chosen is None else PLAIN
    chart.dot(start, 11 if chosen is None else 9, ink)
    chart.text(start, "no map" + (": chosen" if chosen is None else ""), ink)
    chart.title(
        f"{report.items:,} photos of {report.labels:,} labels: what each setting does for photos "
        "that it was not fitted on"
    )
    return chart.image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


class _Chart:
    """Points in the unit square, on axes that hold them all."""

    def __init__(self, points: list[tuple[float, float]]) -> None:
        self.image = Image.new("RGB", (WIDTH * OVERSAMPLING, HEIGHT * OVERSAMPLING), PAPER)
        self._draw = ImageDraw.Draw(self.image)
        self._ranges = [_around([point[axis] for point in points]) for axis in (0, 1)]
        self._taken: list[tuple[float, float, float, float]] = []

    def _place(self, point: tuple[float, float]) -> tuple[float, float]:
        (left, right), (low, high) = self._ranges
        x = LEFT + (point[0] - left) / (right - left) * (WIDTH - LEFT - RIGHT)
        y = HEIGHT - BOTTOM - (point[1] - low) / (high - low) * (HEIGHT - TOP - BOTTOM)
        return x * OVERSAMPLING, y * OVERSAMPLING

    def _write(
        self, xy: tuple[float, float], text: str, size: int, ink: tuple[int, int, int], anchor: str
    ) -> None:
        font = font_for(text, size * OVERSAMPLING)
        self._draw.text(xy, text, font=font, fill=ink, anchor=anchor)

    def title(self, text: str) -> None:
        self._write((LEFT * OVERSAMPLING, 46 * OVERSAMPLING), text, 22, INK, "ls")

    def axes(self, x: str, y: str) -> None:
        (left, right), (low, high) = self._ranges
        for axis, (start, end) in enumerate(self._ranges):
            for percent in _ticks(start, end):
                value = percent / 100
                a = self._place((value, low) if axis == 0 else (left, value))
                b = self._place((value, high) if axis == 0 else (right, value))
                self._draw.line((*a, *b), fill=LINE, width=OVERSAMPLING)
                at = (
                    (a[0], a[1] + 14 * OVERSAMPLING)
                    if axis == 0
                    else (a[0] - 14 * OVERSAMPLING, a[1])
                )
                self._write(at, f"{percent} %", 18, QUIET, "mt" if axis == 0 else "rm")
        middle = self._place(((left + right) / 2, low))
        self._write((middle[0], middle[1] + 56 * OVERSAMPLING), x, 20, INK, "mt")
        self._write((LEFT * OVERSAMPLING, (TOP - 12) * OVERSAMPLING), y, 20, INK, "lb")

    def dot(self, point: tuple[float, float], radius: int, ink: tuple[int, int, int]) -> None:
        (x, y), r = self._place(point), radius * OVERSAMPLING
        self._draw.ellipse((x - r, y - r, x + r, y + r), fill=ink, outline=PAPER, width=2)
        self._taken.append((x - r, y - r, x + r, y + r))

    def line(self, points: list[tuple[float, float]], ink: tuple[int, int, int]) -> None:
        self._draw.line([self._place(p) for p in points], fill=ink, width=2 * OVERSAMPLING)

    def text(self, point: tuple[float, float], text: str, ink: tuple[int, int, int]) -> None:
        """Write beside a point, where nothing else is written yet, if there is such a place."""
        x, y = self._place(point)
        gap = 18 * OVERSAMPLING
        font = font_for(text, 18 * OVERSAMPLING)
        places = [(x, y - gap, "mb"), (x - gap, y, "rm"), (x + gap, y, "lm"), (x, y + gap, "mt")]
        places += [(x - gap, y + n * 24 * OVERSAMPLING, "rm") for n in (1, -1, 2, -2, 3)]
        boxes = [self._draw.textbbox((a, b), text, font=font, anchor=c) for a, b, c in places]
        free = [
            n
            for n, box in enumerate(boxes)
            if box[0] >= LEFT * OVERSAMPLING
            and box[2] <= WIDTH * OVERSAMPLING
            and not any(_meet(box, other) for other in self._taken)
        ]
        chosen = free[0] if free else 0
        a, b, anchor = places[chosen]
        self._draw.text((a, b), text, font=font, fill=ink, anchor=anchor)
        self._taken.append(boxes[chosen])


def _meet(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _around(values: list[float]) -> tuple[float, float]:
    """Return a range with a little room about all values."""
    low, high = min(values), max(values)
    room = max(0.01, 0.08 * (high - low))
    return low - room, high + room


def _ticks(start: float, end: float) -> list[int]:
    """Return whole percentages in a range, some four to ten of them."""
    step = next(s for s in (1, 2, 5, 10, 20, 50) if (end - start) * 100 / s <= 10)
    first = -int(-start * 100 // step) * step
    return [p for p in range(first, int(end * 100) + 1, step) if start <= p / 100 <= end]
