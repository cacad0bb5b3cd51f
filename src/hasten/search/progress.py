"""The progress that a search reports while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from hasten.plan import Plan
from hasten.records import Trial
from hasten.search.believed import Believed
from hasten.search.budget import Budget
from hasten.search.ledger import Ledger
from hasten.task import Target

SEARCHING = ("search", "fallback")
"""The stages that take trials on the search's prompts."""


@dataclass(frozen=True)
class Progress:
    """The state of a search. It is sent when a stage begins, after each trial, and while something is measured.

    Args:
        stage: what is being done.
        planned: the number of plans in the grid.
        done: the number of trials.
        pruned: the number of plans that were decided without a trial.
        reused: the number of trials in ``done`` that came from the store.
        expected: the total number of trials, as far as the strategy can tell; 0 where it cannot.
        asked: the target, where there is one.
        limits: the limits of the losses, by metric.
        trial: the trial that was just finished, in the stages of the search.
        best: the plan that would be chosen now: its trial, and its believed speed.
        message: what is being measured, and how far that has come.
    """

    stage: Literal["search", "fallback", "confirm", "compare", "report", "verify"]
    planned: int = 0
    done: int = 0
    pruned: int = 0
    reused: int = 0
    expected: int = 0
    asked: Target | None = None
    limits: Mapping[str, float] = field(default_factory=dict)
    trial: Trial | None = None
    best: Believed | None = None
    message: str = ""


Listener = Callable[[Progress], None]
"""A function that is told how a search goes on."""


class Reporter:
    """Sends the progress of a search, as its ledger and its budget show it."""

    def __init__(self, ledger: Ledger, budget: Budget, send: Listener | None = None) -> None:
        goal = ledger.asked
        self._ledger, self._budget, self._send = ledger, budget, send
        planned = sum(map(len, ledger.spaces))
        self._state = Progress("search", planned=planned, asked=goal.target, limits=dict(goal.limits))
        self._expected: int | None = None

    @property
    def pruned(self) -> int:
        """The number of plans that were decided without a trial, as last reported."""
        return self._state.pruned

    def expect(self, trials: int) -> None:
        """Takes the total number of trials after which the strategy expects to end."""
        self._expected = trials

    def tell(self, **news: Any) -> None:
        """Sends the state of the search, updated by ``news``, which are fields of ``Progress``."""
        ledger = self._ledger
        plans, done = sum(map(len, ledger.spaces)), len(ledger.trials)
        open_plans = sum(int(space.open.sum()) for space in ledger.spaces)
        counts: dict[str, Any] = {
            "planned": plans,
            "done": done,
            "pruned": max(0, plans - open_plans - done),
            "expected": self._in_all(done, open_plans) if news.get("stage", self._state.stage) in SEARCHING else 0,
            "reused": len(ledger.trials.keys() - ledger.fresh),
        }
        self._state = replace(self._state, **{"message": "", "trial": None, **counts, **news})
        if self._send:
            self._send(self._state)

    def measuring(self, plan: Plan) -> Callable[[str], None]:
        """Returns a function that reports messages while the plan is measured."""
        return lambda words: self.tell(message=f"{plan}: {words}")

    def _in_all(self, done: int, open_plans: int) -> int:
        """Returns the expected total number of trials: all open plans, unless the strategy or the budget ends
        before."""
        ends = (done + open_plans, self._expected, self._budget.max_trials)
        return max(done, min(end for end in ends if end is not None))
