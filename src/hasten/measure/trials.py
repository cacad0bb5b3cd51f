"""How measurements become trials, wherever they come from, also when the plan fails under way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from hasten.measure.contract import METRIC_NAMES, USUAL, TrialSpec
from hasten.measure.equal_time import most_steps, where_it_loses
from hasten.measure.failures import PlanError
from hasten.measure.pipeline import Pipeline
from hasten.measure.quality import Losses, Report, StopEarly, chosen_metrics
from hasten.measure.stats import joined, samples_of
from hasten.measure.timing import Enough
from hasten.plan import Plan
from hasten.records import FEW_PAIRS, EqualTime, Latency, Split, Trial
from hasten.task import Setting

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
        spec: TrialSpec = USUAL,
        *,
        steps: int | None = None,
        report: Report | None = None,
    ) -> Trial:
        """Latency and quality. Whatever the plan does, the answer is a trial, if need be a failed one.

        Args:
            report: told what goes on, a few words at a time.

        Raises:
            InputError: the plan, a metric or a number cannot be used.
            MeasurementError: the baseline itself cannot be measured.
        """
        plan = self.pipeline.completed(plan, steps)
        chosen_metrics(spec.metrics, spec.samples, spec.offset)  # what is wrong is said before anything runs
        if spec.begun is None:
            measure = partial(self._measure, plan, spec, steps, report)
            return self._attempt(plan, spec.split, spec.offset, measure, steps)
        go_on = partial(self._go_on, plan, spec, spec.begun, steps, report)
        trial = self._attempt(plan, spec.split, spec.offset, go_on, steps)
        return trial.model_copy(update={"seconds": trial.seconds + spec.begun.seconds})

    def _measure(
        self, plan: Plan, spec: TrialSpec, steps: int | None, report: Report | None, found: dict[str, Any]
    ) -> None:
        """Takes times and scores, in the order in which the one may make the other needless."""
        time = partial(self.latency, plan, pairs=spec.pairs, steps=steps, report=report)
        score = partial(self._score, plan, spec, steps, report)
        first = range(spec.offset, spec.offset + spec.samples)
        self._begin(spec.split, next(self.pipeline.batches(first)), report)
        if spec.worth_timing:
            found["losses"] = score()
            found["latency"] = time(enough=spec.enough if spec.worth_timing(found["losses"]) else _few)
            return
        found["latency"] = time(enough=spec.enough)
        if spec.worth_scoring and (reason := spec.worth_scoring(found["latency"])):
            found |= {"status": "skipped", "reason": reason}
        else:
            found["losses"] = score()

    def _go_on(
        self,
        plan: Plan,
        spec: TrialSpec,
        begun: Trial,
        steps: int | None,
        report: Report | None,
        found: dict[str, Any],
    ) -> None:
        """Scores the images that a trial which has begun does not have."""
        found |= {"latency": begun.latency, "losses": begun.losses}
        losses, have, stop_early = begun.losses, samples_of(begun.losses), spec.stop_early

        def whole(more: Losses) -> Losses:
            seed = self.pipeline.seed
            return {m: joined(losses[m], loss, seed=seed) for m, loss in more.items()} if have else more

        stop = None if stop_early is None else lambda more: stop_early(whole(more))
        rest = replace(spec, samples=spec.samples - have, offset=spec.offset + have, stop_early=stop)
        found["losses"] = whole(self._score(plan, rest, steps, report))

    def _score(self, plan: Plan, spec: TrialSpec, steps: int | None, report: Report | None) -> Losses:
        return self.quality(
            plan,
            split=spec.split,
            samples=spec.samples,
            offset=spec.offset,
            metrics=spec.metrics,
            steps=steps,
            stop_early=spec.stop_early,
            report=report,
        )

    def equal_time(
        self,
        plan_latency: Latency,
        spec: TrialSpec = USUAL,
        *,
        plan_losses: Losses | None = None,
        report: Report | None = None,
    ) -> EqualTime:
        """The baseline with so few steps that it is as fast as a plan, measured like a plan.

        How the number of steps is found: ``hasten.measure.equal_time.most_steps``, in few timings. 1 step
        where even that is slower, the setting's where the plan is no faster than the baseline.

        Args:
            spec: the split, samples, offset and metrics of the plan's own trial, for the same images. It is timed
                in as many pairs, but 3 at most. Nothing ends it early.
            plan_losses: the plan's own losses on the same prompts. ``plan_loses`` of the answer names the
                metrics where fewer steps, in no more time, cost less than the plan.
        """

        def timed(steps: int, *, pairs: int, warmup: int) -> Latency:
            told = _of_steps(steps, report)
            return self.latency(Plan(), pairs=pairs, warmup=warmup, steps=steps, report=told)

        def measure(found: dict[str, Any]) -> None:
            steps, found["latency"] = most_steps(timed, self.setting.steps, plan_latency.speedup, spec.pairs)
            found["steps"], told = steps, _of_steps(steps, report)
            found["losses"] = self._score(Plan(), replace(spec, stop_early=None), steps, told)

        trial = self._attempt(Plan(), spec.split, spec.offset, measure)
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
