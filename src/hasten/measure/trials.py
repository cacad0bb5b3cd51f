"""How measurements become trials, wherever they come from, also when the plan fails under way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from hasten.measure.equal_time import most_steps, where_it_loses
from hasten.measure.failures import PlanError
from hasten.measure.pipeline import Pipeline
from hasten.measure.quality import Losses, Report, StopEarly, chosen_metrics
from hasten.measure.stats import joined, samples_of
from hasten.measure.timing import Enough
from hasten.plan import Plan
from hasten.records import FEW_PAIRS, EqualTime, Latency, Split, Trial
from hasten.task import Setting

METRIC_NAMES = ("clip_score", "ssim")
WorthScoring = Callable[[Latency], str | None]
WorthTiming = Callable[[Losses], bool]
Measure = Callable[[dict[str, Any]], None]


class Trials(ABC):
    """Trials of plans on one setting, and of the equal-time baseline, from latencies and losses.

    ``steps``, where it can be given, is the plan's number of steps only: the baseline always runs the setting's.
    """

    setting: Setting
    pipeline: Pipeline
    environment: dict[str, str]

    @abstractmethod
    def latency(
        self,
        plan: Plan,
        *,
        pairs: int = 7,
        warmup: int = 1,
        steps: int | None = None,
        enough: Enough | None = None,
        report: Report | None = None,
    ) -> Latency:
        """Interleaved times of baseline and plan, ``pairs`` of them or fewer. Raises PlanError."""

    @abstractmethod
    def quality(
        self,
        plan: Plan,
        *,
        split: Split = "search",
        samples: int = 32,
        offset: int = 0,
        metrics: Sequence[str] = METRIC_NAMES,
        steps: int | None = None,
        stop_early: StopEarly | None = None,
        report: Report | None = None,
    ) -> Losses:
        """The loss of each metric, on ``samples`` images or fewer from ``offset`` on. Raises PlanError."""

    def trial(
        self,
        plan: Plan,
        *,
        split: Split = "search",
        samples: int = 32,
        offset: int = 0,
        pairs: int = 7,
        metrics: Sequence[str] = METRIC_NAMES,
        enough: Enough | None = None,
        worth_scoring: WorthScoring | None = None,
        worth_timing: WorthTiming | None = None,
        steps: int | None = None,
        stop_early: StopEarly | None = None,
        begun: Trial | None = None,
        report: Report | None = None,
    ) -> Trial:
        """Latency and quality. Whatever the plan does, the answer is a trial, if need be a failed one.

        Args:
            offset: the first image of the split: those from it to ``offset + samples`` are scored.
            enough: asked after each timed pair with both rows of times; True ends the timing early.
            worth_scoring: asked with the latency; a reason (text) ends the trial there as *skipped*.
            worth_timing: asked with the losses, which then come before the latency: False ends the timing after
                3 pairs, which tell about how fast a plan is that will not be chosen.
            stop_early: asked after each batch of prompts with the losses so far; True ends the scoring.
            begun: a trial of the plan that was skipped, or ended early: its times are taken for this one's, and
                only the images that it has not are scored.
            report: told what goes on, a few words at a time.

        Raises:
            InputError: the plan, a metric or a number cannot be used.
            MeasurementError: the baseline itself cannot be measured.
        """
        plan = self.pipeline.completed(plan, steps)
        chosen_metrics(metrics, samples, offset)  # what is wrong is said before anything runs
        time = partial(self.latency, plan, pairs=pairs, steps=steps, report=report)
        score = partial(self.quality, plan, split=split, metrics=metrics, steps=steps, report=report)

        def measure(found: dict[str, Any]) -> None:
            self._begin(split, next(self.pipeline.batches(range(offset, offset + samples))), report)
            if worth_timing:
                found["losses"] = score(samples=samples, offset=offset, stop_early=stop_early)
                found["latency"] = time(enough=enough if worth_timing(found["losses"]) else _few)
                return
            found["latency"] = time(enough=enough)
            if worth_scoring and (reason := worth_scoring(found["latency"])):
                found |= {"status": "skipped", "reason": reason}
            else:
                found["losses"] = score(samples=samples, offset=offset, stop_early=stop_early)

        def go_on(begun: Trial, found: dict[str, Any]) -> None:
            found |= {"latency": begun.latency, "losses": begun.losses}
            found["losses"] = self._more(begun.losses, samples, offset, score, stop_early)

        if begun is None:
            return self._attempt(plan, split, offset, measure, steps)
        trial = self._attempt(plan, split, offset, partial(go_on, begun), steps)
        return trial.model_copy(update={"seconds": trial.seconds + begun.seconds})

    def _more(
        self,
        losses: Losses,
        samples: int,
        offset: int,
        score: Callable[..., Losses],
        stop_early: StopEarly | None,
    ) -> Losses:
        """The losses with those of the images that are yet to be scored."""
        have = samples_of(losses)

        def whole(more: Losses) -> Losses:
            seed = self.pipeline.seed
            return {m: joined(losses[m], loss, seed=seed) for m, loss in more.items()} if have else more

        stop = None if stop_early is None else lambda more: stop_early(whole(more))
        return whole(score(samples=samples - have, offset=offset + have, stop_early=stop))

    def equal_time(
        self,
        plan_latency: Latency,
        *,
        samples: int = 32,
        offset: int = 0,
        split: Split = "search",
        pairs: int = 7,
        metrics: Sequence[str] = METRIC_NAMES,
        plan_losses: Losses | None = None,
        report: Report | None = None,
    ) -> EqualTime:
        """The baseline with so few steps that it is as fast as a plan, measured like a plan.

        How the number of steps is found: ``hasten.measure.equal_time.most_steps``, in few timings. 1 step
        where even that is slower, the setting's where the plan is no faster than the baseline.

        Args:
            offset: as in ``trial``: that of the plan's own trial, for the same images.
            pairs: as in ``latency``, but 3 at most.
            plan_losses: the plan's own losses on the same prompts. ``plan_loses`` of the answer names the
                metrics where fewer steps, in no more time, cost less than the plan.
        """
        scored: dict[str, Any] = {"split": split, "samples": samples, "offset": offset, "metrics": metrics}

        def timed(steps: int, *, pairs: int, warmup: int) -> Latency:
            told = _of_steps(steps, report)
            return self.latency(Plan(), pairs=pairs, warmup=warmup, steps=steps, report=told)

        def measure(found: dict[str, Any]) -> None:
            steps, found["latency"] = most_steps(timed, self.setting.steps, plan_latency.speedup, pairs)
            found["steps"] = steps
            found["losses"] = self.quality(Plan(), **scored, steps=steps, report=_of_steps(steps, report))

        trial = self._attempt(Plan(), split, offset, measure)
        loses = tuple(where_it_loses(trial, plan_latency, plan_losses or {}))
        return EqualTime(steps=trial.steps, trial=trial, plan_loses=loses)

    @abstractmethod
    def _begin(self, split: Split, indices: Sequence[int], report: Report | None) -> None:
        """Told the first images of a plan's trial before anything is measured for it.

        Raises:
            MeasurementError: the baseline itself cannot be measured, which is not the plan's fault.
        """

    def _attempt(self, plan: Plan, split: Split, offset: int, measure: Measure, steps: int | None = None) -> Trial:
        """The trial that ``measure`` fills in; when the plan fails, what was found so far and the reason."""
        found: dict[str, Any] = {}
        try:
            measure(found)
        except PlanError as failure:
            found |= {"status": "failed", "reason": str(failure)}
        known = {"plan": str(plan), "steps": steps or self.setting.steps, "split": split, "offset": offset}
        return Trial.model_validate({**known, "environment": self.environment, **found})


def _few(baseline_s: Sequence[float], plan_s: Sequence[float]) -> bool:
    return len(plan_s) >= FEW_PAIRS


def _of_steps(steps: int, report: Report | None) -> Report | None:
    """What is told, with the number of steps before it."""
    return None if report is None else lambda words: report(f"{steps} steps: {words}")
