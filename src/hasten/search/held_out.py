"""Trials on held-out prompts, which alone decide: each plan's own, all of them scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from hasten.measure.contract import Measures
from hasten.measure.timing import MOST_TIMES, UntilKnown
from hasten.plan import Plan
from hasten.predict.space import Space
from hasten.records import Loss, Trial
from hasten.search.judge import Goal
from hasten.search.options import SearchOptions
from hasten.store import Store

WorthTiming = Callable[[Mapping[str, Loss]], bool]
MORE = 3
"""So many times the prompts are scored where they leave a plan open before a target is out of reach."""


class HeldOut:
    """The held-out trials of one search, and those that the store has."""

    def __init__(self, bench: Measures, store: Store, options: SearchOptions, metrics: Sequence[str]) -> None:
        self._bench, self._store, self._options, self._metrics = bench, store, options, tuple(metrics)
        self._own: dict[str, Trial] = {}

    @property
    def own(self) -> tuple[Trial, ...]:
        """Those of this search, in their order."""
        return tuple(self._own.values())

    def measure(self, plan: Plan, goal: Goal, report: Callable[[str], None], whole: bool = False) -> Trial:
        """The plan's trial on held-out prompts and seeds, all of them scored.

        They are others for each plan: of several that are tried on the same prompts one is lucky there. A plan
        that is scored beyond a limit is timed in a few pairs only, unless its ``whole`` trial is asked for.
        """

        def worth_timing(losses: Mapping[str, Loss]) -> bool:
            if goal.target:  # where they leave it open, more prompts may let it in
                return goal.limits.verdict(losses) != "outside"
            return not goal.limits.broken(losses)

        trial = self._known(plan, None if whole else worth_timing)
        if trial is None:
            options = self._options
            trial = self._bench.trial(
                plan,
                split="held-out",
                samples=options.num_samples,
                offset=max(map(self._end, self.own), default=0),
                pairs=options.pairs * MOST_TIMES,
                enough=UntilKnown(options.pairs, goal.decided if goal.target else None, options.confidence),
                worth_timing=None if whole else worth_timing,
                metrics=self._metrics,
                report=report,
            )
            self._store.add(trial)
        self._own[trial.plan] = trial
        return trial

    def go_on(self, trial: Trial, goal: Goal, report: Callable[[str], None]) -> Trial:
        """The trial with three times as many prompts, or fewer where they show it outside a limit.

        Its mean over all of them decides, and not the first that happens to be inside: that would be luck.
        """
        found = self._bench.trial(
            Plan.parse(trial.plan),
            split="held-out",
            samples=self._options.num_samples * MORE,
            offset=trial.offset,
            metrics=self._metrics,
            stop_early=lambda losses: goal.limits.verdict(losses) == "outside",
            begun=trial,
            report=report,
        )
        self._store.add(found)
        self._own[found.plan] = found
        return found

    def of(self, space: Space) -> list[Trial]:
        """The whole held-out trials that the store has of a space's plans: all scored, and timed for a verdict."""
        kept = self._store.trials(space.methods, "held-out")
        return [t for t in kept if t.status == "ok" and self._complete(t) and space.holds(Plan.parse(t.plan))]

    def _known(self, plan: Plan, worth_timing: WorthTiming | None) -> Trial | None:
        """The trial of this search or the store that will do; not where another plan had its images."""
        known = self._own.get(str(plan)) or self._store.find(plan, "held-out")
        if known is None or known.status == "failed":
            return known
        others = (t for t in self.own if t.plan != known.plan)
        seen = any(t.offset < self._end(known) and known.offset < self._end(t) for t in others)
        dismissed = worth_timing is not None and self._scored(known) and not worth_timing(known.losses)
        return known if (self._complete(known) or dismissed) and not seen else None

    def _end(self, trial: Trial) -> int:
        """The first held-out image after those of a trial."""
        samples = (loss.samples for loss in trial.losses.values())
        return trial.offset + max(samples, default=self._options.num_samples)

    def _complete(self, trial: Trial) -> bool:
        timed = trial.latency is not None and len(trial.latency.times_s) >= self._options.pairs
        return timed and self._scored(trial)

    def _scored(self, trial: Trial) -> bool:
        samples = self._options.num_samples
        return all(m in trial.losses and trial.losses[m].samples >= samples for m in self._metrics)
