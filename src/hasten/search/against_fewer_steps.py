"""Compares a plan with plain fewer steps, which become the answer where they do better and are allowed."""

from __future__ import annotations

from typing import NamedTuple

from hasten.measure.contract import TrialSpec
from hasten.measure.equal_time import dominates
from hasten.measure.stats import samples_of
from hasten.methods import METHODS, is_equal_time
from hasten.plan import Plan
from hasten.records import EqualTime, Latency, Trial
from hasten.search.judge import Goal, decide
from hasten.search.session import Session
from hasten.search.verdicts import confirm
from hasten.task import Task

METHOD, STEPS = "fewer_steps", "reduced_steps"


class Leading(NamedTuple):
    """The held-out trial that an answer names, and the comparison with fewer steps in equal time.

    Where fewer steps are the answer, ``instead_of`` is the trial of the plan that they were compared with.
    """

    trial: Trial
    equal_time: EqualTime | None
    instead_of: Trial | None = None


def leading(session: Session, task: Task, trial: Trial, goal: Goal) -> Leading:
    """Returns the plan of a held-out trial or, in its place, plain fewer steps.

    Fewer steps take its place where they dominate it, are allowed, and hold on held-out prompts of their own.
    """
    compared = equal_time(session, trial)
    if compared is None or not _may_lead(session, task, compared):
        return Leading(trial, compared)
    fewer = confirm(session, Plan.of({METHOD: {STEPS: compared.steps}}))
    fast = fewer.latency is not None and fewer.latency.highest >= trial.speedup
    if not fast or decide(fewer, goal) == "rejected":
        return Leading(trial, compared)
    return Leading(fewer, compared, trial)


def _may_lead(session: Session, task: Task, compared: EqualTime) -> bool:
    if not (compared.dominates and task.allows_fewer_steps) or session.budget.over:
        return False
    return METHODS.get(METHOD).unsupported(session.bench.pipe) is None


def equal_time(session: Session, trial: Trial) -> EqualTime | None:
    """Returns the comparison with the same pipeline with fewer steps and no method, about as fast as the plan.

    It is None for a plan that is itself nothing but fewer steps.
    """
    if trial.latency is None or is_equal_time(trial.plan):
        return None
    found = _equal_time(session, trial, trial.latency)
    return found.model_copy(update={"dominates": dominates(found.trial, trial)})


def _equal_time(session: Session, trial: Trial, latency: Latency) -> EqualTime:
    kept = session.store.equal_time(trial.plan)
    samples, o = samples_of(trial.losses), session.options
    if kept and _is_of(kept, trial, samples) and set(session.ledger.metrics) <= set(kept.trial.losses):
        return kept
    tell = session.reporter.tell
    tell(stage="compare")
    spec = TrialSpec(
        samples=samples or o.num_samples,
        offset=trial.offset,
        split="held-out",
        pairs=o.pairs,
        metrics=session.ledger.metrics,
    )
    found = session.bench.equal_time(
        latency, spec, plan_losses=trial.losses, report=lambda words: tell(message=words)
    )
    session.store.keep_equal_time(trial.plan, found)
    return found


def _is_of(kept: EqualTime, trial: Trial, samples: int) -> bool:
    """Returns whether a kept comparison is on the very images of a trial, or more of them."""
    return kept.trial.offset == trial.offset and samples_of(kept.trial.losses) >= samples
