"""Searches and confirms: a candidate is measured anew on prompts and seeds that the search never used, until one
holds."""

from __future__ import annotations

from typing import Literal

from hasten.plan import Plan
from hasten.records import Trial
from hasten.search.believed import Believed
from hasten.search.judge import Decision, decide
from hasten.search.session import Session, Strategy
from hasten.search.verdicts import MORE, confirm, confirm_further

State = Literal["looking", "surer", "faster", "hoping", "settled"]
"""The state of a pursuit.

- *looking*: no plan has held yet.
- *surer*: a plan is likely to hold, and a surer one is looked for.
- *faster*: a plan holds, and one that was measured to be clearly faster is looked for.
- *hoping*: a plan holds, and no measured plan is clearly faster. The next one to confirm is only believed to be,
    so that no further search is needed.
- *settled*: the plan in hand is the answer.
"""


def pursue(session: Session, strategy: Strategy) -> tuple[Decision, Trial | None]:
    """Searches and confirms until a candidate holds on held-out prompts.

    Where the fastest plan is asked for, it goes on until no plan is left that was measured to be clearly faster,
    or promises to be. A search picks the luckiest of many noisy trials, so that its choice may fail. The search
    then continues without it, and prefers plans that are likely to be inside the limits, or whose whole interval
    is inside, to those that are inside only by their mean.

    Before a target counts as out of reach, plans that exceed a limit by less than their intervals are confirmed as
    well, and at the end the nearest of the rejected ones is scored on more held-out prompts where these can still
    decide. Where the first plan that meets a target is asked for and one is only *likely* to, a surer one is
    looked for. The first verdict is taken however late it is.

    Returns:
        the decision and the held-out trial of the plan that held; ``("rejected", None)`` where no candidate is
            left, there is no time for one, or the budget's number of verdicts have failed.
    """
    held = _Pursuit(session, strategy).held()
    if held is None and (last := _last_hope(session)):
        held = confirm_further(session, last)
    if held is None or (decision := decide(held, session.ledger.goal)) == "rejected":
        return "rejected", None
    return decision, held


class _Pursuit:
    """The plan in hand, by its held-out trial, and the state of the pursuit."""

    def __init__(self, session: Session, strategy: Strategy) -> None:
        self._session, self._ledger, self._strategy = session, session.ledger, strategy
        self._state: State = "looking"
        self._holder: Trial | None = None

    def held(self) -> Trial | None:
        """Returns the trial of the plan that held, or is likely to hold, or None where none did."""
        for _ in range(self._session.budget.confirmations):
            if self._state != "hoping":
                score_skipped(self._session)
                self._strategy(self._session)
            chosen = self._next()
            if chosen is None or (self._ledger.verdicts and self._session.late):
                break
            self._take(confirm(self._session, chosen))
            if self._state == "settled":
                break
        return self._holder

    def _take(self, trial: Trial) -> None:
        """Enters a verdict into the ledger and updates the state."""
        decision, goal = decide(trial, self._ledger.goal), self._ledger.goal
        if decision == "rejected":
            self._ledger.reject(trial)
        elif decision == "likely" and goal.first_wins:
            self._ledger.set_aside(trial)
            self._holder, self._state = self._holder or trial, "surer"
        else:
            self._ledger.accept(trial)
            beside = [self._holder] if self._holder and self._state != "surer" else []
            self._holder = min([*beside, trial], key=lambda t: goal.rank(Believed.as_measured(t)))
            if not goal.fastest_wins:
                self._state = "settled"
            elif self._state == "looking":
                self._state = "faster"

    def _next(self) -> Believed | Plan | None:
        """Returns the plan to confirm next.

        With a plan in hand, it is one that is faster than its whole interval, or a surer one, or one that promises
        enough more to be worth a verdict.
        """
        if self._holder is None:
            return self._first()
        if self._state == "surer":
            return self._ledger.best(sure=True)
        best = self._ledger.best(sure=bool(self._ledger.rejected))
        surely = best and best.plan not in self._ledger.accepted and self._ledger.goal.beats(best, self._holder)
        self._state = "faster" if surely else "hoping"
        return best if surely else self._hoped(self._holder)

    def _first(self) -> Believed | Plan | None:
        """Returns the plan to confirm while none is in hand."""
        ledger = self._ledger
        if not ledger.rejected:
            return ledger.best() or ledger.nearest_open()
        return ledger.likely() or ledger.best(sure=True) or ledger.best() or ledger.nearest_open()

    def _hoped(self, holder: Trial) -> Plan | None:
        """Returns the plan that promises most beyond the one in hand, where the fastest is asked for."""
        beliefs = self._ledger.beliefs
        if beliefs is None or not self._ledger.goal.fastest_wins or self._session.spent:
            return None
        beliefs.learn()
        return beliefs.promising(holder)


def _last_hope(session: Session) -> Trial | None:
    """Returns the rejected plan that is scored on more prompts before a target counts as out of reach.

    It reaches the target, exceeds the limits by less than its intervals, and is the nearest to them.
    """
    goal, held = session.ledger.goal, session.ledger.rejected.values()
    if goal.target is None or session.late or not session.budget.affords((MORE - 1) * session.options.num_samples):
        return None
    near = [t for t in held if goal.reached(t.latency) and goal.limits.verdict(t.losses) == "open"]
    return min(near, key=lambda t: max(goal.limits.excess(m, t.losses[m].loss) for m in goal.limits), default=None)


def score_skipped(session: Session) -> None:
    """Scores plans that were skipped for a better one that was since rejected, or for an earlier goal.

    It begins with the fastest, so that without a target the first that is inside the limits ends it.
    """
    skipped = [t for t in session.ledger.trials.values() if t.status == "skipped"]
    for trial in sorted(skipped, key=lambda t: -t.speedup):
        plan = trial.plan
        if session.late:
            return
        if session.ledger.is_open(plan):
            session.measure(plan)
