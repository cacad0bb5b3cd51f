"""The reasons of answers, in words."""

from __future__ import annotations

from hasten.records import Trial
from hasten.search.judge import shortfall
from hasten.search.session import Session


def of_part(session: Session) -> str:
    """Returns that an upper bound is of a part of the grid only, or "" where it is of the whole grid."""
    if session.ledger.asked.target is not None or not session.budget.ended:
        return ""
    total = sum(map(len, session.ledger.spaces))
    return f"The best of {len(session.ledger.trials)} of {total} plans: the budget was used up."


def infeasible(session: Session, best: Trial | None, beyond: str = "") -> str:
    """Returns why an answer is infeasible.

    ``beyond`` is the reason why the target was known to be out of reach before anything was measured.
    """
    asked = session.ledger.asked.target
    what = f"{asked} is out of reach here" if asked else "nothing is faster than the plain pipeline here"
    what = beyond or what
    if best is None:
        none = f"no plan that was measured stays within {session.ledger.goal.limits}"
        return f"{what}: {none}.{_not_ruled_out(session)}"
    return f"{what}; {_named(session, best)}.{_not_ruled_out(session)}"


def undecided(session: Session, best: Trial | None) -> str:
    """Returns why an answer is undecided."""
    limit_s, asked = session.options.max_time_s, session.ledger.asked.target
    count = len(session.ledger.trials)
    budget = f"{count} trial{'s' * (count != 1)}" + (f" and {limit_s:g} s" if limit_s else "")
    what = f"{asked or 'a speedup'} was not found within {budget}, which is not all of the grid"
    if best is not None:
        return f"{what}; so far {_named(session, best)}.{_not_ruled_out(session)}"
    hope = session.ledger.best()
    held = (
        f" there was no time to confirm {hope.plan}, {hope.speedup:.2f}x, on held-out prompts"
        if hope
        else f" no plan that was measured stays within {session.ledger.goal.limits}"
    )
    return f"{what}:{held}.{_not_ruled_out(session)}"


def _named(session: Session, best: Trial) -> str:
    figure = f"{best.speedup:.2f}x" + _seconds(session, best)
    return f"the best within {session.ledger.goal.limits} is {figure}, with {best.plan}"


def _not_ruled_out(session: Session) -> str:
    """Returns a sentence about the fastest plan that fell short by less than its intervals, or ""."""
    goal, verdicts = session.ledger.asked, session.ledger.verdicts.values()
    held = [t for t in verdicts if t.status == "ok" and t.latency and not goal.out_of_reach(t.latency)]
    near = [t for t in held if goal.limits.verdict(t.losses) != "outside"] if goal.target else []
    if not near:
        return ""
    trial = max(near, key=lambda t: t.speedup)
    return (
        f" Not ruled out is {trial.plan}, which fell short by less than its intervals: {shortfall(trial, goal)}."
    )


def _seconds(session: Session, best: Trial) -> str:
    asked = session.ledger.asked.target
    if asked is None or asked.latency_s is None or best.latency is None:
        return ""
    return f" ({best.latency.plan_s / session.ledger.goal.batch_size:.3g} s an image)"
