"""Targets that no plan can come near, as the cost model predicts before anything is measured."""

from __future__ import annotations

import logging

import numpy as np

from hasten.predict.speeds import MAX_DEVIATIONS
from hasten.search.session import Session

logger = logging.getLogger(__name__)
FAR = 1.5
"""A target is far out of reach where it is this many times as fast as the fastest plan may be. A profile of a
restless machine may be wrong by more than the cost model knows, so that nearer targets are searched for."""
FEW_TRIALS, FEW_VERDICTS = 8, 3
"""The numbers of trials and of verdicts for the best plan in that case, where the user gives no budget."""


def out_of_reach(session: Session) -> str:
    """Returns why the target is far out of reach by the predicted speeds, or "" where it is not or no profile
    exists.

    Even the fastest plan must miss it by much more than the predictions may be wrong.
    """
    target, predictor = session.ledger.asked.target, session.predictor
    if target is None or predictor.baseline_s is None:
        return ""
    highest = _ceiling(session)
    if session.ledger.asked.reach(FAR * highest, predictor.baseline_s / highest / FAR) >= 1:
        return ""
    methods = ", ".join(sorted({name for space in session.ledger.spaces for name in space.methods}))
    return f"{target} is out of reach here: the cost model expects at most {highest:.2f}x of {methods}"


def settle_for_the_best(session: Session, why: str) -> None:
    """Reports that the target is out of reach, and makes the search look for the best plan within the limits.

    It takes few trials, unless the user allows another number or a time.
    """
    session.budget.narrow(FEW_TRIALS, FEW_VERDICTS)
    logger.warning("%s. The best within %s is looked for now.", why, session.ledger.goal.limits)
    settle_for_less(session)
    session.reporter.tell(message=why)


def settle_for_less(session: Session) -> None:
    """Makes the search look for the fastest plan inside the limits, whatever the target was."""
    session.ledger.settle_for_less()
    session.budget.settle_for_less()
    session.reporter.tell(stage="fallback")


def _ceiling(session: Session) -> float:
    """Returns the highest speedup that a plan may have: the prediction plus its uncertainty."""
    predictor = session.predictor
    predictor.learn(session.ledger.trials.values())
    tops = (
        np.nanmax(np.log(predictor.speedups(space)) + MAX_DEVIATIONS * predictor.deviations(space))
        for space in session.ledger.spaces
    )
    return float(np.exp(max(tops)))
