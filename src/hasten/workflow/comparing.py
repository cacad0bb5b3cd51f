"""Compares given plans: each is measured as for a verdict, all of them on the same held-out prompts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from hasten.errors import InputError
from hasten.measure.bench import Bench
from hasten.measure.contract import TrialSpec
from hasten.measure.quality import chosen_metrics
from hasten.measure.timing import MOST_TIMES, UntilKnown
from hasten.methods import is_equal_time
from hasten.plan import Plan
from hasten.records import EqualTime, Record, Trial
from hasten.search import Listener, Progress, SearchOptions
from hasten.store import Store
from hasten.store.driver import check_storage
from hasten.task import Setting, Task
from hasten.workflow.checks import check_plans
from hasten.workflow.opening import model_of, open_bench, require_plain
from hasten.workflow.place import Place


class Compared(Record):
    """A plan's trial on held-out prompts, and the plain pipeline with so few steps that it is about as fast.

    ``equal_time`` is None where the plan failed, or is itself nothing but fewer steps.
    """

    trial: Trial
    equal_time: EqualTime | None = None


class Comparison(Record):
    """Plans of one setting, in the given order. ``confidence`` is that of the intervals."""

    setting: Setting
    environment: dict[str, str]
    confidence: float
    plans: tuple[Compared, ...]


def compared(
    task: Task,
    plans: Sequence[Plan],
    place: Place,
    options: SearchOptions,
    *,
    metrics: Sequence[str],
    report: Listener | None = None,
) -> Comparison:
    """Measures the plans in a plain task's setting, except for those that the store has.

    A plan's failure is the reason of its trial, and does not stop the others. Every trial is stored when it is
    finished.

    Raises:
        InputError: before anything is measured: the task names methods, there is no plan, or the model, a plan, a
            metric or a number cannot be used.
        MeasurementError: the baseline itself cannot be measured.
    """
    require_plain(task, "plans")
    if not plans:
        raise InputError("There is no plan to compare. Give one or more, such as 'deepcache(cache_interval=3)'.")
    chosen_metrics(metrics, options.num_samples, 0)
    check_plans(task, plans)
    check_storage(options.storage)
    with open_bench(task, model_of(task, place), place) as bench:
        wanted = list(dict.fromkeys(map(bench.pipeline.completed, plans)))
        with Store(options.storage, bench.setting, bench.identity, options.confidence) as store:
            measuring = _Measuring(bench, store, options, tuple(metrics), report, len(wanted))
            found = tuple(map(measuring.compared, wanted))
        return Comparison(
            setting=bench.setting,
            environment=bench.environment,
            confidence=options.confidence,
            plans=found,
        )


class _Measuring:
    """Measures one plan after another, or finds its trial in the store."""

    def __init__(
        self,
        bench: Bench,
        store: Store,
        options: SearchOptions,
        metrics: tuple[str, ...],
        report: Listener | None,
        planned: int,
    ) -> None:
        self._bench, self._store, self._options, self._metrics = bench, store, options, metrics
        self._report, self._planned, self._done = report, planned, 0

    def compared(self, plan: Plan) -> Compared:
        self._tell(plan, "")
        trial = self._trial(plan)
        found = Compared(trial=trial, equal_time=self._equal_time(plan, trial))
        self._done += 1
        self._tell(plan, "", trial)
        return found

    def _trial(self, plan: Plan) -> Trial:
        history = self._store.history(plan, "held-out")
        if stored := next((trial for trial in reversed(history) if self._complete(trial)), None):
            return stored
        options = self._options
        spec = TrialSpec(
            split="held-out",
            samples=options.num_samples,
            pairs=options.pairs * MOST_TIMES,
            enough=UntilKnown(options.pairs, confidence=options.confidence),
            metrics=self._metrics,
            keeps=self._store.keeps,
        )
        trial = self._bench.trial(plan, spec, report=partial(self._tell, plan))
        self._store.add(trial)
        return trial

    def _equal_time(self, plan: Plan, trial: Trial) -> EqualTime | None:
        if trial.status != "ok" or trial.latency is None or is_equal_time(plan):
            return None
        stored = self._store.equal_time(plan)
        if stored and stored.trial.latency and self._complete(stored.trial):
            return stored
        options = self._options
        spec = TrialSpec("held-out", options.num_samples, pairs=options.pairs, metrics=self._metrics)
        report = partial(self._tell, plan)
        found = self._bench.equal_time(trial.latency, spec, plan_losses=trial.losses, report=report)
        self._store.keep_equal_time(plan, found)
        return found

    def _complete(self, trial: Trial) -> bool:
        """Returns whether the trial is scored by all metrics on the images that all plans are compared on, or
        failed."""
        if trial.status == "failed":
            return True
        scored = {metric: loss.samples for metric, loss in trial.losses.items()}
        return trial.offset == 0 and all(scored.get(m) == self._options.num_samples for m in self._metrics)

    def _tell(self, plan: Plan, words: str, finished: Trial | None = None) -> None:
        if self._report:
            counts: dict[str, Any] = {"planned": self._planned, "expected": self._planned, "done": self._done}
            message = "" if finished else f"{plan} {words}".strip()
            self._report(Progress("compare", **counts, trial=finished, message=message))
