"""``speedup_bounds.json``: the highest feasible speedup of each setting, set of methods and limit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, get_args

from hasten.answer import Answer
from hasten.errors import InputError
from hasten.records import Interval, Status
from hasten.store.seeds.keys import ANY, Key, figure, method_names, one
from hasten.store.seeds.table import Table
from hasten.task import Task

STATUSES = get_args(Status)
UNKNOWN = ("undecided", "failed")
"""Statuses that say nothing about the bound."""
NONE = ("infeasible", *UNKNOWN)
"""Statuses of entries without a speedup."""


@dataclass(frozen=True)
class BoundEntry:
    """An upper bound, or the reason why there is none.

    ``key`` has the methods, wherever in the file they are. ``max_speedup`` is None where nothing is feasible, or
    where the bound could not be found; ``status`` is then infeasible, undecided or failed, with the ``reason``.
    ``interval`` is the 95% interval of the measured speedup, ``plan`` is the plan that reaches it, and
    ``complete`` says that no budget ended the search. The original's files have none of these three. ``raw`` is
    the value as it was read.
    """

    key: Key
    max_speedup: float | None
    status: str
    reason: str
    interval: Interval | None
    plan: str
    complete: bool | None
    raw: Any

    @property
    def task(self) -> Task:
        """The task that was searched for: the methods without a target."""
        return replace(self.key, speedup=None).task()


class Bounds(Table[BoundEntry]):
    """The entries of ``speedup_bounds.json``. ``Table`` describes how they are read and written."""

    def get(self, task: Task) -> float | None:
        """Returns the highest feasible speedup for the task's setting, methods and limits, or None where none is
        known."""
        found = self.find(task)
        return found.max_speedup if found else None

    def find(self, task: Task) -> BoundEntry | None:
        """Returns the entry of the task's setting, methods and limits, whatever its target. Returns None where the
        task has a setting or a choice of methods that the file cannot express."""
        if task.own_setting or task.chooses:
            return None
        wanted = Key.of(task)
        return next((e for e in self.entries if replace(e.key, speedup=None) == wanted), None)

    def add(self, answer: Answer, margin: float = 1.0, complete: bool | None = None) -> Key:
        """Stores the answer to a task that asks for the upper bound: the bound, or the reason why there is none.

        A failure, or a search that its budget ended early, does not replace a bound that was found before.

        Args:
            answer: the answer to a task with methods (or any) and neither target nor parameters.
            margin: a factor for the bound; the original used 1.1.
            complete: whether no budget ended the search.

        Returns:
            the key.

        Raises:
            InputError: the answer is to another kind of task, or the margin is not positive and finite.
        """
        if answer.task.mode != "bound":
            raise InputError(
                f"An upper bound answers methods without a target; this task has the mode {answer.task.mode!r}."
            )
        if answer.task.own_setting or answer.task.chooses:
            raise InputError(
                "The file of bounds knows model, scheduler, steps, methods and limits only; this task says more: "
                f"{answer.task.own_setting or 'a choice of methods'}."
            )
        check_margin(margin)
        key = Key.of(answer.task)
        self._put(key, _value(answer, margin, complete))
        return key

    def _entry(self, key: Key, value: Any) -> BoundEntry:
        value = value if isinstance(value, dict) else {"max_speedup": value}
        speedup = _positive(one(value.get("max_speedup")))
        status = value.get("status", "likely" if speedup else None)
        if status not in STATUSES or (speedup is None) != (status in NONE):
            raise InputError(
                f"The max_speedup is {speedup!r} and the status {status!r}: a number was expected or, for none, "
                f"a status of {', '.join(NONE)}."
            )
        return BoundEntry(
            key if key.methods is not None else replace(key, methods=_methods(value)),
            speedup,
            status,
            str(value.get("reason", "")),
            _interval(value.get("interval")),
            str(value.get("plan", "")),
            bool(value["complete"]) if "complete" in value else None,
            value,
        )

    def _yields(self, old: BoundEntry, new: BoundEntry) -> bool:
        return new.status not in UNKNOWN or old.status in UNKNOWN


def check_margin(margin: float) -> None:
    """Raises InputError where bounds cannot be multiplied by the margin."""
    if not 0 < margin < float("inf"):
        raise InputError(f"The margin is {margin!r}: a positive number was expected, such as 1 or 1.1.")


def _value(answer: Answer, margin: float, complete: bool | None) -> dict[str, Any]:
    held = answer.status in ("met", "likely") and answer.speedup is not None
    value: dict[str, Any] = {"max_speedup": answer.speedup * margin if held and answer.speedup else None}
    value["status"] = answer.status if held or answer.status in NONE else "failed"
    if held:
        value |= {"interval": answer.speedup_interval, "plan": answer.plan_text}
    else:
        value["reason"] = answer.reason
    value |= {} if margin == 1 else {"margin": margin}
    return value | ({} if complete is None else {"complete": complete})


def _positive(value: Any) -> float | None:
    if value is None:
        return None
    number = figure("max_speedup", value)
    if number <= 0:
        raise InputError(f"The max_speedup is {value!r}: a positive number was expected.")
    return number


def _methods(value: Mapping[str, Any]) -> tuple[str, ...]:
    named = value.get("search_targets")
    return method_names(named) if named else ANY


def _interval(value: Any) -> Interval | None:
    if not isinstance(value, list | tuple) or len(value) != 2:
        return None
    return figure("interval", value[0]), figure("interval", value[1])
