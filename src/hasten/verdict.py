"""What an interval says of a limit or of a target: the one judgement of searches, verdicts and verifications."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

Verdict = Literal["inside", "outside", "open"]
"""Inside: the whole interval is on the right side. Outside: it is on the wrong side. Open: it cannot tell."""


def verdict_of(low: float, high: float, edge: Verdict) -> Verdict:
    """The verdict of an interval of a margin, which is how far a figure is on the right side of its limit:
    below 0 it is on the wrong one.

    Args:
        edge: what an end counts as that is exactly at the limit. *inside*: reaching it is enough. *outside*: it is
            as good as beyond it. *open*: it is neither.
    """
    if low > 0 or (edge == "inside" and low == 0):
        return "inside"
    beyond = not high > 0 if edge == "outside" else high < 0
    return "outside" if beyond else "open"


def reaches(interval: tuple[float, float] | None, least: float) -> Verdict:
    """Whether what has that interval reaches ``least``; open where there is no interval."""
    if interval is None:
        return "open"
    low, high = interval
    return verdict_of(low - least, high - least, "inside")


def together(verdicts: Iterable[Verdict]) -> Verdict:
    """Inside where all are, outside where one is, else open."""
    found = set(verdicts)
    if "outside" in found:
        return "outside"
    return "open" if "open" in found else "inside"
