"""What a search tells while it runs."""

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
    """Where a search stands: sent when a stage begins, after each trial, and while something is measured.

    Args:
        stage: what is being done.
        planned: the plans of the grid.
        done: the plans that a trial settled.
        pruned: the plans that were settled without a trial.
        reused: how many of the trials in ``done`` came from the store.
        expected: how many trials it takes in all, as far as the strategy can tell; 0 where it cannot.
        asked: the target, where there is one.
        limits: of the losses, by metric.
        trial: the trial that was just finished, in the stages of the search.
        best: the plan that would be chosen now: its trial, and how fast it is believed to be.
        message: what is being measured, and how far it is.
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


class Reporter:
    """Sends where a search stands, by its ledger and its budget, to whoever wants to know."""

    def __init__(self, ledger: Ledger, budget: Budget, send: Callable[[Progress], None] | None = None) -> None:
        goal = ledger.asked
        self._ledger, self._budget, self._send = ledger, budget, send
        planned = sum(map(len, ledger.spaces))
        self._state = Progress("search", planned=planned, asked=goal.target, limits=dict(goal.limits))
        self._expected: int | None = None

    @property
    def pruned(self) -> int:
        """The plans that were settled without a trial, when something was told last."""
        return self._state.pruned

    def expect(self, trials: int) -> None:
        """Told by the strategy after how many trials in all it ends, as far as it can tell now."""
        self._expected = trials

    def tell(self, **news: Any) -> None:
        """Sends where the search stands, with what is new of ``Progress``."""
        ledger = self._ledger
        plans, done = sum(map(len, ledger.spaces)), len(ledger.trials)
        left = sum(int(space.open.sum()) for space in ledger.spaces)
        counts: dict[str, Any] = {
            "planned": plans,
            "done": done,
            "pruned": max(0, plans - left - done),
            "expected": self._in_all(done, left) if news.get("stage", self._state.stage) in SEARCHING else 0,
            "reused": len(ledger.trials.keys() - ledger.fresh),
        }
        self._state = replace(self._state, **{"message": "", "trial": None, **counts, **news})
        if self._send:
            self._send(self._state)

    def measuring(self, plan: Plan) -> Callable[[str], None]:
        """Tells what goes on while the plan is measured, in its words."""
        return lambda words: self.tell(message=f"{plan}: {words}")

    def _in_all(self, done: int, left: int) -> int:
        """The trials that the search takes in all: of those so far and all open plans, where nothing ends it."""
        ends = (done + left, self._expected, self._budget.max_trials)
        return max(done, min(end for end in ends if end is not None))
