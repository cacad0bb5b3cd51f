"""Charts as plain data with the positions of all their parts. ``chart.html.jinja`` draws them as SVG."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

WIDTH = 880
LEFT, RIGHT, TOP, BOTTOM = 62, 16, 14, 48
"""Margins around the plotted area, in the drawing's units. At full width one unit is one pixel of the page."""
LANE = 104
"""Width of the lane for marks that have no position on the x axis."""
PADDING = 0.05
"""How far an axis extends beyond the values that it must show, as a share of its length."""
MOST_TICKS = 8

_STAR = "L".join(
    f"{radius * math.sin(math.pi * corner / 5):.3f} {-radius * math.cos(math.pi * corner / 5):.3f}"
    for corner, radius in enumerate((1.9, 0.8) * 5)
)
SYMBOLS = {
    "circle": "M-1 0a1 1 0 1 0 2 0a1 1 0 1 0-2 0z",
    "square": "M-1-1H1V1H-1z",
    "cross": "M-1-1L1 1M-1 1L1-1",
    "diamond": "M0-1.6L1.6 0 0 1.6-1.6 0z",
    "star": f"M{_STAR}z",
}
"""Outlines of the marks around their centre. They extend one unit to each side."""


@dataclass(frozen=True)
class Look:
    """The look of a kind of mark. Colour and shape both tell the kinds apart, so that either is enough.

    ``style`` is the class in the style sheet, which gives the colour. ``open`` marks are not filled.
    """

    name: str
    style: str
    symbol: str
    open: bool = False
    size: float = 4.5

    @property
    def outline(self) -> str:
        return SYMBOLS[self.symbol]


@dataclass(frozen=True)
class Mark:
    """A point of a chart. Without an ``x`` it stands in the lane. ``told`` is the text under the pointer."""

    x: float | None
    y: float
    told: str = ""


@dataclass(frozen=True)
class Series:
    """Marks of one kind. A ``joined`` series has a line from each mark to the next."""

    look: Look
    marks: tuple[Mark, ...]
    joined: bool = False


@dataclass(frozen=True)
class Guide:
    """A labelled line across the chart at a value of an axis. ``below`` puts the label under the line."""

    axis: Literal["x", "y"]
    at: float
    label: str
    style: str
    below: bool = False


@dataclass(frozen=True)
class Axis:
    """One axis: its title, the values at its two ends, and the values that have ticks."""

    title: str
    low: float
    high: float
    ticks: tuple[float, ...]
    suffix: str = ""

    @classmethod
    def over(cls, title: str, values: Iterable[float], suffix: str = "", from_zero: bool = False) -> Axis:
        """Returns the axis that shows all these values, with some room beyond the outermost ones."""
        shown = [*values, *([0.0] if from_zero else [])]
        low, high = min(shown), max(shown)
        length = high - low or abs(high) or 1.0
        low, high = (low if from_zero else low - PADDING * length), high + PADDING * length
        return cls(title, low, high, round_values(low, high), suffix)

    @classmethod
    def counting(cls, title: str, count: int) -> Axis:
        """Returns the axis of the numbers 1 to ``count``."""
        whole = tuple(n for n in round_values(0.5, count + 0.5) if n == int(n))
        return cls(title, 0.5, count + 0.5, whole)

    def share(self, value: float) -> float:
        """Returns the position of a value along the axis, 0 to 1. Values beyond an end are placed at the end."""
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))

    def label(self, tick: float) -> str:
        return f"{tick:g}{self.suffix}"


def round_values(low: float, high: float) -> tuple[float, ...]:
    """Returns at most eight values between ``low`` and ``high``, spaced by 1, 2 or 5 times a power of ten."""
    rough = (high - low) / MOST_TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first, last = math.ceil(low / step), math.floor(high / step)
    return tuple(round(number * step, 12) for number in range(first, last + 1))


@dataclass(frozen=True)
class Chart:
    """The contents of a chart. ``lane`` names the lane for marks without an x, at the right; "" means no lane."""

    title: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    guides: tuple[Guide, ...] = ()
    lane: str = ""
    height: int = 400

    width, left, top = WIDTH, LEFT, TOP

    @property
    def right(self) -> float:
        """The right end of the plotted area."""
        return WIDTH - RIGHT - (LANE if self.lane else 0)

    @property
    def bottom(self) -> float:
        return self.height - BOTTOM

    @property
    def lane_middle(self) -> float:
        return WIDTH - RIGHT - LANE / 2

    def across(self, value: float | None) -> float:
        """Returns the position of a value of the x axis, or the middle of the lane for None."""
        if value is None:
            return self.lane_middle
        return round(LEFT + self.x.share(value) * (self.right - LEFT), 1)

    def down(self, value: float) -> float:
        """Returns the position of a value of the y axis."""
        return round(self.bottom - self.y.share(value) * (self.bottom - TOP), 1)

    def line(self, marks: Sequence[Mark]) -> str:
        """Returns the corners of the line through these marks, as SVG points."""
        return " ".join(f"{self.across(mark.x)},{self.down(mark.y)}" for mark in marks)
