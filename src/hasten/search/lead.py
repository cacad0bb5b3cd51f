"""Plain fewer steps are the answer where they do better than the plan that was found and are allowed."""

from __future__ import annotations

from typing import NamedTuple

from hasten.methods import METHODS
from hasten.plan import Plan
from hasten.records import EqualTime, Trial
from hasten.search.confirm import decide, equal_time
from hasten.search.judge import Goal
from hasten.search.session import Session
from hasten.task import Task

METHOD, STEPS = "fewer_steps", "reduced_steps"


class Leading(NamedTuple):
    """The held-out trial that an answer names, and the comparison with fewer steps in equal time.

    ``instead_of``: the trial of the plan that the comparison is of, where fewer steps are the answer in its place.
    """

    trial: Trial
    equal_time: EqualTime | None
    instead_of: Trial | None = None


def leading(session: Session, task: Task, trial: Trial, goal: Goal) -> Leading:
    """The plan of a held-out trial, or plain fewer steps where these dominate it, may be the answer, and hold on
    held-out prompts of their own, by the goal."""
    compared = equal_time(session, trial)
    if compared is None or not _may_lead(session, task, compared):
        return Leading(trial, compared)
    fewer = session.confirm(Plan.of({METHOD: {STEPS: compared.steps}}))
    fast = fewer.latency is not None and fewer.latency.highest >= trial.speedup
    if not fast or decide(fewer, goal) == "rejected":
        return Leading(trial, compared)
    return Leading(fewer, compared, trial)


def _may_lead(session: Session, task: Task, compared: EqualTime) -> bool:
    if not (compared.dominates and task.allows_fewer_steps) or session.budget.over:
        return False
    return METHODS.get(METHOD).unsupported(session.bench.pipe) is None
