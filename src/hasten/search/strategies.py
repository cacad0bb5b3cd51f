"""The strategies, which decide the order of trials. Each measures through the session until it is done."""

from __future__ import annotations

from collections.abc import Callable

import optuna
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from hasten.errors import InputError
from hasten.plan import Plan
from hasten.predict.space import Space
from hasten.records import Trial
from hasten.search.guided import guided
from hasten.search.joint import Joint
from hasten.search.session import Session, Strategy

SAMPLED_TRIALS = 200
REPEATS = 50
"""The number of consecutive proposals without an open plan that end a sampled search."""


def traversal(session: Session) -> None:
    """Measures the plans in the original's exhaustive order, mildest to strongest, without those that dominance
    rules out.

    ``--prefer first`` stops at the first plan that meets the target.
    """
    for space in session.ledger.spaces:
        for plan in space:
            if session.spent or session.found_first:
                return
            session.measure(plan)


def sampled(sampler: Callable[[int], BaseSampler]) -> Strategy:
    """Returns a strategy that draws plans from one of Optuna's samplers over the same grid.

    The sampler's own study lives in memory and is replayed from the seed: with the trials of the store, a search
    that is resumed makes the same proposals and measures only what is missing. The study's two values are the
    speedup and the excess over the limits, so that plans inside the limits are compared by speed alone.
    """

    def search(session: Session) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler(session.options.seed))
        ledger, most, repeats = session.ledger, session.budget.max_trials or SAMPLED_TRIALS, 0
        seen: set[Plan] = set()
        session.reporter.expect(most)
        while len(ledger.trials) < most and repeats < REPEATS and ledger.any_open:
            if session.spent or session.found_first:
                return
            repeats = 0 if _propose(study, session, seen) else repeats + 1
        session.budget.ended |= ledger.any_open

    return search


def _propose(study: optuna.Study, session: Session, seen: set[Plan]) -> bool:
    """Takes one proposal and tells its trial to the study. Returns False where its plan was proposed before or is
    closed."""
    proposal = study.ask()
    space, plan = _drawn(proposal, session)
    fresh = plan not in seen and space.is_open(plan)
    seen.add(plan)
    trial = session.measure(plan) if fresh else session.ledger.trials.get(plan)
    if trial is None or trial.status != "ok":
        study.tell(proposal, state=TrialState.PRUNED)
    else:
        study.tell(proposal, [trial.speedup, _excess(trial, session)])
    return fresh


def _drawn(proposal: optuna.Trial, session: Session) -> tuple[Space, Plan]:
    spaces = {"+".join(space.methods): space for space in session.ledger.spaces}
    name = proposal.suggest_categorical("methods", list(spaces))
    space = spaces[name]
    index = (proposal.suggest_categorical(f"{name}/{a.method}.{a.name}", range(len(a.values))) for a in space.axes)
    return space, space.plan(tuple(index))


def _excess(trial: Trial, session: Session) -> float:
    limits = session.ledger.goal.limits
    return max((max(0.0, limits.excess(m, trial.losses[m].loss)) for m in limits), default=0.0)


def _gaussian_process(seed: int) -> BaseSampler:
    try:
        return GPSampler(seed=seed)
    except ImportError:
        message = "The strategy gp needs scipy, which is not installed: pip install 'hasten[gp]', or take guided."
        raise InputError(message) from None


STRATEGIES: dict[str, Strategy] = {
    "auto": guided,
    "guided": guided,
    "traversal": traversal,
    "random": sampled(lambda seed: RandomSampler(seed=seed)),
    "tpe": sampled(lambda seed: TPESampler(seed=seed)),
    "gp": sampled(_gaussian_process),
    "nsga2": sampled(lambda seed: NSGAIISampler(seed=seed, population_size=20)),
}


def predicts(strategy: Strategy) -> bool:
    """Returns whether the strategy uses predicted speeds, for which the baseline is profiled."""
    return strategy is guided or isinstance(strategy, Joint)
