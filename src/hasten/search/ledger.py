"""What one search knows of plans: its trials, its verdicts, and what it believes of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from hasten.plan import Plan
from hasten.predict.space import Space
from hasten.records import Latency, Trial
from hasten.search.believed import Believed, Speed
from hasten.search.earlier_trials import tells
from hasten.search.judge import Goal
from hasten.search.options import SearchOptions

FIDELITY = "ssim"
"""Measured beside the limited metrics in every trial: CLIP alone cannot tell that images left the reference."""


class Beliefs(Protocol):
    """What a strategy believes of plans."""

    def speed(self, plan: Plan, latency: Latency) -> Speed:
        """How fast a plan is believed to be whose search trial has that latency, by predictions as well."""

    def inside(self, plan: Plan) -> float:
        """The probability that the plan keeps all limits."""

    def learn(self) -> None:
        """Takes in all trials so far, also those on held-out prompts."""

    def promising(self, than: Trial | None = None) -> Plan | None:
        """The plan with the greatest log speedup times the probability that it keeps the limits, which is what it
        gains on average; the more verdicts there were, the more the probability counts (its power).

        Of all plans, measured or not, that were neither rejected nor accepted; None where none is faster than the
        baseline. ``than``: an answer in hand. What is gained over it counts then, and has to be worth a verdict.
        """


class Ledger:
    """The books of a search. Nothing is measured here.

    Attributes:
        asked: the goal of the task.
        goal: what is searched for now; in the end perhaps less than was asked.
        spaces: the grids of plans, which the ledger closes as trials settle plans.
        trials: the trials on the search's prompts by plan, in the order of the search.
        fresh: the plans of these that this search measured itself and did not find in the store.
        verdicts: the trials on held-out prompts by plan, in their order.
        rejected: the verdicts of plans that fell short there: they are no candidates any more, whatever the search
            measured.
        accepted: the verdicts of plans that held: their figures count from then on, not the search's.
        aside: the verdicts of plans that are only likely to hold: they are no candidates while a surer one is
            looked for.
        beliefs: what the strategy believes of plans; None where it believes what was measured.
    """

    def __init__(self, goal: Goal, options: SearchOptions, spaces: Sequence[Space] = ()) -> None:
        self.asked = self.goal = goal
        self.spaces = tuple(spaces)
        self.trials: dict[str, Trial] = {}
        self.fresh: set[str] = set()
        self.verdicts: dict[str, Trial] = {}
        self.rejected: dict[str, Trial] = {}
        self.accepted: dict[str, Trial] = {}
        self.aside: dict[str, Trial] = {}
        self.beliefs: Beliefs | None = None
        self._options = options
        self._seen: dict[str, Believed] = {}

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that every trial is scored by."""
        return tuple(sorted({*self.goal.limits, FIDELITY}))

    @property
    def begun(self) -> bool:
        """A first trial was taken; once less than the target is searched for, one that was scored."""
        if self.goal == self.asked:
            return bool(self.trials)
        return any(t.status != "skipped" for t in self.trials.values())

    @property
    def any_open(self) -> bool:
        return any(space.open.any() for space in self.spaces)

    def is_open(self, plan: Plan) -> bool:
        """No trial settles the plan."""
        return any(space.methods == plan.methods and space.is_open(plan) for space in self.spaces)

    def note(self, trial: Trial, *, fresh: bool) -> None:
        """Takes a trial on the search's prompts in, and closes the plans that it settles."""
        self.trials[trial.plan] = trial
        if fresh:
            self.fresh.add(trial.plan)
        self._close(trial)

    def recall(self, trials: Iterable[Trial]) -> None:
        """Takes trials that were measured before for this search's own; they settle no plan."""
        self.trials |= {trial.plan: trial for trial in trials}

    def trust(self, beliefs: Beliefs) -> None:
        """Takes plans that the search measured to be as fast as is believed from now on. Each is asked for once:
        call this again when there is more to believe.

        Predictions tell more than dominance, so that plans are no longer left out for being milder or stronger.
        """
        self.beliefs, self._seen = beliefs, {}

    def reject(self, held_out: Trial) -> None:
        """Takes a plan off the candidates, by its held-out trial."""
        self.rejected[held_out.plan] = held_out
        self._reopen()

    def accept(self, held_out: Trial) -> None:
        """Takes the held-out figures of a plan for its own: others may turn out better than these."""
        self.rejected.pop(held_out.plan, None)
        self.accepted[held_out.plan] = held_out
        self._reopen()

    def set_aside(self, held_out: Trial) -> None:
        """Looks for a plan that is surer than this one, by its held-out trial."""
        self.aside[held_out.plan] = held_out
        self._reopen()

    def settle_for_less(self) -> None:
        """From now on the fastest plan inside the limits, whatever the target was."""
        self.goal = replace(self.asked, target=None, prefer="fastest")
        self.rejected = {plan: t for plan, t in self.rejected.items() if not self.goal.candidate(t)}
        self._reopen()

    def best(self, *, sure: bool = False, inside: float = 0.0) -> Believed | None:
        """The plan that would be chosen now: the first of the best that are candidates.

        ``sure``: of those whose whole intervals are inside the limits; ``inside``: of those that are believed to
        be inside at least so probably.
        """
        tried = (t for t in self.trials.values() if not self._out(t))
        found = (t for t in map(self._counted, tried) if self.goal.admits(t))
        if sure:
            found = (t for t in found if self.goal.limits.verdict(t.losses) == "inside")
        if self.beliefs and inside:
            believed = self.beliefs.inside
            found = (t for t in found if t.plan in self.accepted or believed(Plan.parse(t.plan)) >= inside)
        return min(found, key=self.goal.rank, default=None)

    def nearest_open(self) -> Believed | None:
        """Of the trials that meet the target and may yet be inside the limits the one nearest to them."""
        if self.goal.target is None:
            return None
        tried = (self._believed(t) for t in self.trials.values() if t.status == "ok" and not self._out(t))
        limits = self.goal.limits
        found = (t for t in tried if self.goal.reached(t.speed) and limits.verdict(t.losses) == "open")
        return min(found, key=lambda t: max(limits.excess(m, t.losses[m].loss) for m in limits), default=None)

    def likely(self) -> Believed | Plan | None:
        """After rejections, whose plans had looked as good. For a target the best candidate that keeps the limits
        the more probably the more were rejected; where the fastest plan is asked for, the most promising of all
        plans, measured or not, which the more looks at that."""
        if self.beliefs is None:
            return None
        if self.goal.target is None:
            return self.beliefs.promising()
        return self.best(inside=1 - 0.5 ** (len(self.rejected) + 1))

    def skip(self, plan: Plan, latency: Latency, best: Believed | None) -> str | None:
        """Why a plan that was timed so need not be scored, by how fast it is believed to be. None where it may
        become better than ``best``."""
        return self.goal.skip(self._believe(plan, latency), best)

    def may_retime(self, trial: Trial) -> bool:
        """The trial missed the target, or is slower than the best, by fewer pairs of times than a verdict has."""
        if trial.latency is None or trial.status == "failed" or self._out(trial):
            return False
        if len(trial.latency.times_s) >= self._options.pairs:
            return False
        if self.goal.target is None:
            return trial.status == "skipped" and not self.unfinished(trial)
        return not self.goal.reached(self._believed(trial).speed)

    def unfinished(self, trial: Trial) -> bool:
        """It was skipped for one that is no longer better, or scored on a few prompts that leave it open."""
        if trial.status == "skipped" and trial.latency:
            speed = self._believed(trial).speed
            return speed is not None and self.goal.skip(speed, self.best()) is None
        return trial.status == "ok" and not tells(trial, self.goal, self._options, self.metrics)

    def _out(self, trial: Trial) -> bool:
        """Its plan is no candidate any more, or not now."""
        return trial.plan in self.rejected or trial.plan in self.aside

    def _counted(self, trial: Trial) -> Believed:
        """The plan of a search's trial by the figures that count for it: its verdict's, where it held."""
        held = self.accepted.get(trial.plan)
        return Believed.as_measured(held) if held else self._believed(trial)

    def _believe(self, plan: Plan, latency: Latency) -> Speed:
        return self.beliefs.speed(plan, latency) if self.beliefs else latency

    def _believed(self, trial: Trial) -> Believed:
        if trial.latency is None:
            return Believed.as_measured(trial)
        found = self._seen.get(trial.plan)
        if found is None or found.trial is not trial:
            found = Believed(trial, self._believe(Plan.parse(trial.plan), trial.latency))
            self._seen[trial.plan] = found
        return found

    def _reopen(self) -> None:
        """Settles anew which plans are open; those that were not scored are open again."""
        for space in self.spaces:
            space.reset()
        for trial in self.trials.values():
            if trial.status != "skipped":
                self._close(trial)

    def _close(self, trial: Trial) -> None:
        """Closes the plan itself and those that it shows to be no candidates."""
        plan, goal = Plan.parse(trial.plan), self.goal
        meets = goal.admits(self._believed(trial)) and not self._out(trial)
        toward_mild = goal.target is not None and goal.prefer in ("closest", "best-quality")
        for space in self.spaces:
            if plan.methods == space.methods:
                space.close(plan)
            if self.beliefs:
                continue
            if goal.outside(trial) or (meets and toward_mild):
                space.close_stronger(plan)
            if (meets and not toward_mild) or _too_slow(trial.latency, goal):
                space.close_milder(plan)


def _too_slow(latency: Latency | None, goal: Goal) -> bool:
    return latency is not None and goal.out_of_reach(latency)
