"""The verdict: the chosen plan measured anew on prompts and seeds that the search never saw."""

from __future__ import annotations

from typing import Literal

from hasten.measure.equal_time import dominates
from hasten.measure.stats import samples_of
from hasten.methods import is_equal_time
from hasten.plan import Plan
from hasten.records import EqualTime, Latency, Trial
from hasten.search.judge import Goal
from hasten.search.session import Session
from hasten.search.strategies import Strategy, score_skipped

Decision = Literal["met", "likely", "rejected"]


def decide(trial: Trial, goal: Goal) -> Decision:
    """met: the target reached and every loss' interval inside its limit. likely: the means only. Else rejected."""
    if not goal.candidate(trial):
        return "rejected"
    return "met" if goal.limits.verdict(trial.losses) == "inside" else "likely"


def shortfall(trial: Trial, goal: Goal) -> str:
    """What a held-out trial falls short of, in words."""
    if trial.status != "ok":
        return trial.reason
    over = [
        f"{m} loss {trial.losses[m].loss:.4f}, limit {goal.limits[m]:g}{goal.limits.suffix}"
        for m in goal.limits.broken(trial.losses)
    ]
    slow = [] if goal.reached(trial.latency) else [f"{trial.speedup:.2f}x, asked {goal.target}"]
    return "; ".join(over + slow)


def pursue(session: Session, strategy: Strategy) -> tuple[Decision, Trial | None]:
    """Searches and confirms until a candidate holds on held-out prompts, and where the fastest is asked for, until
    none is left that was measured clearly faster or promises to be.

    The search picks the luckiest of many noisy trials, so its choice may fail; then it goes on without it, and
    takes plans by how likely they are believed to be inside the limits, or whose whole interval is inside, before
    those that are only inside by their mean. Before a
    target is out of reach, plans that are over a limit by less than their intervals are confirmed as well. Where
    the first plan that meets a target is asked for and one is only *likely* to, a surer one is looked for. In the
    end the nearest of those that were rejected is scored on more held-out prompts, where they can still tell.
    The first verdict is taken however late it is. ``(rejected, None)`` when no candidate is left, none has the
    time, or ``options.confirmations`` have failed.
    """
    holder: Trial | None = None
    hoping = False  # what to confirm next was believed, not measured: there is no more to search for
    for _ in range(session.options.confirmations):
        if not hoping:
            score_skipped(session)
            strategy(session)
        best = _next(session, holder)
        hoping = holder is not None and isinstance(best, Plan)
        if best is None or (session.held_out.own and session.late):  # there is no time for another verdict
            break
        trial = session.confirm(best)
        decision = decide(trial, session.goal)
        if decision == "rejected":
            session.reject(trial)
        elif decision == "likely" and session.goal.first_wins:
            session.set_aside(trial)
            holder = holder or trial
        else:
            session.accept(trial)
            holder = trial if holder is None or session.aside else min(holder, trial, key=session.goal.rank)
            if not session.goal.fastest_wins:
                break
    if holder is None and (last := _last_hope(session)):
        holder = session.confirm_further(last)
    if holder is None or (decision := decide(holder, session.goal)) == "rejected":
        return "rejected", None
    return decision, holder


def _last_hope(session: Session) -> Trial | None:
    """Before a target is out of reach: the rejected plan that reaches it and is over the limits by the least, and
    by less than its intervals."""
    goal, held = session.goal, session.rejected.values()
    if goal.target is None or session.late:
        return None
    near = [t for t in held if goal.reached(t.latency) and goal.limits.verdict(t.losses) == "open"]
    return min(near, key=lambda t: max(goal.limits.excess(m, t.losses[m].loss) for m in goal.limits), default=None)


def _next(session: Session, holder: Trial | None) -> Trial | Plan | None:
    """The plan to confirm: with one in hand, one that is faster than all its interval allows, or surer, or that
    promises enough more to be worth a verdict."""
    if holder is None and session.rejected and not session.aside and (found := session.likely()):
        return found
    best = session.best(sure=True) if session.rejected or session.aside else session.best()
    if holder is None:
        return best or session.best() or session.nearest_open()
    if session.aside:
        return best
    surely = best and best.plan not in session.accepted and session.goal.beats(best, holder)
    return best if surely else session.hoped(holder)


def equal_time(session: Session, trial: Trial) -> EqualTime | None:
    """The same pipeline with fewer steps and no method, as fast as the plan, and where the plan loses to it.

    None for a plan that is just that.
    """
    if trial.latency is None or is_equal_time(Plan.parse(trial.plan)):
        return None
    found = _equal_time(session, trial, trial.latency)
    return found.model_copy(update={"dominates": dominates(found.trial, trial)})


def _equal_time(session: Session, trial: Trial, latency: Latency) -> EqualTime:
    known = session.store.equal_time(Plan.parse(trial.plan))
    if known and known.trial.offset == trial.offset and set(session.metrics) <= set(known.trial.losses):
        return known
    session.tell(stage="compare")
    o = session.options
    found = session.bench.equal_time(
        latency,
        samples=max(o.num_samples, samples_of(trial.losses)),
        offset=trial.offset,
        split="held-out",
        pairs=o.pairs,
        metrics=session.metrics,
        plan_losses=trial.losses,
        report=lambda words: session.tell(message=words),
    )
    session.store.keep_equal_time(Plan.parse(trial.plan), found)
    return found
