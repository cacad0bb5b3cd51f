"""A search under way: it measures each plan at most once on the search's prompts, within its budget."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import cached_property, partial

from hasten.measure.contract import Measures, TrialSpec
from hasten.measure.stats import samples_of
from hasten.measure.timing import LONGEST_S, MOST_TIMES, Enough, UntilKnown
from hasten.options.table import MIN_SAMPLES
from hasten.plan import Plan
from hasten.predict.space import Space
from hasten.predict.speeds import Predictor, predictor_of
from hasten.records import Trial
from hasten.search.believed import Believed
from hasten.search.budget import Budget
from hasten.search.earlier_trials import EarlierTrials
from hasten.search.judge import Goal
from hasten.search.ledger import Ledger
from hasten.search.options import SearchOptions
from hasten.search.progress import Listener, Reporter
from hasten.store import Store

HINTS = 256
"""The most trials of other settings that a search learns from. They tell little, and the time of learning grows
with the third power of their number."""


class Session:
    """The ledger, the budget and the measuring of plans, which a strategy works with.

    Only the search's own trials are measured here. Verdicts are taken by ``hasten.search.verdicts``, which no
    strategy uses.
    """

    def __init__(
        self,
        bench: Measures,
        store: Store,
        goal: Goal,
        options: SearchOptions,
        *,
        spaces: Sequence[Space] = (),
        progress: Listener | None = None,
        predictor: Callable[[], Predictor] | None = None,
    ) -> None:
        self.bench, self.store, self.options = bench, store, options
        self.ledger = Ledger(goal, options, spaces)
        self.budget = Budget(options, bench.setting.batch_size)
        self.reporter = Reporter(self.ledger, self.budget, progress)
        self._predictor = predictor

    @property
    def late(self) -> bool:
        """Whether the rest of the time is needed for what must follow the search. It is never so before the first
        trial."""
        late = self.ledger.begun and self.budget.over
        self.budget.ended |= late
        return late

    @property
    def spent(self) -> bool:
        """Whether no further plan may be tried, because the budget of trials or of time is used up."""
        used = self.budget.used(len(self.ledger.trials))
        self.budget.ended |= used and self.ledger.any_open
        return used or self.late

    @property
    def found_first(self) -> bool:
        """Whether the first plan that meets the target was found, and the request asks for no other."""
        return self.ledger.goal.first_wins and self.ledger.best() is not None

    @cached_property
    def predictor(self) -> Predictor:
        """The predictor of speeds. For the first use, a profile of the baseline is taken."""
        if self._predictor is not None:
            return self._predictor()
        return predictor_of(self.bench, self.store, lambda words: self.reporter.tell(message=words))

    @cached_property
    def trials_of_similar_settings(self) -> tuple[Trial, ...]:
        """The newest stored trials of these plans with other schedulers and numbers of steps, as a hint before any
        is measured here. Each space has as many as any other, as far as it has them."""
        spaces = self.ledger.spaces
        found = (
            [t for t in self.store.trials_of_similar_settings(s.methods, HINTS) if s.holds(t.plan)] for s in spaces
        )
        in_turn = itertools.chain.from_iterable(itertools.zip_longest(*found))
        return tuple(itertools.islice(filter(None, in_turn), HINTS))

    def foresee(self, *, profiled: bool) -> None:
        """Reports before anything is measured by how much the answer will exceed the time that it may take."""
        searched = bool(self.ledger.spaces)
        if longer := self.budget.foresee(self.bench, self.store, searched=searched, profiled=profiled):
            self.reporter.tell(message=longer)

    def recall(self) -> None:
        """Takes the stored trials of these spaces as this search's own, without measuring any."""
        for space in self.ledger.spaces:
            kept = self.store.trials(space.methods)
            self.ledger.recall(t for t in kept if space.holds(t.plan))
        self.reporter.tell(best=self.ledger.best())

    def measure(self, plan: Plan, decisive: float | None = None, few: bool = False) -> Trial:
        """Returns the plan's trial on the search's prompts, from the store where one there suffices.

        A plan that missed the target is timed again until its speedup is known to be above or below ``decisive``,
        in as many pairs as a verdict has and up to four times as many. With ``few``, the plan is scored on only a
        few more prompts than before, even if these leave it open. So it is where no time is left for more.
        """
        best, own = self.ledger.best(), self.ledger.trials.get(plan)
        best = None if best and best.plan == plan else best  # a plan does not have to beat itself
        timed_again = (
            decisive if decisive is not None and own is not None and self.ledger.may_retime(own) else None
        )
        have = samples_of(own.losses) if own else 0
        least = min(have + MIN_SAMPLES, self.options.num_samples) if few or self.budget.over else None
        earlier = self._earlier(plan, best)
        stored = earlier.sufficient(least) if timed_again is None else None
        trial = stored or self._measured(plan, earlier, least, timed_again)
        self.ledger.note(trial, fresh=stored is None)
        self.reporter.tell(trial=trial, best=self.ledger.best())
        return trial

    def _measured(self, plan: Plan, earlier: EarlierTrials, least: int | None, timed_again: float | None) -> Trial:
        """Returns a new trial of the plan, which builds on a stored one where its times suffice.

        ``least`` is a number of prompts that suffices, and ``timed_again`` the speedup that new times have to
        decide about.
        """
        again = timed_again is not None
        begun, before_s = None if again else earlier.begun(), self.budget.elapsed_s
        hopeless = partial(self.ledger.goal.hopeless, best=earlier.best)
        spec = TrialSpec(
            samples=self.options.num_samples,
            pairs=self._pairs(again),
            metrics=self.ledger.metrics,
            enough=self._surely(timed_again) if timed_again else hopeless,
            stop_early=partial(earlier.enough, least=least),
            worth_scoring=earlier.not_worth,
            begun=begun,
            keeps=self.store.keeps,
        )
        trial = self.bench.trial(plan, spec, report=self.reporter.measuring(plan))
        self.store.add(trial)
        self.budget.learn(trial, begun, self.budget.elapsed_s - before_s)
        return trial

    def _earlier(self, plan: Plan, best: Believed | None) -> EarlierTrials:
        """Returns the stored trials of the plan, which has to beat ``best``."""
        ledger = self.ledger
        own = ledger.trials.get(plan)
        pairs = len(own.latency.times_s) if own and own.latency else 0
        # A plan that was timed again is no longer decided by an earlier trial with fewer pairs.
        history = [t for t in self.store.history(plan) if t.latency is None or len(t.latency.times_s) >= pairs]
        return EarlierTrials(
            history=history,
            goal=ledger.goal,
            options=self.options,
            metrics=ledger.metrics,
            best=best,
            not_worth=lambda latency: ledger.skip(plan, latency, best),
        )

    def _pairs(self, again: bool) -> int:
        """Returns the most pairs of times. Against a target more pairs decide; without one, the next plan is
        looked for instead."""
        if not again:
            return self.options.search_pairs
        return self.options.pairs * (MOST_TIMES if self.ledger.goal.target else 1)

    def _surely(self, decisive: float) -> Enough:
        """Returns a condition that ends timing where the speedup's interval is on one side of ``decisive``, or
        narrow enough."""
        return UntilKnown(
            self.options.pairs,
            lambda low, high: low >= decisive or high < decisive,
            self.options.confidence,
            self.budget.at_most(LONGEST_S),
        )


Strategy = Callable[[Session], None]
"""A strategy, which measures plans in an order of its own until it is done."""
