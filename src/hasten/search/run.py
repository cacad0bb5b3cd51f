"""Answers one task: grid, strategy, confirmation on held-out prompts, and the equal-time baseline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hasten.errors import MeasurementError
from hasten.measure.contract import Measures
from hasten.methods import MeasuresGrid
from hasten.metrics import METRICS
from hasten.plan import Plan
from hasten.predict.space import Grids, Space
from hasten.predict.speeds import Predictor
from hasten.records import EqualTime, Status, Trial
from hasten.search.against_fewer_steps import Leading, equal_time, leading
from hasten.search.believed import Believed
from hasten.search.from_store import keep_bound, stored_answer
from hasten.search.guided import guided
from hasten.search.joint import Joint
from hasten.search.joint_spaces import choice_of
from hasten.search.judge import Decision, Goal, decide, shortfall
from hasten.search.measured_grids import kept_grids, measuring, newly_measured
from hasten.search.options import SearchOptions
from hasten.search.out_of_reach import out_of_reach, settle_for_less, settle_for_the_best
from hasten.search.progress import Listener
from hasten.search.pursuit import pursue
from hasten.search.reasons import infeasible, of_part, undecided
from hasten.search.session import Session, Strategy
from hasten.search.strategies import STRATEGIES, predicts
from hasten.search.task_plans import check_task, spaces_of
from hasten.search.verdicts import confirm
from hasten.store import Store
from hasten.task import Task

Why = Callable[[Session, Trial | None], str]
"""Returns the reason of an answer, in words."""
MEASURING = 0.25
"""The largest share of a search's spare time for measuring the grids of methods."""


@dataclass(frozen=True)
class SearchResult:
    """The result of a search.

    ``confirmed`` is the trial on held-out prompts, which alone decides, and ``chosen`` is the search's own trial
    of the same plan, where there is one. In an infeasible or undecided result both are None, and ``best`` is the
    confirmed trial of the best feasible plan.

    ``equal_time`` belongs to ``confirmed`` or ``best``. Where fewer steps are the answer in the place of a plan of
    methods, it belongs to ``instead_of``, that plan's held-out trial. ``complete`` tells that no budget ended the
    search. ``notes`` say what the limit of time did to the answer, and ``rejected`` why each rejected plan fell
    short.
    """

    status: Status
    reason: str = ""
    trials: tuple[Trial, ...] = ()
    chosen: Trial | None = None
    confirmed: Trial | None = None
    best: Trial | None = None
    equal_time: EqualTime | None = None
    instead_of: Trial | None = None
    planned: int = 0
    pruned: int = 0
    complete: bool = True
    rejected: Mapping[Plan, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def run_search(
    bench: Measures,
    task: Task,
    options: SearchOptions | None = None,
    progress: Listener | None = None,
    predictor: Callable[[], Predictor] | None = None,
) -> SearchResult:
    """Answers the task by measuring. Every finished trial is stored, even when the search is interrupted.

    Args:
        bench: measures the plans.
        task: the task.
        options: the options of the search; None for the defaults.
        progress: called with the state of the search, after each trial and more often.
        predictor: makes the predictor of speeds for ``guided``; None for the bench's cost model.

    Raises:
        InputError: before anything is measured: a method is unknown, a parameter is illegal, the model cannot take
            a method, there is nothing to try, or a metric cannot score such images.

    Example:
        >>> result = run_search(bench, Task.from_json(data), SearchOptions(max_time_s=600))
        >>> result.status, result.confirmed
    """
    options = options or SearchOptions()
    fixed = check_task(task, bench.pipe)
    for metric in task.max_loss:
        METRICS.get(metric).check(bench.setting.height, bench.setting.width, bench.setting.device)
    joint = options.searches_jointly(task)
    found = [] if task.mode in ("plain", "explicit") else _spaces(task, bench.pipe, fixed, joint)
    goal = Goal(task.limits, task.target, options.prefer if task.target else "fastest", bench.setting.batch_size)
    with Store(options.storage, bench.setting, bench.identity, options.confidence) as store:
        session = Session(bench, store, goal, options, spaces=found, progress=progress, predictor=predictor)
        try:
            answer = _answer(session, task, fixed, joint) if found else _given(session, Plan.of(fixed))
            return replace(answer, notes=tuple(session.budget.notes))
        except MeasurementError as error:  # the baseline itself failed, so that no plan can be judged
            return SearchResult("failed", str(error), trials=tuple(session.ledger.trials.values()))


def _answer(session: Session, task: Task, fixed: Mapping[str, Any], joint: bool) -> SearchResult:
    """Returns the answer from the store or by a search, with measured grids where a method measures its own."""
    methods, pipe = measuring(session.ledger.spaces), session.bench.pipe
    grids = kept_grids(session.store, methods)
    if grids:
        session.ledger.spaces = tuple(_spaces(task, pipe, fixed, joint, grids))
    if answer := _from_store(session, task):
        return answer
    session.foresee(profiled=joint or predicts(STRATEGIES[session.options.strategy]))
    if new := _measured_now(session, methods):
        grids = {**grids, **new}
        session.ledger.spaces = tuple(_spaces(task, pipe, fixed, joint, grids))
    strategy = Joint(choice_of(task, pipe, grids)) if joint else STRATEGIES[session.options.strategy]
    return _searched(session, task, strategy)


def _spaces(
    task: Task, pipe: Any, fixed: Mapping[str, Any], joint: bool, grids: Grids | None = None
) -> Sequence[Space]:
    """Returns the grids that are known before the search. A joint search adds more by its trials."""
    if not joint:
        return spaces_of(task, pipe, fixed, grids)
    choice = choice_of(task, pipe, grids)
    return [*choice.alone(), *choice.plain(Plan()), *choice.singles(Plan())]


def _measured_now(session: Session, methods: Sequence[MeasuresGrid]) -> Grids:
    """Returns the grids that the store does not have, or none where the time does not allow to measure them."""
    spare_s = session.budget.spare_s
    limit_s = None if spare_s is None else MEASURING * spare_s
    tell = session.reporter.tell
    return newly_measured(session.bench, session.store, methods, limit_s, lambda words: tell(message=words))


def _given(session: Session, plan: Plan) -> SearchResult:
    """Measures and judges the plan of the request, or the plain pipeline, without a search."""
    session.foresee(profiled=False)
    trial = confirm(session, plan, whole=True)
    if trial.status == "failed":
        return SearchResult("failed", trial.reason, trials=(trial,))
    decision: Decision = decide(trial, session.ledger.goal) if plan else "met"
    if decision == "rejected":
        reason = f"{plan} is over the limit: {shortfall(trial, session.ledger.goal)}."
        return SearchResult("infeasible", reason, trials=(trial,), confirmed=trial)
    compared = equal_time(session, trial) if plan else None
    return SearchResult(decision, trials=(trial,), confirmed=trial, equal_time=compared)


def _from_store(session: Session, task: Task) -> SearchResult | None:
    """Returns the answer that the store holds, or None."""
    found = stored_answer(session, task)
    if found is None:
        return None
    status, reason, trial = found
    if status == "infeasible" or trial is None:
        return _short(session, task, status, lambda session, best: reason or infeasible(session, best), trial)
    return _held(session, task, status, reason, trial)


def _searched(session: Session, task: Task, strategy: Strategy) -> SearchResult:
    session.reporter.tell()
    if strategy is guided and (beyond := out_of_reach(session)):
        return _best_only(session, task, strategy, beyond)
    decision, confirmed = pursue(session, strategy)
    if confirmed is not None and decision != "rejected" and not _no_gain(session, confirmed):
        keep_bound(session, task, decision, of_part(session), confirmed)
        return _held(session, task, decision, of_part(session), confirmed)
    decided = not session.budget.ended  # read before the search for less than the target, which may end early, too
    best = confirmed or _best_inside(session, strategy)
    if best and session.ledger.asked.target and (late := decide(best, session.ledger.asked)) != "rejected":
        return _held(session, task, late, "", best)  # more pairs of times have shown that it meets the target
    if session.ledger.trials and all(t.status == "failed" for t in session.ledger.trials.values()):
        first = next(iter(session.ledger.trials.values()))
        return _result(
            session, "failed", reason=f"Every plan failed, the first ({first.plan}) with: {first.reason}"
        )
    if not decided:
        return _short(session, task, "undecided", undecided, best)
    keep_bound(session, task, "infeasible", infeasible(session, best), best)
    return _short(session, task, "infeasible", infeasible, best)


def _best_only(session: Session, task: Task, strategy: Strategy, beyond: str) -> SearchResult:
    """Returns the result where the target is out of reach before anything is measured."""
    settle_for_the_best(session, beyond)
    best = _fastest_inside(session, strategy)
    if best and (decision := decide(best, session.ledger.asked)) != "rejected":  # the prediction was wrong
        return _held(session, task, decision, "", best)
    return _short(session, task, "infeasible", lambda session, best: infeasible(session, best, beyond), best)


def _held(session: Session, task: Task, status: Status, reason: str, trial: Trial) -> SearchResult:
    """Returns the result where a plan held, or where plain fewer steps take its place."""
    found = leading(session, task, trial, session.ledger.asked)
    if found.instead_of and (decision := decide(found.trial, session.ledger.asked)) != "rejected":
        status = decision
    chosen = session.ledger.trials.get(found.trial.plan)
    return _result(session, status, reason=reason, confirmed=found.trial, chosen=chosen, **_beside(found))


def _short(session: Session, task: Task, status: Status, why: Why, best: Trial | None) -> SearchResult:
    """Returns the result where no plan held, with the best plan within the limits."""
    if best is None:
        return _result(session, status, reason=why(session, None))
    found = leading(session, task, best, session.ledger.goal)
    return _result(session, status, reason=why(session, found.trial), best=found.trial, **_beside(found))


def _beside(found: Leading) -> dict[str, Any]:
    return {"equal_time": found.equal_time, "instead_of": found.instead_of}


def _no_gain(session: Session, trial: Trial) -> bool:
    """Returns whether the answer to a question for the upper bound is no faster than the baseline."""
    return session.ledger.asked.target is None and trial.speedup <= 1


def _best_inside(session: Session, strategy: Strategy) -> Trial | None:
    """Returns the fastest confirmed plan within the limits after a target was missed, or None."""
    if session.ledger.asked.target is None:
        return None
    settle_for_less(session)
    return _fastest_inside(session, strategy)


def _fastest_inside(session: Session, strategy: Strategy) -> Trial | None:
    if found := pursue(session, strategy)[1]:
        return found
    goal = session.ledger.goal
    held = (t for t in session.ledger.verdicts.values() if goal.candidate(t))
    return min(held, key=lambda t: goal.rank(Believed.as_measured(t)), default=None)


def _result(session: Session, status: Status, **found: Any) -> SearchResult:
    return SearchResult(
        status,
        trials=tuple(session.ledger.trials.values()),
        planned=sum(map(len, session.ledger.spaces)),
        pruned=session.reporter.pruned,
        complete=not session.budget.ended,
        rejected={plan: shortfall(t, session.ledger.asked) for plan, t in session.ledger.rejected.items()},
        **found,
    )
