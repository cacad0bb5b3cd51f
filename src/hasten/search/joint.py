"""The joint strategy, for requests that leave the choice of methods open: exact speed, steps, solver and reuse."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hasten.plan import Plan
from hasten.predict.space import Space
from hasten.records import Trial
from hasten.search.believed import Believed
from hasten.search.guided import guided
from hasten.search.joint_spaces import Choice, kept_together
from hasten.search.session import Session

LEAST_EXACT = 1.02
"""The least speedup of an exact method that is kept for all later plans."""
PATIENCE_PLAIN, PATIENCE_SINGLES, PATIENCE_PAIRS = 6, 20, 10
"""The numbers of trials without a better plan that end each stage."""
EARLY = 10
"""The number of trials that there must be time for, to begin with methods that change no image."""
PAIRED = 3
"""The number of methods, the best ones alone, that are tried in pairs."""


class Joint:
    """Searches in stages, each of which knows what the ones before it found.

    *Exact*: methods that change no image are timed alone. Those that are surely faster go into all later plans,
    because they multiply with everything. *Plain*: fewer steps, and fewer steps of another solver, which any other
    plan has to beat. *Singles*: each other method alone and beside those. *Pairs*: the best of these together.

    Within a stage the guided strategy chooses the plans along the predicted front, with all trials so far. The
    grids only grow, so that earlier plans stay candidates. Called again, after a verdict rejected a plan, it goes
    on with the stages that are left, or with all grids.
    """

    def __init__(self, choice: Choice) -> None:
        self._choice, self._kept = choice, Plan()
        self._stages: list[Callable[[Session], None]] = [self._exact, self._plain, self._singles, self._pairs]
        self._begun = False

    def __call__(self, session: Session) -> None:
        if not self._begun:  # the grids of all stages were needed until here, to ask the store
            self._begun, session.ledger.spaces = True, ()
        if not self._stages:
            guided(session, PATIENCE_PAIRS)
        while self._stages and not (session.spent or session.found_first):
            self._stages.pop(0)(session)

    def _exact(self, session: Session) -> None:
        if not session.budget.affords(EARLY * session.options.num_samples):
            return  # what little can be measured begins with what gains most
        session.ledger.spaces = tuple(self._choice.alone())
        best: dict[str, Trial] = {}
        for plan in [plan for space in session.ledger.spaces for plan in space]:
            if session.spent or session.found_first:
                break
            trial = session.measure(plan)
            name = plan.methods[0]
            if self._gains(trial, session) and (name not in best or trial.speedup > best[name].speedup):
                best[name] = trial
        ranked = sorted(best.items(), key=lambda item: -item[1].speedup)
        self._kept = kept_together({name: trial.plan.parameters[name] for name, trial in ranked})

    def _gains(self, trial: Trial, session: Session) -> bool:
        """Returns whether a trial of an exact method shows that it is surely faster, and as exact as asked."""
        if trial.status != "ok" or trial.latency is None or not trial.feasible(session.ledger.goal.limits):
            return False
        low = trial.latency.interval[0] if trial.latency.interval else trial.speedup
        return low > 1 and trial.speedup >= LEAST_EXACT

    def _plain(self, session: Session) -> None:
        self._extend(session, self._choice.plain(self._kept), PATIENCE_PLAIN)

    def _singles(self, session: Session) -> None:
        self._extend(session, self._choice.singles(self._kept), PATIENCE_SINGLES)

    def _pairs(self, session: Session) -> None:
        best = self._best_methods(session)
        self._extend(session, self._choice.pairs(self._kept, best), PATIENCE_PAIRS)

    def _extend(self, session: Session, spaces: Sequence[Space], patience: int) -> None:
        if spaces:
            session.ledger.spaces = (*session.ledger.spaces, *spaces)
            guided(session, patience)

    def _best_methods(self, session: Session) -> list[str]:
        """Returns the methods whose fastest plan inside the limits is the fastest, the best first."""
        fastest: dict[str, float] = {}
        for trial in session.ledger.trials.values():
            if trial.status == "ok" and trial.feasible(session.ledger.goal.limits):
                for name in set(trial.plan.methods) & set(self._choice.others):
                    fastest[name] = max(fastest.get(name, 0.0), Believed.as_measured(trial).speedup)
        return sorted(fastest, key=lambda name: -fastest[name])[:PAIRED]
