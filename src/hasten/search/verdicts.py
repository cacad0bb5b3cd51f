"""Verdicts: trials on held-out prompts, all of them scored, which alone decide. Each plan has prompts of its
own."""

from __future__ import annotations

from collections.abc import Mapping

from hasten.measure.contract import TrialSpec, WorthTiming
from hasten.measure.timing import LONGEST_S, MOST_TIMES, UntilKnown
from hasten.plan import Plan
from hasten.predict.space import Space
from hasten.records import Loss, Trial
from hasten.search.believed import Believed
from hasten.search.judge import Goal
from hasten.search.session import Session

MORE = 3
"""The factor by which more prompts are scored for a plan that they leave open, before a target counts as out of
reach."""


def confirm(session: Session, chosen: Believed | Plan, *, whole: bool = False) -> Trial:
    """Returns the plan's trial on held-out prompts and seeds, all of them scored, and enters it in the ledger.
    Where the time does not allow that, it is on fewer.

    Each plan gets prompts of its own, because the best of several plans on the same prompts would be the luckiest.
    A plan whose scores are beyond a limit is timed in few pairs, unless the ``whole`` trial is asked for.
    """
    plan = chosen if isinstance(chosen, Plan) else chosen.plan
    session.reporter.tell(stage="confirm", message=str(plan))
    goal = session.ledger.goal
    worth_timing = None if whole else _worth_timing(goal)
    trial = _usable(session, plan, worth_timing)
    if trial is None:
        trial = session.bench.trial(plan, _spec(session, worth_timing), report=session.reporter.measuring(plan))
        session.store.add(trial)
    session.ledger.verdicts[trial.plan] = trial
    return trial


def _spec(session: Session, worth_timing: WorthTiming | None) -> TrialSpec:
    """Returns what a verdict measures, as much of it as the time allows."""
    goal, own, extent = session.ledger.goal, session.ledger.verdicts.values(), session.budget.verdict()
    known = goal.decided if goal.target else None
    longest_s = session.budget.at_most(LONGEST_S, extent)
    return TrialSpec(
        split="held-out",
        samples=extent.samples,
        offset=max((_end(session, t) for t in own), default=0),
        pairs=extent.pairs * MOST_TIMES,
        enough=UntilKnown(extent.pairs, known, session.options.confidence, longest_s),
        worth_timing=worth_timing,
        metrics=session.ledger.metrics,
        keeps=session.store.keeps,
    )


def confirm_further(session: Session, held_out: Trial) -> Trial:
    """Returns a rejected plan's trial on three times as many held-out prompts, or fewer where they show it outside
    a limit.

    The plan is accepted where it holds there. The mean over all prompts decides, because stopping at the first
    inside the limit would favour luck.
    """
    plan, limits = held_out.plan, session.ledger.goal.limits
    session.reporter.tell(stage="confirm", message=f"{plan} on more prompts")
    spec = TrialSpec(
        split="held-out",
        samples=session.options.num_samples * MORE,
        offset=held_out.offset,
        metrics=session.ledger.metrics,
        stop_early=lambda losses: limits.verdict(losses) == "outside",
        begun=held_out,
        keeps=session.store.keeps,
    )
    trial = session.bench.trial(plan, spec, report=session.reporter.measuring(plan))
    session.store.add(trial)
    session.ledger.verdicts[trial.plan] = trial
    if session.ledger.goal.candidate(trial):
        session.ledger.accept(trial)
    return trial


def complete_verdicts(session: Session, space: Space) -> list[Trial]:
    """Returns the stored held-out trials of a space's plans that are scored on all prompts and timed for a
    verdict."""
    found = session.store.trials(space.methods, "held-out")
    whole = (t for t in found if t.status == "ok" and _complete(session, t))
    return [t for t in whole if space.holds(t.plan)]


def _worth_timing(goal: Goal) -> WorthTiming:
    def worth(losses: Mapping[str, Loss]) -> bool:
        if goal.target:  # a plan that is still open may be accepted on more prompts
            return goal.limits.verdict(losses) != "outside"
        return not goal.limits.broken(losses)

    return worth


def _usable(session: Session, plan: Plan, worth_timing: WorthTiming | None) -> Trial | None:
    """Returns the plan's trial in this search or the store where it suffices, and no other plan was scored on its
    images."""
    verdicts = session.ledger.verdicts
    trial = verdicts.get(plan) or session.store.find(plan, "held-out")
    if trial is None or trial.status == "failed":
        return trial
    others = (t for t in verdicts.values() if t.plan != trial.plan)
    overlaps = any(t.offset < _end(session, trial) and trial.offset < _end(session, t) for t in others)
    dismissed = worth_timing is not None and _scored(session, trial) and not worth_timing(trial.losses)
    return trial if (_complete(session, trial) or dismissed) and not overlaps else None


def _end(session: Session, trial: Trial) -> int:
    """Returns the index of the first held-out image after those of a trial."""
    samples = (loss.samples for loss in trial.losses.values())
    return trial.offset + max(samples, default=session.options.num_samples)


def _complete(session: Session, trial: Trial) -> bool:
    timed = trial.latency is not None and len(trial.latency.times_s) >= session.options.pairs
    return timed and _scored(session, trial)


def _scored(session: Session, trial: Trial) -> bool:
    samples, metrics = session.options.num_samples, session.ledger.metrics
    return all(m in trial.losses and trial.losses[m].samples >= samples for m in metrics)
