"""The specification of a trial, and the interface that a search needs for measuring: a bench, or recorded
measurements."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hasten.measure.quality import Losses, Report, StopEarly
from hasten.measure.timing import Enough
from hasten.plan import Plan
from hasten.records import EqualTime, Latency, Split, Trial
from hasten.task import Setting

METRIC_NAMES = ("clip_score", "ssim")
WorthScoring = Callable[[Latency], str | None]
"""Returns why a plan with this latency need not be scored, or None."""
Keeps = Callable[[Trial], Sequence[str]]
"""Returns the command by which another process stores a trial; empty where none can."""
WorthTiming = Callable[[Losses], bool]
"""Returns whether a plan with these losses is worth all timed pairs."""


@dataclass(frozen=True)
class TrialSpec:
    """What a trial measures, and when it may end early.

    Attributes:
        split: the prompts that are drawn.
        samples: the most images that are scored.
        offset: the first image of the split; images up to ``offset + samples`` are scored.
        pairs: the most pairs of baseline and plan that are timed in turn.
        metrics: the metrics that score the images.
        enough: called after each timed pair with the times of both; True ends the timing.
        stop_early: called after each batch of prompts with the losses so far; True ends the scoring.
        worth_scoring: called with the latency; a text, the reason, ends the trial there as *skipped*.
        worth_timing: called with the losses, which then come before the latency. False ends the timing after 3
            pairs, which roughly tell the speed of a plan that will not be chosen.
        begun: a trial of the plan that was skipped, or ended early. Its times are reused, and only the images that
            it lacks are scored.
        keeps: called with the trial as it will be if this process cannot finish it, because the plan hangs.

    Example:
        >>> TrialSpec(split="held-out", samples=64, pairs=7, metrics=("clip_score", "ssim"))
    """

    split: Split = "search"
    samples: int = 32
    offset: int = 0
    pairs: int = 7
    metrics: Sequence[str] = METRIC_NAMES
    enough: Enough | None = None
    stop_early: StopEarly | None = None
    worth_scoring: WorthScoring | None = None
    worth_timing: WorthTiming | None = None
    begun: Trial | None = None
    keeps: Keeps | None = None


DEFAULT_SPEC = TrialSpec()
"""A full trial on the search's prompts."""


class Measures(Protocol):
    """What a search needs of a bench, or of anything else that measures plans."""

    setting: Setting
    pipe: Any

    @property
    def identity(self) -> Mapping[str, Any]:
        """What makes two trials of a setting comparable: environment, weights, scorer, prompts, seed."""

    def trial(self, plan: Plan, spec: TrialSpec, *, report: Report | None = None) -> Trial:
        """Returns the plan's trial, a failed one where the plan fails."""

    def equal_time(
        self,
        plan_latency: Latency,
        spec: TrialSpec,
        *,
        plan_losses: Losses | None = None,
        report: Report | None = None,
    ) -> EqualTime:
        """Returns the comparison with the baseline at so few steps that it is about as fast as a plan of that
        latency."""
