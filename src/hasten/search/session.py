"""One search under way: measures plans, each at most once, keeps the books, and knows when to stop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

from hasten.measure.contract import Measures
from hasten.measure.stats import samples_of
from hasten.measure.timing import MOST_TIMES, Enough, UntilKnown
from hasten.options.table import MIN_SAMPLES
from hasten.plan import Plan
from hasten.predict.space import Space
from hasten.predict.speeds import Predictor, predictor_of
from hasten.records import Latency, Trial
from hasten.search._stored import Stored, tells
from hasten.search.budget import Budget
from hasten.search.held_out import HeldOut
from hasten.search.judge import Goal
from hasten.search.options import Beliefs, Progress, SearchOptions
from hasten.store import Store

FIDELITY = "ssim"
"""Measured beside the limited metrics in every trial: CLIP alone cannot tell that images left the reference."""

SEARCHING = ("search", "fallback")
"""The stages that take trials on the search's prompts."""


class Session:
    """What the strategies work with.

    ``asked`` is the goal of the task, ``goal`` what is searched for now: in the end perhaps less. ``trials``
    holds the trials on the search's prompts in the order of the search; ``rejected`` the held-out trials of
    plans that fell short there: no candidates any more, whatever the search measured; ``accepted`` those of
    plans that held: their figures count from then on, not the search's; ``aside`` those of plans that are only
    likely to hold: no candidates while a surer one is looked for.
    """

    def __init__(
        self,
        bench: Measures,
        store: Store,
        goal: Goal,
        options: SearchOptions,
        *,
        spaces: Sequence[Space] = (),
        progress: Callable[[Progress], None] | None = None,
        predictor: Callable[[], Predictor] | None = None,
    ) -> None:
        self.bench, self.store, self.options, self.spaces = bench, store, options, tuple(spaces)
        self._predictor = predictor
        self._beliefs: Beliefs | None = None
        self._seen: dict[str, tuple[Trial, Trial]] = {}
        self.asked = self.goal = goal
        self.trials: dict[str, Trial] = {}
        self.rejected: dict[str, Trial] = {}
        self.accepted: dict[str, Trial] = {}
        self.aside: dict[str, Trial] = {}
        self.held_out = HeldOut(bench, store, options, self.metrics)
        self.budget = Budget(options, bench.setting.batch_size)
        self.out_of_budget, self.longer = False, ""
        asked: dict[str, Any] = {"asked": goal.target, "limits": dict(goal.limits)}
        self._progress, self._state = progress, Progress("search", planned=sum(map(len, self.spaces)), **asked)
        self._expected: int | None = None
        self._fresh: set[str] = set()

    def nearest_open(self) -> Trial | None:
        """Of the trials that meet the target and may yet be inside the limits the one nearest to them."""
        if self.goal.target is None:
            return None
        tried = (self._believed(t) for t in self.trials.values() if t.status == "ok" and not self._out(t))
        limits = self.goal.limits
        found = (t for t in tried if self.goal.reached(t.latency) and limits.verdict(t.losses) == "open")
        return min(found, key=lambda t: max(limits.excess(m, t.losses[m].loss) for m in limits), default=None)

    def trust(self, beliefs: Beliefs) -> None:
        """Takes search trials' latencies for what is believed of them from now on. Each is asked for once: call
        this again when there is more to believe.

        Predictions tell more than dominance, so that plans are no longer left out for being milder or stronger.
        """
        self._beliefs, self._seen = beliefs, {}

    def likely(self) -> Trial | Plan | None:
        """After rejections, whose plans had looked as good. For a target the best candidate that keeps the limits
        the more probably the more were rejected; where the fastest plan is asked for, the most promising of all
        plans, measured or not, which the more looks at that."""
        if self._beliefs is None:
            return None
        if self.goal.target is None:
            return self._beliefs.promising()
        return self.best(inside=1 - 0.5 ** (len(self.rejected) + 1))

    def hoped(self, holder: Trial) -> Plan | None:
        """With an answer in hand, where the fastest is asked for: the plan that promises most beyond it."""
        if self._beliefs is None or not self.goal.fastest_wins or self.spent:
            return None
        self._beliefs.learn()
        return self._beliefs.promising(holder)

    def foresee(self, *, profiled: bool) -> None:
        """Says before anything is measured by how much the answer exceeds the time that it may take."""
        searched = bool(self.spaces)
        self.longer = self.budget.foresee(self.bench, self.store, searched=searched, profiled=profiled)
        if self.longer:
            self.tell(message=self.longer)

    @property
    def metrics(self) -> tuple[str, ...]:
        return tuple(sorted({*self.goal.limits, FIDELITY}))

    @property
    def late(self) -> bool:
        """The budget of time is used up but for what must follow. Never before a first trial was measured, and
        once less than the target is searched for, never before one was scored."""
        begun = (
            self.trials if self.goal == self.asked else any(t.status != "skipped" for t in self.trials.values())
        )
        late = bool(begun) and self.budget.over
        self.out_of_budget |= late
        return late

    @property
    def spent(self) -> bool:
        """No further plan may be tried: the budget of trials or of time is used up."""
        limit = self.options.max_trials
        spent = limit is not None and len(self.trials) >= limit
        self.out_of_budget |= spent and self.any_open
        return spent or self.late

    @cached_property
    def predictor(self) -> Predictor:
        """What is known of speeds beforehand; a profile of the baseline is taken for it when first asked for."""
        if self._predictor is not None:
            return self._predictor()
        return predictor_of(self.bench, self.store, lambda words: self.tell(message=words))

    @cached_property
    def elsewhere(self) -> tuple[Trial, ...]:
        """Trials of these plans with other schedulers and steps: a hint, before any is measured here."""
        found = (t for space in self.spaces for t in self.store.elsewhere(space.methods))
        return tuple(t for t in found if any(space.holds(Plan.parse(t.plan)) for space in self.spaces))

    @property
    def found_first(self) -> bool:
        """The first plan that meets the target is at hand, and is all that is asked for."""
        return self.goal.first_wins and self.best() is not None

    def best(self, *, sure: bool = False, inside: float = 0.0) -> Trial | None:
        """The trial that would be chosen now: the first of the best that are candidates.

        ``sure``: of those whose whole intervals are inside the limits; ``inside``: of those that are believed to
        be inside at least so probably.
        """
        tried = (t for t in self.trials.values() if not self._out(t))
        known = (self.accepted.get(t.plan) or self._believed(t) for t in tried)
        found = (t for t in known if self.goal.candidate(t))
        if sure:
            found = (t for t in found if self.goal.limits.verdict(t.losses) == "inside")
        if self._beliefs and inside:
            believed = self._beliefs.inside
            found = (t for t in found if t.plan in self.accepted or believed(Plan.parse(t.plan)) >= inside)
        return min(found, key=self.goal.rank, default=None)

    def may_retime(self, trial: Trial) -> bool:
        """The trial missed the target, or is slower than the best, by fewer pairs of times than a verdict has."""
        if trial.latency is None or trial.status == "failed" or self._out(trial):
            return False
        if len(trial.latency.times_s) >= self.options.pairs:
            return False
        if self.goal.target is None:
            return trial.status == "skipped" and not self.unfinished(trial)
        return not self.goal.reached(self._believed(trial).latency)

    def measure(self, plan: Plan, decisive: float | None = None, few: bool = False) -> Trial:
        """The plan's trial on the search's prompts, from the store where it is there and tells enough.

        One that missed the target is timed again, in as many pairs as a verdict has and up to four times as many,
        until its speedup is known to be above or below ``decisive``. With ``few`` it is scored on only a few more
        prompts than before, though they leave it open.
        """
        best, own = self.best(), self.trials.get(str(plan))
        best = None if best and best.plan == str(plan) else best  # it need not be better than itself
        again = decisive is not None and own is not None and self.may_retime(own)
        have = samples_of(own.losses) if own else 0
        least = min(have + MIN_SAMPLES, self.options.num_samples) if few else None
        stored = self._stored(plan, best)
        trial = None if again else stored.settled(least)
        if trial is None:
            begun, before_s = None if again else stored.begun(), self.budget.elapsed_s
            trial = self.bench.trial(
                plan,
                samples=self.options.num_samples,
                pairs=self._pairs(again),
                metrics=self.metrics,
                enough=self._surely(decisive) if again and decisive else partial(self.goal.hopeless, best=best),
                worth_scoring=stored.not_worth,
                stop_early=partial(stored.enough, least=least),
                begun=begun,
                report=self._reporting(plan),
            )
            self.store.add(trial)
            self._fresh.add(trial.plan)
            self.budget.learn(trial, begun, self.budget.elapsed_s - before_s)
        self.trials[trial.plan] = trial
        self._learn(trial)
        self.tell(trial=trial, best=self.best())
        return trial

    def _stored(self, plan: Plan, best: Trial | None) -> Stored:
        """What the store has of the plan, which is to be better than ``best``."""
        goal, own = self.goal, self.trials.get(str(plan))
        pairs = len(own.latency.times_s) if own and own.latency else 0
        # What was timed again is not settled any more by the fewer pairs from before.
        history = [t for t in self.store.history(plan) if t.latency is None or len(t.latency.times_s) >= pairs]
        return Stored(
            history=history,
            goal=goal,
            options=self.options,
            metrics=self.metrics,
            best=best,
            not_worth=lambda latency: goal.skip(self._believe(plan, latency), best),
        )

    def _pairs(self, again: bool) -> int:
        """The most pairs of times: a target is missed or not, of the fastest only the next is looked for."""
        if not again:
            return self.options.search_pairs
        return self.options.pairs * (MOST_TIMES if self.goal.target else 1)

    def unfinished(self, trial: Trial) -> bool:
        """It was skipped for one that is no longer better, or scored on a few prompts that leave it open."""
        if trial.status == "skipped" and trial.latency:
            believed = self._believed(trial).latency
            return believed is not None and self.goal.skip(believed, self.best()) is None
        return trial.status == "ok" and not tells(trial, self.goal, self.options, self.metrics)

    def _surely(self, decisive: float) -> Enough:
        """Ends a timing where the speedup's interval is on one side of it, or known well enough."""
        return UntilKnown(
            self.options.pairs, lambda low, high: low >= decisive or high < decisive, self.options.confidence
        )

    def confirm(self, chosen: Trial | Plan, whole: bool = False) -> Trial:
        """The plan's trial on held-out prompts and seeds, all of them scored: ``HeldOut.measure``."""
        plan = chosen if isinstance(chosen, Plan) else Plan.parse(chosen.plan)
        self.tell(stage="confirm", message=str(plan))
        return self.held_out.measure(plan, self.goal, self._reporting(plan), whole)

    def confirm_further(self, held_out: Trial) -> Trial:
        """A rejected plan's trial on more held-out prompts; where it holds there it is rejected no longer."""
        self.tell(stage="confirm", message=f"{held_out.plan} on more prompts")
        trial = self.held_out.go_on(held_out, self.goal, self._reporting(Plan.parse(held_out.plan)))
        if self.goal.candidate(trial):
            del self.rejected[trial.plan]
            self.accept(trial)
        return trial

    def recall(self) -> None:
        """Takes the trials that the store has of these spaces for this search's own; nothing is measured."""
        for space in self.spaces:
            kept = self.store.trials(space.methods)
            self.trials |= {t.plan: t for t in kept if space.holds(Plan.parse(t.plan))}
        self.tell(best=self.best())

    def reject(self, held_out: Trial) -> None:
        """Takes a plan off the candidates, by its held-out trial."""
        self.rejected[held_out.plan] = held_out
        self._reopen()

    def accept(self, held_out: Trial) -> None:
        """Takes the held-out figures of a plan for its own: others may turn out better than these."""
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
        self.tell(stage="fallback")

    def is_open(self, plan: Plan) -> bool:
        """No trial settles the plan."""
        return any(space.methods == plan.methods and space.is_open(plan) for space in self.spaces)

    @property
    def any_open(self) -> bool:
        return any(space.open.any() for space in self.spaces)

    def _out(self, trial: Trial) -> bool:
        """Its plan is no candidate any more, or not now."""
        return trial.plan in self.rejected or trial.plan in self.aside

    def _reopen(self) -> None:
        """Settles anew which plans are open; those that were not scored are open again."""
        for space in self.spaces:
            space.reset()
        for trial in self.trials.values():
            if trial.status != "skipped":
                self._learn(trial)

    def tell(self, **news: Any) -> None:
        """Sends where the search stands."""
        plans = sum(map(len, self.spaces))
        left = sum(int(space.open.sum()) for space in self.spaces)
        counts: dict[str, Any] = {
            "planned": plans,
            "done": len(self.trials),
            "pruned": max(0, plans - left - len(self.trials)),
            "expected": self._in_all(left) if news.get("stage", self._state.stage) in SEARCHING else 0,
        }
        reused = len(self.trials.keys() - self._fresh)
        self._state = replace(self._state, **{"message": "", "trial": None, **counts, "reused": reused, **news})
        if self._progress:
            self._progress(self._state)

    def expect(self, trials: int) -> None:
        """Told by the strategy after how many trials in all it ends, as far as it can tell now."""
        self._expected = trials

    def _in_all(self, left: int) -> int:
        """The trials that the search takes in all: of those so far and all open plans, where nothing ends it."""
        ends = (len(self.trials) + left, self._expected, self.options.max_trials)
        return max(len(self.trials), min(end for end in ends if end is not None))

    @property
    def pruned(self) -> int:
        return self._state.pruned

    def _believe(self, plan: Plan, latency: Latency) -> Latency:
        return self._beliefs(plan, latency) if self._beliefs else latency

    def _believed(self, trial: Trial) -> Trial:
        if trial.latency is None:
            return trial
        own, believed = self._seen.get(trial.plan, (None, trial))
        if own is not trial:
            latency = self._believe(Plan.parse(trial.plan), trial.latency)
            believed = trial.model_copy(update={"latency": latency})
            self._seen[trial.plan] = trial, believed
        return believed

    def _reporting(self, plan: Plan) -> Callable[[str], None]:
        return lambda words: self.tell(message=f"{plan}: {words}")

    def _learn(self, trial: Trial) -> None:
        """Closes the plan itself and those that it shows to be no candidates."""
        plan, goal, trial = Plan.parse(trial.plan), self.goal, self._believed(trial)
        meets = goal.candidate(trial) and not self._out(trial)
        toward_mild = goal.target is not None and goal.prefer in ("closest", "best-quality")
        for space in self.spaces:
            if plan.methods == space.methods:
                space.close(plan)
            if self._beliefs:
                continue
            if goal.outside(trial) or (meets and toward_mild):
                space.close_stronger(plan)
            if (meets and not toward_mild) or _too_slow(trial.latency, goal):
                space.close_milder(plan)


def _too_slow(latency: Latency | None, goal: Goal) -> bool:
    return latency is not None and goal.out_of_reach(latency)
