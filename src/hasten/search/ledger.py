"""The books of one search: its trials, its verdicts, and what it believes about plans."""

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
"""The metric that every trial has beside the limited ones, as CLIP alone cannot tell that images left the
reference."""


class Beliefs(Protocol):
    """What a strategy believes about plans."""

    def speed(self, plan: Plan, latency: Latency) -> Speed:
        """Returns the believed speed of a plan whose search trial has that latency, with predictions taken into
        account."""

    def inside(self, plan: Plan) -> float:
        """Returns the probability that the plan keeps all limits."""

    def learn(self) -> None:
        """Takes in all trials so far, including those on held-out prompts."""

    def promising(self, than: Trial | None = None) -> Plan | None:
        """Returns the plan with the greatest expected gain, or None where no plan is faster than the baseline.

        The expected gain is the log speedup times the probability that the plan keeps the limits; that probability
        is raised to a power that grows with the number of verdicts. All plans count, measured or not, that were
        neither rejected nor accepted. With ``than``, an answer in hand, the gain is over its speedup and has to be
        worth a verdict.
        """


class Ledger:
    """The books of a search, which measures nothing itself.

    Attributes:
        asked: the goal of the task.
        goal: the present goal, which in the end may be less than was asked.
        spaces: the grids of plans, in which the ledger closes plans that trials have decided.
        trials: the trials on the search's prompts by plan, in the order of the search.
        fresh: the plans of those trials that this search measured itself instead of finding them in the store.
        verdicts: the trials on held-out prompts by plan, in their order.
        rejected: the verdicts of plans that fell short there, which are no candidates any more.
        accepted: the verdicts of plans that held. Their figures replace those of the search.
        aside: the verdicts of plans that are only likely to hold, which are no candidates while a surer plan is
            looked for.
        beliefs: what the strategy believes about plans; None where it takes measurements as they are.
    """

    def __init__(self, goal: Goal, options: SearchOptions, spaces: Sequence[Space] = ()) -> None:
        self.asked = self.goal = goal
        self.spaces = tuple(spaces)
        self.trials: dict[Plan, Trial] = {}
        self.fresh: set[Plan] = set()
        self.verdicts: dict[Plan, Trial] = {}
        self.rejected: dict[Plan, Trial] = {}
        self.accepted: dict[Plan, Trial] = {}
        self.aside: dict[Plan, Trial] = {}
        self.beliefs: Beliefs | None = None
        self._options = options
        self._seen: dict[Plan, Believed] = {}

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics by which every trial is scored."""
        return tuple(sorted({*self.goal.limits, FIDELITY}))

    @property
    def begun(self) -> bool:
        """Whether a first trial was taken or, once less than the target is searched for, a first one that was
        scored."""
        if self.goal == self.asked:
            return bool(self.trials)
        return any(t.status != "skipped" for t in self.trials.values())

    @property
    def any_open(self) -> bool:
        return any(space.open.any() for space in self.spaces)

    def is_open(self, plan: Plan) -> bool:
        """Returns whether the plan is still to be decided."""
        return any(space.methods == plan.methods and space.is_open(plan) for space in self.spaces)

    def note(self, trial: Trial, *, fresh: bool) -> None:
        """Enters a trial on the search's prompts, and closes the plans that it decides."""
        self.trials[trial.plan] = trial
        if fresh:
            self.fresh.add(trial.plan)
        self._close(trial)

    def recall(self, trials: Iterable[Trial]) -> None:
        """Enters trials that were measured before, as this search's own, without closing plans."""
        self.trials |= {trial.plan: trial for trial in trials}

    def trust(self, beliefs: Beliefs) -> None:
        """Takes the speeds of measured plans from ``beliefs`` from now on. A speed is asked for once, until the
        next call.

        Predictions say more than dominance, so that no plan is closed any more for being milder or stronger than
        another.
        """
        self.beliefs, self._seen = beliefs, {}

    def reject(self, held_out: Trial) -> None:
        """Removes a plan from the candidates, by its held-out trial."""
        self.rejected[held_out.plan] = held_out
        self._reopen()

    def accept(self, held_out: Trial) -> None:
        """Replaces the search's figures of a plan by those of its held-out trial, which other plans may then
        surpass."""
        self.rejected.pop(held_out.plan, None)
        self.accepted[held_out.plan] = held_out
        self._reopen()

    def set_aside(self, held_out: Trial) -> None:
        """Removes a plan from the candidates, by its held-out trial, while a surer one is looked for."""
        self.aside[held_out.plan] = held_out
        self._reopen()

    def settle_for_less(self) -> None:
        """Makes the fastest plan inside the limits the goal, whatever the target was."""
        self.goal = replace(self.asked, target=None, prefer="fastest")
        self.rejected = {plan: t for plan, t in self.rejected.items() if not self.goal.candidate(t)}
        self._reopen()

    def best(self, *, sure: bool = False, inside: float = 0.0) -> Believed | None:
        """Returns the candidate that would be chosen now; of equally good ones the first.

        With ``sure``, only plans whose whole intervals are inside the limits count. With ``inside``, only plans
        that are believed to be inside with at least this probability count.
        """
        tried = (t for t in self.trials.values() if not self._no_candidate(t))
        found = (t for t in map(self._counted, tried) if self.goal.admits(t))
        if sure:
            found = (t for t in found if self.goal.limits.verdict(t.losses) == "inside")
        if self.beliefs and inside:
            believed = self.beliefs.inside
            found = (t for t in found if t.plan in self.accepted or believed(t.plan) >= inside)
        return min(found, key=self.goal.rank, default=None)

    def nearest_open(self) -> Believed | None:
        """Returns the plan nearest to the limits of those that meet the target and whose intervals do not rule it
        out."""
        if self.goal.target is None:
            return None
        tried = (self._believed(t) for t in self.trials.values() if t.status == "ok" and not self._no_candidate(t))
        limits = self.goal.limits
        found = (t for t in tried if self.goal.reached(t.speed) and limits.verdict(t.losses) == "open")
        return min(found, key=lambda t: max(limits.excess(m, t.losses[m].loss) for m in limits), default=None)

    def likely(self) -> Believed | Plan | None:
        """Returns the plan to confirm after rejections, whose plans had looked just as good.

        For a target it is the best candidate that keeps the limits with a probability that grows with each
        rejection. Where the fastest plan is asked for, it is the most promising of all plans, measured or not, for
        which that probability also counts more with each verdict.
        """
        if self.beliefs is None:
            return None
        if self.goal.target is None:
            return self.beliefs.promising()
        return self.best(inside=1 - 0.5 ** (len(self.rejected) + 1))

    def skip(self, plan: Plan, latency: Latency, best: Believed | None) -> str | None:
        """Returns why a plan with this latency need not be scored, or None where it may turn out better than
        ``best``."""
        return self.goal.skip(self._believe(plan, latency), best)

    def may_retime(self, trial: Trial) -> bool:
        """Returns whether more pairs of times might help a plan that missed the target, or was slower than the
        best.

        It must have fewer pairs than a verdict.
        """
        if trial.latency is None or trial.status == "failed" or self._no_candidate(trial):
            return False
        if len(trial.latency.times_s) >= self._options.pairs:
            return False
        if self.goal.target is None:
            return trial.status == "skipped" and not self.unfinished(trial)
        return not self.goal.reached(self._believed(trial).speed)

    def unfinished(self, trial: Trial) -> bool:
        """Returns whether scoring may go on: the plan it was skipped for is no longer better, or few prompts left
        it open."""
        if trial.status == "skipped" and trial.latency:
            speed = self._believed(trial).speed
            return speed is not None and self.goal.skip(speed, self.best()) is None
        return trial.status == "ok" and not tells(trial, self.goal, self._options, self.metrics)

    def _no_candidate(self, trial: Trial) -> bool:
        """Returns whether the trial's plan was rejected or set aside."""
        return trial.plan in self.rejected or trial.plan in self.aside

    def _counted(self, trial: Trial) -> Believed:
        """Returns the plan of a search's trial with the figures of its verdict where it held, and else with the
        believed ones."""
        held = self.accepted.get(trial.plan)
        return Believed.as_measured(held) if held else self._believed(trial)

    def _believe(self, plan: Plan, latency: Latency) -> Speed:
        return self.beliefs.speed(plan, latency) if self.beliefs else latency

    def _believed(self, trial: Trial) -> Believed:
        if trial.latency is None:
            return Believed.as_measured(trial)
        found = self._seen.get(trial.plan)
        if found is None or found.trial is not trial:
            found = Believed(trial, self._believe(trial.plan, trial.latency))
            self._seen[trial.plan] = found
        return found

    def _reopen(self) -> None:
        """Opens all plans again, and then closes those that the trials decide for the present goal. Skipped plans
        stay open."""
        for space in self.spaces:
            space.reset()
        for trial in self.trials.values():
            if trial.status != "skipped":
                self._close(trial)

    def _close(self, trial: Trial) -> None:
        """Closes the plan itself and the plans that it rules out."""
        plan, goal = trial.plan, self.goal
        meets = goal.admits(self._believed(trial)) and not self._no_candidate(trial)
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
