"""Makes trials from measurements, whatever measures, and also where the plan fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from hasten.measure.contract import DEFAULT_SPEC, METRIC_NAMES, TrialSpec
from hasten.measure.equal_time import most_steps, where_it_loses
from hasten.measure.failures import PlanError
from hasten.measure.pipeline import Pipeline
from hasten.measure.quality import Losses, Report, StopEarly, chosen_metrics
from hasten.measure.stats import joined, samples_of
from hasten.measure.termination import TimeUp
from hasten.measure.timing import Enough
from hasten.plan import Plan
from hasten.records import FEW_PAIRS, EqualTime, Latency, Split, Trial
from hasten.task import Setting

HUNG = "Time-out: it hangs in code that Python cannot interrupt, and its process was ended"
Measure = Callable[[dict[str, Any]], None]
"""Measures, and fills in the fields of a trial as they become known."""


class Meter(Protocol):
    """Takes the times and scores that trials are made from, in one setting.

    Where a method takes ``steps``, it is the number of steps of the plan only; the baseline has the setting's
    number.
    """

    setting: Setting
    pipeline: Pipeline
    environment: dict[str, str]

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
        """Returns interleaved times of baseline and plan, ``pairs`` of them or fewer. Raises PlanError."""

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
        """Returns the loss of each metric, on ``samples`` images or fewer from ``offset`` on. Raises PlanError."""

    def begin(self, split: Split, indices: Sequence[int], report: Report | None) -> None:
        """Prepares the trial of a plan, given its first images, before anything is measured for it.

        Raises:
            MeasurementError: the baseline itself cannot be measured, which is not the plan's fault.
        """

    def attempt(self, take: Callable[[], Trial], keeps: Sequence[str] = ()) -> Trial:
        """Returns the trial that ``take`` takes, which measures without a pause. ``keeps`` is the command that
        stores it where this process never finishes it."""


class Trials:
    """Makes trials of plans, and of the equal-time baseline, from what a meter measures."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def trial(
        self,
        plan: Plan,
        spec: TrialSpec = DEFAULT_SPEC,
        *,
        steps: int | None = None,
        report: Report | None = None,
    ) -> Trial:
        """Returns the plan's trial with latency and quality. Where the plan fails, the trial is a failed one.

        Args:
            plan: the plan.
            spec: what is measured, and when it may end early.
            steps: the number of steps of the plan; None for the setting's.
            report: called with a few words about what is being done.

        Raises:
            InputError: the plan, a metric or a number cannot be used.
            MeasurementError: the baseline itself cannot be measured.
        """
        plan = self._meter.pipeline.completed(plan, steps)
        chosen_metrics(spec.metrics, spec.samples, spec.offset)  # raises errors before anything runs
        if spec.begun is None:
            measure = partial(self._measure, plan, spec, steps, report)
            return self._attempt(plan, spec, measure, steps)
        go_on = partial(self._go_on, plan, spec, spec.begun, steps, report)
        trial = self._attempt(plan, spec, go_on, steps)
        return trial.model_copy(update={"seconds": trial.seconds + spec.begun.seconds})

    def _measure(
        self, plan: Plan, spec: TrialSpec, steps: int | None, report: Report | None, found: dict[str, Any]
    ) -> None:
        """Takes times and scores, in the order in which the first may make the second needless."""
        time = partial(self._meter.latency, plan, pairs=spec.pairs, steps=steps, report=report)
        score = partial(self._score, plan, spec, steps, report)
        first = range(spec.offset, spec.offset + spec.samples)
        self._meter.begin(spec.split, next(self._meter.pipeline.batches(first)), report)
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
        """Scores the images that the trial ``begun`` lacks, and reuses its times."""
        found |= {"latency": begun.latency, "losses": begun.losses}
        losses, have, stop_early = begun.losses, samples_of(begun.losses), spec.stop_early

        def whole(more: Losses) -> Losses:
            seed = self._meter.pipeline.seed
            return {m: joined(losses[m], loss, seed=seed) for m, loss in more.items()} if have else more

        stop = None if stop_early is None else lambda more: stop_early(whole(more))
        rest = replace(spec, samples=spec.samples - have, offset=spec.offset + have, stop_early=stop)
        found["losses"] = whole(self._score(plan, rest, steps, report))

    def _score(self, plan: Plan, spec: TrialSpec, steps: int | None, report: Report | None) -> Losses:
        return self._meter.quality(
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
        spec: TrialSpec = DEFAULT_SPEC,
        *,
        plan_losses: Losses | None = None,
        report: Report | None = None,
    ) -> EqualTime:
        """Returns the baseline with so few steps that it is about as fast as a plan, measured like a plan.

        ``hasten.measure.equal_time.most_steps`` finds the number of steps in few timings. It is 1 where even one
        step is slower, and the setting's number where the plan is no faster than the baseline.

        Args:
            plan_latency: the plan's times.
            spec: the split, samples, offset and metrics of the plan's own trial, so that the images are the same.
                It is timed in as many pairs, but 3 at most. Nothing ends it early.
            plan_losses: the plan's losses on the same prompts. ``plan_loses`` of the result has the metrics by
                which fewer steps, in no more time, lose less than the plan.
            report: called with a few words about what is being done.
        """

        def timed(steps: int, *, pairs: int, warmup: int) -> Latency:
            told = _of_steps(steps, report)
            return self._meter.latency(Plan(), pairs=pairs, warmup=warmup, steps=steps, report=told)

        def measure(found: dict[str, Any]) -> None:
            steps, found["latency"] = most_steps(
                timed, self._meter.setting.steps, plan_latency.speedup, spec.pairs
            )
            found["steps"], told = steps, _of_steps(steps, report)
            found["losses"] = self._score(Plan(), replace(spec, stop_early=None), steps, told)

        trial = self._attempt(Plan(), replace(spec, keeps=None), measure)
        loses = tuple(where_it_loses(trial, plan_latency, plan_losses or {}))
        return EqualTime(steps=trial.steps, trial=trial, plan_loses=loses)

    def _attempt(self, plan: Plan, spec: TrialSpec, measure: Measure, steps: int | None = None) -> Trial:
        """Returns the trial that ``measure`` fills in. Where the plan fails, it has what was found so far and the
        reason."""
        asked = {
            "plan": plan,
            "steps": steps or self._meter.setting.steps,
            "split": spec.split,
            "offset": spec.offset,
            "environment": self._meter.environment,
        }

        def take() -> Trial:
            found: dict[str, Any] = {}
            try:
                measure(found)
            except (PlanError, TimeUp) as failure:
                found |= {"status": "failed", "reason": str(failure)}
            return Trial.model_validate({**asked, **found})

        hung = Trial.model_validate({**asked, "status": "failed", "reason": HUNG})
        return self._meter.attempt(take, spec.keeps(hung) if spec.keeps else ())


def _few(baseline_s: Sequence[float], plan_s: Sequence[float]) -> bool:
    return len(plan_s) >= FEW_PAIRS


def _of_steps(steps: int, report: Report | None) -> Report | None:
    """Returns a report function that puts the number of steps before its words."""
    return None if report is None else lambda words: report(f"{steps} steps: {words}")
