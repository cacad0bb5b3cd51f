"""Earlier trials of a plan in the store, and whether they suffice for a goal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hasten.measure.stats import samples_of
from hasten.options.table import MIN_SAMPLES
from hasten.records import Latency, Loss, Trial
from hasten.search.believed import Believed
from hasten.search.judge import Goal
from hasten.search.options import SearchOptions


def tells(trial: Trial, goal: Goal, options: SearchOptions, metrics: Sequence[str]) -> bool:
    """Returns whether the trial is scored by all metrics, on enough prompts to decide about these limits."""
    return goal.scored(trial, options.num_samples) and set(metrics) <= set(trial.losses)


@dataclass(frozen=True)
class EarlierTrials:
    """The stored trials of one plan, the latest last, before it is measured.

    ``best`` is the plan that it has to beat. ``not_worth`` returns why a plan with this latency need not be
    scored, or None.
    """

    history: Sequence[Trial]
    goal: Goal
    options: SearchOptions
    metrics: Sequence[str]
    best: Believed | None
    not_worth: Callable[[Latency], str | None]

    def sufficient(self, least: int | None) -> Trial | None:
        """Returns the latest trial where it decides about the plan, or None where the plan must be measured.

        With ``least``, the first trial that was scored on as many prompts is enough.
        """
        found = (self._if_sufficient(trial, least) for trial in (self.history if least else self.history[-1:]))
        return next((trial for trial in found if trial is not None), None)

    def begun(self) -> Trial | None:
        """Returns the latest trial where only scores on more prompts are missing, so that a new trial can build on
        it."""
        latest = next(reversed(self.history), None)
        if latest is None or latest.latency is None or not self._timed(latest.latency):
            return None
        if latest.status == "ok" and set(self.metrics) == set(latest.losses):
            return latest if samples_of(latest.losses) < self.options.num_samples else None
        return latest if latest.status == "skipped" and self.not_worth(latest.latency) is None else None

    def enough(self, losses: Mapping[str, Loss], least: int | None) -> bool:
        """Returns whether scoring can stop: after ``least`` prompts, or where the scores are clear about the
        limits."""
        samples = samples_of(losses)
        few = least is not None and samples >= least and samples + MIN_SAMPLES <= self.options.num_samples
        return few or self.goal.stop_early(losses)

    def _if_sufficient(self, trial: Trial, least: int | None) -> Trial | None:
        if trial.status == "failed":
            return trial
        if trial.status == "ok":
            if tells(trial, self.goal, self.options, self.metrics):
                return trial
            if least:
                enough = samples_of(trial.losses) >= least and set(self.metrics) <= set(trial.losses)
                return trial if enough else None
        if trial.latency is None or not self._timed(trial.latency):
            return None
        reason = self.not_worth(trial.latency)
        return trial.model_copy(update={"status": "skipped", "reason": reason}) if reason else None

    def _timed(self, latency: Latency) -> bool:
        """Returns whether the latency has as many pairs as a search takes, or fewer that decide about this goal as
        well."""
        enough = len(latency.times_s) >= self.options.search_pairs
        return enough or self.goal.hopeless(latency.baseline_times_s, latency.times_s, self.best)
