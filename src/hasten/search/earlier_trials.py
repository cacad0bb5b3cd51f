"""What the store has of a plan, and whether that will do for a goal."""

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
    """Scored on enough prompts for these limits, by all metrics."""
    return goal.scored(trial, options.num_samples) and set(metrics) <= set(trial.losses)


@dataclass(frozen=True)
class Stored:
    """The trials of one plan, the latest last, before it is measured.

    ``best``: the plan that it must be better than; ``not_worth``: why a plan of a latency need not be scored.
    """

    history: Sequence[Trial]
    goal: Goal
    options: SearchOptions
    metrics: Sequence[str]
    best: Believed | None
    not_worth: Callable[[Latency], str | None]

    def settled(self, least: int | None) -> Trial | None:
        """The trial that settles the plan or, where fewer prompts will do, the first with so many; None when it
        must be measured."""
        found = (self._settled(trial, least) for trial in (self.history if least else self.history[-1:]))
        return next((trial for trial in found if trial is not None), None)

    def begun(self) -> Trial | None:
        """The latest trial, where its times will do and it is only to be scored on more prompts."""
        known = next(reversed(self.history), None)
        if known is None or known.latency is None or not self._timed(known.latency):
            return None
        if known.status == "ok" and set(self.metrics) == set(known.losses):
            return known if samples_of(known.losses) < self.options.num_samples else None
        return known if known.status == "skipped" and self.not_worth(known.latency) is None else None

    def enough(self, losses: Mapping[str, Loss], least: int | None) -> bool:
        """So many prompts will do for now, or these are clear about the limits."""
        samples = samples_of(losses)
        few = least is not None and samples >= least and samples + MIN_SAMPLES <= self.options.num_samples
        return few or self.goal.stop_early(losses)

    def _settled(self, known: Trial, least: int | None) -> Trial | None:
        if known.status == "failed":
            return known
        if known.status == "ok":
            if tells(known, self.goal, self.options, self.metrics):
                return known
            if least:
                enough = samples_of(known.losses) >= least and set(self.metrics) <= set(known.losses)
                return known if enough else None
        if known.latency is None or not self._timed(known.latency):
            return None
        reason = self.not_worth(known.latency)
        return known.model_copy(update={"status": "skipped", "reason": reason}) if reason else None

    def _timed(self, known: Latency) -> bool:
        """Timed in as many pairs as a search does, or in fewer that settle it for this goal too."""
        enough = len(known.times_s) >= self.options.search_pairs
        return enough or self.goal.hopeless(known.baseline_times_s, known.times_s, self.best)
