"""Tells which methods cannot be used together, from what each declares about itself. It imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations

from hasten.methods._measured import MeasuresGrid
from hasten.methods.base import Method, Work

SAME_WORK = "replace the same work"
REPLACED: dict[Work, str] = {
    "features": SAME_WORK,
    "attention": SAME_WORK,
    "guidance": SAME_WORK,
    "weights": (
        "cannot be used together, as both change the same weights; a pipeline of 16 bits can be quantised"
    ),
}
"""The second half of the sentence about two methods that replace the same kind of work."""
COMPILED = "cannot be used together, as what the one changes is inside the blocks that the other compiles"
REPLAYED = "cannot be used together, as what the one does anew each time the other would replay as it was"
MEASURED = "cannot be used together, as the lists of the one are measured for all steps"


def clash(methods: Iterable[Method]) -> str | None:
    """Returns why these methods cannot be used together, as a sentence, or None where they can."""
    for one, other in combinations(methods, 2):
        if reason := _shared(one, other) or _disturbed(one, other) or _disturbed(other, one):
            return f"{one.title} and {other.title} {reason}: use one of them."
    return None


def _shared(one: Method, other: Method) -> str | None:
    """Returns why both methods must not replace the same work, or None.

    Methods without a common kind of denoiser need no reason here: no pipeline takes both of them anyway.
    """
    if not set(one.denoisers) & set(other.denoisers):
        return None
    return next((REPLACED[work] for work in one.replaces if work in other.replaces), None)


def _disturbed(one: Method, other: Method) -> str | None:
    """Returns why one of the two breaks what the other relies on, seen in this order of the two, or None."""
    if one.compiles and not other.compilable:
        return COMPILED
    if one.records and other.replay == "never":
        return REPLAYED
    return MEASURED if one.shortens and isinstance(other, MeasuresGrid) else None
