"""How a trial is asked for, and what a search needs of whatever takes it: a bench, or recorded measurements."""

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
WorthTiming = Callable[[Losses], bool]


@dataclass(frozen=True)
class TrialSpec:
    """What a trial measures, and when it may end early.

    Attributes:
        split: the prompts that are drawn.
        samples: how many images are scored, at most.
        offset: the first image of the split: those from it to ``offset + samples`` are scored.
        pairs: how often baseline and plan are timed in turn, at most.
        metrics: what the images are scored by.
        enough: asked after each timed pair with both rows of times; True ends the timing.
        stop_early: asked after each batch of prompts with the losses so far; True ends the scoring.
        worth_scoring: asked with the latency; a reason (text) ends the trial there as *skipped*.
        worth_timing: asked with the losses, which then come before the latency: False ends the timing after 3
            pairs, which tell about how fast a plan is that will not be chosen.
        begun: a trial of the plan that was skipped, or ended early: its times are taken for this one's, and only
            the images that it has not are scored.
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


USUAL = TrialSpec()
"""A whole trial on the search's prompts."""


class Measures(Protocol):
    """What a search needs of a bench: ``hasten.measure.trials.Trials`` and whatever else measures plans."""

    setting: Setting
    pipe: Any

    @property
    def identity(self) -> Mapping[str, Any]:
        """What makes two trials comparable beside the setting: environment, weights, scorer, prompts, seed."""

    def trial(self, plan: Plan, spec: TrialSpec, *, report: Report | None = None) -> Trial:
        """The plan's trial; a failed one where the plan fails."""

    def equal_time(
        self,
        plan_latency: Latency,
        spec: TrialSpec,
        *,
        plan_losses: Losses | None = None,
        report: Report | None = None,
    ) -> EqualTime:
        """The baseline with so few steps that it is as fast as a plan of that latency."""
