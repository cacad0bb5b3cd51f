"""Targets that no plan comes near, by what the cost model says before anything is measured."""

from __future__ import annotations

import logging

import numpy as np

from hasten.predict.speeds import WIDE
from hasten.search.session import Session

logger = logging.getLogger(__name__)
FAR = 1.5
"""So many times as fast as the fastest plan may be, a target is far out of reach: a profile of a restless machine
may be wrong by more than the cost model knows, and nearer targets are searched for."""
FEW_TRIALS, FEW_VERDICTS = 8, 3
"""What the best plan is then looked for in, where no budget is given."""


def out_of_reach(session: Session) -> str:
    """Why the target is far out of reach by the predicted speeds: even the fastest plan misses it by much more
    than these may be wrong. Nothing where it is not, or where no profile tells of speeds."""
    target, predictor = session.ledger.asked.target, session.predictor
    if target is None or predictor.baseline_s is None:
        return ""
    highest = _ceiling(session)
    if session.ledger.asked.reach(FAR * highest, predictor.baseline_s / highest / FAR) >= 1:
        return ""
    methods = ", ".join(sorted({name for space in session.ledger.spaces for name in space.methods}))
    return f"{target} is out of reach here: the cost model expects at most {highest:.2f}x of {methods}"


def settle_for_the_best(session: Session, why: str) -> None:
    """Says that the target is out of reach, and from now on looks for the best within the limits, in a few trials
    where the user allows no other number and no time."""
    session.budget.narrow(FEW_TRIALS, FEW_VERDICTS)
    logger.warning("%s. The best within %s is looked for now.", why, session.ledger.goal.limits)
    settle_for_less(session)
    session.reporter.tell(message=why)


def settle_for_less(session: Session) -> None:
    """From now on the fastest plan inside the limits is looked for, whatever the target was."""
    session.ledger.settle_for_less()
    session.reporter.tell(stage="fallback")


def _ceiling(session: Session) -> float:
    """The highest speedup that a plan may have: the prediction and as much more as it may be wrong."""
    predictor = session.predictor
    predictor.learn(session.ledger.trials.values())
    tops = (
        np.nanmax(np.log(predictor.speedups(space)) + WIDE * predictor.deviations(space))
        for space in session.ledger.spaces
    )
    return float(np.exp(max(tops)))
