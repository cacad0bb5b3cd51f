"""Answers from the store, without measuring: a verdict that meets the target, or the upper bound."""

from __future__ import annotations

from hasten.records import Answered, Bound, Trial
from hasten.search.judge import decide
from hasten.search.session import Session
from hasten.search.verdicts import complete_verdicts
from hasten.task import Task

StoredAnswer = tuple[Answered, str, Trial | None]
"""The status, the reason and the held-out trial of an answer."""


JOINT = "any together"
"""What bounds of a joint search are stored under: earlier versions left out methods under other names."""


def stored_answer(session: Session, task: Task) -> StoredAnswer | None:
    """Returns the answer to the task that the store holds, or None where it must be searched for.

    A verdict that surely meets the target is the answer where the first such plan is asked for. A stored upper
    bound of the whole grid answers the question for it, and targets beyond the upper end of its interval.
    """
    found = _meets(session) if session.ledger.goal.first_wins else None
    if found is None and not task.parameters:
        found = _bound(session, task)
    if found is not None:
        session.recall()
    return found


def keep_bound(session: Session, task: Task, status: Answered, reason: str, trial: Trial | None) -> None:
    """Stores the answer to a task without target and fixed parameters as the upper bound of its methods."""
    if task.mode == "bound" and not task.parameters:
        plan = trial.plan if trial else None
        bound = Bound(status=status, plan=plan, complete=not session.budget.ended, reason=reason)
        session.store.keep_bound(_asked(session, task), task.limits, session.options.num_samples, bound)


def _meets(session: Session) -> StoredAnswer | None:
    """Returns the *met* verdict that is closest to the target, one that surely reaches it first."""
    goal, spaces = session.ledger.goal, session.ledger.spaces
    held = [t for space in spaces for t in complete_verdicts(session, space) if decide(t, goal) == "met"]
    if not held:
        return None
    return "met", "", min(held, key=lambda t: (not goal.surely_reached(t), t.speedup))


def _bound(session: Session, task: Task) -> StoredAnswer | None:
    bound = session.store.bound(_asked(session, task), task.limits, session.options.num_samples)
    if bound is None or not bound.complete:
        return None
    trial = None if bound.plan is None else session.store.find(bound.plan, "held-out")
    if session.ledger.goal.target is None:
        return bound.status, bound.reason, trial
    if trial is None or trial.latency is None:
        return ("infeasible", "", None) if bound.status == "infeasible" else None
    return ("infeasible", "", trial) if session.ledger.goal.out_of_reach(trial.latency) else None


def _asked(session: Session, task: Task) -> tuple[str, ...] | None:
    """Returns the methods of a bound, as they appear in the name of its study; None for any."""
    if session.options.searches_jointly(task):
        plain = {"fewer_steps": task.allows_fewer_steps, "solver": task.allows_other_solvers}
        forbidden = {*task.excluded, *(name for name, allowed in plain.items() if not allowed)}
        return (JOINT, *(f"-{name}" for name in sorted(forbidden)))
    if not task.chooses:
        return task.methods
    if task.one_of:
        return ("|".join(task.methods or ()),)
    return ("any", *(f"-{name}" for name in task.excluded), *(["exact"] if task.lossless else []))
