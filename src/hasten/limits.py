"""Limits on what a plan may lose: one for each metric, and the rules for keeping them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from hasten.verdict import Verdict, together, verdict_of


class Measured(Protocol):
    """A loss that limits judge: its mean, and the interval for its true value."""

    @property
    def loss(self) -> float:
        """The mean loss."""

    @property
    def interval(self) -> tuple[float, float]:
        """The lower and the upper end of the interval."""


@dataclass(frozen=True)
class Limits(Mapping[str, float]):
    """The highest relative loss by metric. A loss must be strictly below it.

    ``two_sided``: a score that rises by as much is as bad as one that falls, because the images have left the
    baseline's either way (MLPerf judges text-to-image by such a window).
    """

    by_metric: Mapping[str, float]
    two_sided: bool = False

    def __getitem__(self, metric: str) -> float:
        return self.by_metric[metric]

    def __iter__(self) -> Iterator[str]:
        return iter(self.by_metric)

    def __len__(self) -> int:
        return len(self.by_metric)

    def __str__(self) -> str:
        """Returns a text such as ``0.02 and 0.2 (ssim) either way``. A bare number limits the CLIP score."""
        named = (f"{limit:g}" + ("" if m == "clip_score" else f" ({m})") for m, limit in self.items())
        return " and ".join(named) + self.suffix

    @property
    def suffix(self) -> str:
        """The words after a limit that holds on both sides."""
        return " either way" if self.two_sided else ""

    def excess(self, metric: str, loss: float) -> float:
        """Returns how far a loss is beyond its limit. A value below 0 keeps the limit."""
        return (abs(loss) if self.two_sided else loss) - self[metric]

    def nearest(self, losses: Mapping[str, Measured]) -> str | None:
        """Returns the limited metric whose loss is nearest to its limit, or furthest beyond it. It is None where
        none of the losses is limited."""
        return max((m for m in self if m in losses), key=lambda m: self.excess(m, losses[m].loss), default=None)

    def broken(self, losses: Mapping[str, Measured]) -> list[str]:
        """Returns the metrics whose mean loss is at its limit or beyond, or was not measured."""
        return [m for m in self if m not in losses or not self.excess(m, losses[m].loss) < 0]

    def refuted(self, losses: Mapping[str, Measured]) -> list[str]:
        """Returns the measured metrics whose whole interval is at the limit or beyond."""
        return [m for m in self if m in losses and self.of(m, losses[m], edge="outside") == "outside"]

    def verdict(self, losses: Mapping[str, Measured], stretch: float = 1.0) -> Verdict:
        """Returns "inside" if every loss' interval keeps its limit, "outside" if one interval lies beyond, else
        "open", as where a metric was not measured.

        ``stretch``: a factor for the width of the intervals.
        """
        if any(metric not in losses for metric in self):
            return "open"
        return together([self.of(metric, losses[metric], stretch=stretch) for metric in self])

    def of(self, metric: str, loss: Measured, *, edge: Verdict = "open", stretch: float = 1.0) -> Verdict:
        """Returns the verdict of the interval of a limited metric's loss; ``edge`` as in ``verdict_of``."""
        low, high = loss.interval if stretch == 1 else _stretched(loss, stretch)
        best = min(max(low, 0.0), high) if self.two_sided else low
        worst = max(self.excess(metric, low), self.excess(metric, high))
        return verdict_of(-worst, -self.excess(metric, best), edge)


def _stretched(loss: Measured, by: float) -> tuple[float, float]:
    low, high = loss.interval
    return loss.loss + by * (low - loss.loss), loss.loss + by * (high - loss.loss)
