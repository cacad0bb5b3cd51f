"""What the store answers without measuring: a verdict that meets the target, or the upper bound."""

from __future__ import annotations

from hasten.plan import Plan
from hasten.records import Answered, Bound, Trial
from hasten.search.judge import decide
from hasten.search.session import Session
from hasten.search.verdicts import kept
from hasten.task import Task

Known = tuple[Answered, str, Trial | None]


def known(session: Session, task: Task) -> Known | None:
    """The status, the reason and the held-out trial that answer the task; None when it must be searched.

    A verdict that surely meets the target answers where the first such plan is asked for. An upper bound of the
    whole grid answers the question for it, and targets that even the upper end of its interval misses.
    """
    found = _meets(session) if session.ledger.goal.first_wins else None
    if found is None and not task.parameters:
        found = _bound(session, task)
    if found is not None:
        session.recall()
    return found


def keep_bound(session: Session, task: Task, status: Answered, reason: str, trial: Trial | None) -> None:
    """Keeps the answer to a task without target and fixed parameters as the upper bound of its methods."""
    if task.mode == "bound" and not task.parameters:
        bound = Bound(
            status=status, plan=trial.plan if trial else "", complete=not session.budget.ended, reason=reason
        )
        session.store.keep_bound(_asked(task), task.limits, session.options.num_samples, bound)


def _meets(session: Session) -> Known | None:
    """Of the verdicts that are *met*, one that surely reaches the target, and of these the closest to it."""
    goal, spaces = session.ledger.goal, session.ledger.spaces
    held = [t for space in spaces for t in kept(session, space) if decide(t, goal) == "met"]
    if not held:
        return None
    return "met", "", min(held, key=lambda t: (not goal.surely_reached(t), t.speedup))


def _bound(session: Session, task: Task) -> Known | None:
    bound = session.store.bound(_asked(task), task.limits, session.options.num_samples)
    if bound is None or not bound.complete:
        return None
    trial = session.store.find(Plan.parse(bound.plan), "held-out") if bound.plan else None
    if session.ledger.goal.target is None:
        return bound.status, bound.reason, trial
    if trial is None or trial.latency is None:
        return ("infeasible", "", None) if bound.status == "infeasible" else None
    return ("infeasible", "", trial) if session.ledger.goal.out_of_reach(trial.latency) else None


def _asked(task: Task) -> tuple[str, ...] | None:
    """The methods that a bound is of, by the names of its study; None: any."""
    if not task.chooses:
        return task.methods
    if task.one_of:
        return ("|".join(task.methods or ()),)
    return ("any", *(f"-{name}" for name in task.excluded), *(["exact"] if task.lossless else []))
