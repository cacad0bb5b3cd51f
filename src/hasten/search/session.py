"""One search under way: it measures plans on the search's prompts, each at most once, within its budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, partial

from hasten.measure.contract import Measures, TrialSpec
from hasten.measure.stats import samples_of
from hasten.measure.timing import MOST_TIMES, Enough, UntilKnown
from hasten.options.table import MIN_SAMPLES
from hasten.plan import Plan
from hasten.predict.space import Space
from hasten.predict.speeds import Predictor, predictor_of
from hasten.records import Trial
from hasten.search.believed import Believed
from hasten.search.budget import Budget
from hasten.search.earlier_trials import Stored
from hasten.search.judge import Goal
from hasten.search.ledger import Ledger
from hasten.search.options import SearchOptions
from hasten.search.progress import Progress, Reporter
from hasten.store import Store


class Session:
    """What a strategy works with: the ledger, what is left of the budget, and the measuring of plans.

    What is measured here are a search's own trials. Verdicts are taken by ``hasten.search.verdicts``, which no
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
        progress: Callable[[Progress], None] | None = None,
        predictor: Callable[[], Predictor] | None = None,
    ) -> None:
        self.bench, self.store, self.options = bench, store, options
        self.ledger = Ledger(goal, options, spaces)
        self.budget = Budget(options, bench.setting.batch_size)
        self.reporter = Reporter(self.ledger, self.budget, progress)
        self._predictor = predictor

    @property
    def late(self) -> bool:
        """The budget of time is used up but for what must follow. Never before a first trial was taken."""
        late = self.ledger.begun and self.budget.over
        self.budget.ended |= late
        return late

    @property
    def spent(self) -> bool:
        """No further plan may be tried: the budget of trials or of time is used up."""
        used = self.budget.used(len(self.ledger.trials))
        self.budget.ended |= used and self.ledger.any_open
        return used or self.late

    @property
    def found_first(self) -> bool:
        """The first plan that meets the target is at hand, and is all that is asked for."""
        return self.ledger.goal.first_wins and self.ledger.best() is not None

    @cached_property
    def predictor(self) -> Predictor:
        """What is known of speeds beforehand; a profile of the baseline is taken for it when first asked for."""
        if self._predictor is not None:
            return self._predictor()
        return predictor_of(self.bench, self.store, lambda words: self.reporter.tell(message=words))

    @cached_property
    def elsewhere(self) -> tuple[Trial, ...]:
        """Trials of these plans with other schedulers and steps: a hint, before any is measured here."""
        spaces = self.ledger.spaces
        found = (t for space in spaces for t in self.store.trials_of_similar_settings(space.methods))
        return tuple(t for t in found if any(space.holds(Plan.parse(t.plan)) for space in spaces))

    def foresee(self, *, profiled: bool) -> None:
        """Says before anything is measured by how much the answer exceeds the time that it may take."""
        searched = bool(self.ledger.spaces)
        if longer := self.budget.foresee(self.bench, self.store, searched=searched, profiled=profiled):
            self.reporter.tell(message=longer)

    def recall(self) -> None:
        """Takes the trials that the store has of these spaces for this search's own; nothing is measured."""
        for space in self.ledger.spaces:
            kept = self.store.trials(space.methods)
            self.ledger.recall(t for t in kept if space.holds(Plan.parse(t.plan)))
        self.reporter.tell(best=self.ledger.best())

    def measure(self, plan: Plan, decisive: float | None = None, few: bool = False) -> Trial:
        """The plan's trial on the search's prompts, from the store where it is there and tells enough.

        One that missed the target is timed again, in as many pairs as a verdict has and up to four times as many,
        until its speedup is known to be above or below ``decisive``. With ``few`` it is scored on only a few more
        prompts than before, though they leave it open.
        """
        best, own = self.ledger.best(), self.ledger.trials.get(str(plan))
        best = None if best and best.plan == str(plan) else best  # it need not be better than itself
        timed_again = (
            decisive if decisive is not None and own is not None and self.ledger.may_retime(own) else None
        )
        have = samples_of(own.losses) if own else 0
        least = min(have + MIN_SAMPLES, self.options.num_samples) if few else None
        stored = self._stored(plan, best)
        known = stored.settled(least) if timed_again is None else None
        trial = known or self._measured(plan, stored, least, timed_again)
        self.ledger.note(trial, fresh=known is None)
        self.reporter.tell(trial=trial, best=self.ledger.best())
        return trial

    def _measured(self, plan: Plan, stored: Stored, least: int | None, timed_again: float | None) -> Trial:
        """A new trial of the plan, which goes on from the stored one where its times will do.

        ``least``: so many prompts will do; ``timed_again``: the speedup that its times are to decide about.
        """
        again = timed_again is not None
        begun, before_s = None if again else stored.begun(), self.budget.elapsed_s
        hopeless = partial(self.ledger.goal.hopeless, best=stored.best)
        spec = TrialSpec(
            samples=self.options.num_samples,
            pairs=self._pairs(again),
            metrics=self.ledger.metrics,
            enough=self._surely(timed_again) if timed_again else hopeless,
            stop_early=partial(stored.enough, least=least),
            worth_scoring=stored.not_worth,
            begun=begun,
        )
        trial = self.bench.trial(plan, spec, report=self.reporter.measuring(plan))
        self.store.add(trial)
        self.budget.learn(trial, begun, self.budget.elapsed_s - before_s)
        return trial

    def _stored(self, plan: Plan, best: Believed | None) -> Stored:
        """What the store has of the plan, which is to be better than ``best``."""
        ledger = self.ledger
        own = ledger.trials.get(str(plan))
        pairs = len(own.latency.times_s) if own and own.latency else 0
        # What was timed again is not settled any more by the fewer pairs from before.
        history = [t for t in self.store.history(plan) if t.latency is None or len(t.latency.times_s) >= pairs]
        return Stored(
            history=history,
            goal=ledger.goal,
            options=self.options,
            metrics=ledger.metrics,
            best=best,
            not_worth=lambda latency: ledger.skip(plan, latency, best),
        )

    def _pairs(self, again: bool) -> int:
        """The most pairs of times: a target is missed or not, of the fastest only the next is looked for."""
        if not again:
            return self.options.search_pairs
        return self.options.pairs * (MOST_TIMES if self.ledger.goal.target else 1)

    def _surely(self, decisive: float) -> Enough:
        """Ends a timing where the speedup's interval is on one side of it, or known well enough."""
        return UntilKnown(
            self.options.pairs, lambda low, high: low >= decisive or high < decisive, self.options.confidence
        )


Strategy = Callable[[Session], None]
"""Measures plans in its own order until it is done."""
