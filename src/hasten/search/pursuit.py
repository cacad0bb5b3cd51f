"""The verdict: the chosen plan measured anew on prompts and seeds that the search never saw."""

from __future__ import annotations

from typing import Literal

from hasten.plan import Plan
from hasten.records import Trial
from hasten.search.believed import Believed
from hasten.search.judge import Decision, decide
from hasten.search.session import Session, Strategy
from hasten.search.verdicts import confirm, confirm_further

State = Literal["looking", "surer", "faster", "hoping", "settled"]
"""Where a pursuit stands.

- *looking*: no plan has held yet.
- *surer*: a plan is likely to hold, and a surer one is looked for.
- *faster*: a plan holds, and one that was measured to be clearly faster is looked for.
- *hoping*: a plan holds and nothing that was measured is clearly faster. What is confirmed next is only believed
  to be, so that there is no more to search for.
- *settled*: the plan in hand is the answer.
"""


def pursue(session: Session, strategy: Strategy) -> tuple[Decision, Trial | None]:
    """Searches and confirms until a candidate holds on held-out prompts, and where the fastest is asked for, until
    none is left that was measured clearly faster or promises to be.

    The search picks the luckiest of many noisy trials, so its choice may fail; then it goes on without it, and
    takes plans by how likely they are believed to be inside the limits, or whose whole interval is inside, before
    those that are only inside by their mean. Before a target is out of reach, plans that are over a limit by less
    than their intervals are confirmed as well. Where the first plan that meets a target is asked for and one is
    only *likely* to, a surer one is looked for. In the end the nearest of those that were rejected is scored on
    more held-out prompts, where they can still tell. The first verdict is taken however late it is.

    Returns:
        the decision and the held-out trial of the plan that held; ``(rejected, None)`` when no candidate is left,
        none has the time, or as many verdicts as the budget allows have failed.
    """
    held = _Pursuit(session, strategy).held()
    if held is None and (last := _last_hope(session)):
        held = confirm_further(session, last)
    if held is None or (decision := decide(held, session.ledger.goal)) == "rejected":
        return "rejected", None
    return decision, held


class _Pursuit:
    """The plan in hand, by its held-out trial, and what is looked for beyond it."""

    def __init__(self, session: Session, strategy: Strategy) -> None:
        self._session, self._ledger, self._strategy = session, session.ledger, strategy
        self._state: State = "looking"
        self._holder: Trial | None = None

    def held(self) -> Trial | None:
        """The trial of the plan that held, or is likely to; None where none did."""
        for _ in range(self._session.budget.confirmations):
            if self._state != "hoping":
                score_skipped(self._session)
                self._strategy(self._session)
            chosen = self._next()
            if chosen is None or (self._ledger.verdicts and self._session.late):  # no time for another verdict
                break
            self._take(confirm(self._session, chosen))
            if self._state == "settled":
                break
        return self._holder

    def _take(self, trial: Trial) -> None:
        """Enters a verdict into the books; what is looked for from now on."""
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
        """The plan to confirm: with one in hand, one that is faster than all its interval allows, or surer, or one
        that promises enough more to be worth a verdict."""
        if self._holder is None:
            return self._first()
        if self._state == "surer":
            return self._ledger.best(sure=True)
        best = self._ledger.best(sure=bool(self._ledger.rejected))
        surely = best and best.plan not in self._ledger.accepted and self._ledger.goal.beats(best, self._holder)
        self._state = "faster" if surely else "hoping"
        return best if surely else self._hoped(self._holder)

    def _first(self) -> Believed | Plan | None:
        """The plan to confirm while none is in hand."""
        ledger = self._ledger
        if not ledger.rejected:
            return ledger.best() or ledger.nearest_open()
        return ledger.likely() or ledger.best(sure=True) or ledger.best() or ledger.nearest_open()

    def _hoped(self, holder: Trial) -> Plan | None:
        """Where the fastest is asked for: the plan that promises most beyond the one in hand."""
        beliefs = self._ledger.beliefs
        if beliefs is None or not self._ledger.goal.fastest_wins or self._session.spent:
            return None
        beliefs.learn()
        return beliefs.promising(holder)


def _last_hope(session: Session) -> Trial | None:
    """Before a target is out of reach: the rejected plan that reaches it and is over the limits by the least, and
    by less than its intervals."""
    goal, held = session.ledger.goal, session.ledger.rejected.values()
    if goal.target is None or session.late:
        return None
    near = [t for t in held if goal.reached(t.latency) and goal.limits.verdict(t.losses) == "open"]
    return min(near, key=lambda t: max(goal.limits.excess(m, t.losses[m].loss) for m in goal.limits), default=None)


def score_skipped(session: Session) -> None:
    """Scores plans that were not worth it before and are now: a better one was rejected, or the goal is another.

    The fastest first, so that without a target the first that is inside the limits ends it.
    """
    skipped = [t for t in session.ledger.trials.values() if t.status == "skipped"]
    for trial in sorted(skipped, key=lambda t: -t.speedup):
        plan = Plan.parse(trial.plan)
        if session.late:
            return
        if session.ledger.is_open(plan):
            session.measure(plan)
