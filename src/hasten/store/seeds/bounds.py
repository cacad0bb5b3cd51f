"""``speedup_bounds.json``: the highest feasible speedup of each setting, set of methods and limit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, get_args

from hasten.errors import InputError
from hasten.records import Answer, Interval, Status
from hasten.store.seeds.keys import ANY, Key, figure, method_names, one
from hasten.store.seeds.table import Table
from hasten.task import Task

STATUSES = get_args(Status)
UNKNOWN = ("undecided", "failed")
"""Statuses that tell of no bound."""
NONE = ("infeasible", *UNKNOWN)
"""Statuses of entries without a speedup."""


@dataclass(frozen=True)
class BoundEntry:
    """An upper bound, or why there is none.

    ``key`` has the methods, wherever the file says them. ``max_speedup`` is None where nothing is feasible, or
    where it could not be found out (``status`` infeasible, undecided and failed; ``reason``). ``interval`` is the
    95% interval of the measured speedup, ``plan`` shows it, ``complete``: no budget ended the search; the
    original's files have none of these. ``raw`` is the value as it was read.
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
        """What was searched for: the methods without a target."""
        return replace(self.key, speedup=None).task()


class Bounds(Table[BoundEntry]):
    """The entries of ``speedup_bounds.json``; how it is read and written is said in ``Table``."""

    def get(self, task: Task) -> float | None:
        """The highest feasible speedup of the task's setting, methods and limits; None: not known, or none."""
        found = self.find(task)
        return found.max_speedup if found else None

    def find(self, task: Task) -> BoundEntry | None:
        """The entry of the task's setting, methods and limits, whatever its target. None where the task says of
        its setting or of the choice of methods what the file does not."""
        if task.own_setting or task.chooses:
            return None
        wanted = Key.of(task)
        return next((e for e in self.entries if replace(e.key, speedup=None) == wanted), None)

    def add(self, answer: Answer, margin: float = 1.0, complete: bool | None = None) -> Key:
        """Keeps the answer to a task that asks for the upper bound: the bound, or the reason why there is none.

        A failure, or a budget that ended too early, does not take the place of a bound that was found before.

        Args:
            answer: of a task with methods (or any) and neither target nor parameters.
            margin: what the bound is multiplied by; the original took 1.1.
            complete: no budget ended the search.

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
    """Raises InputError where bounds cannot be multiplied by it."""
    if not 0 < margin < float("inf"):
        raise InputError(f"The margin is {margin!r}: a positive number was expected, such as 1 or 1.1.")


def _value(answer: Answer, margin: float, complete: bool | None) -> dict[str, Any]:
    held = answer.status in ("met", "likely") and answer.speedup is not None
    value: dict[str, Any] = {"max_speedup": answer.speedup * margin if held and answer.speedup else None}
    value["status"] = answer.status if held or answer.status in NONE else "failed"
    if held:
        value |= {"interval": answer.speedup_interval, "plan": answer.plan}
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
