"""A plan: methods with their parameters, and the canonical text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hasten.errors import InputError

Value = int | float | str
"""A number, a list of steps as text such as ``0-3:5:9`` (a list of one step is its number), or a name that the
parameter knows, such as ``bfloat16``."""
Parameters = dict[str, Value]

BASELINE = "baseline"
_STEPS = re.compile(r"\d{1,4}(-\d{1,4})?(:\d{1,4}(-\d{1,4})?)*")
_NAME = re.compile(r"[a-z_][a-z0-9_-]*")
_NO_NAMES = ("nan", "inf", "infinity")
_CALL = re.compile(r"([A-Za-z_][\w-]*+)\s*+(?:\(([^()]*)\))?")


@dataclass(frozen=True)
class Plan:
    """Methods and their parameters, sorted by name, so that equal plans have equal text.

    The text of the empty plan is ``baseline``. A plan knows nothing about the methods themselves:
    ``hasten.methods`` checks whether they exist and whether the values are legal.
    """

    calls: tuple[tuple[str, tuple[tuple[str, Value], ...]], ...] = ()

    @classmethod
    def of(cls, parameters: Mapping[str, Mapping[str, Value]]) -> Plan:
        """Returns the plan of a mapping such as ``{"deepcache": {"cache_interval": 3}}``."""
        return cls(tuple((name, tuple(sorted(parameters[name].items()))) for name in sorted(parameters)))

    @classmethod
    def parse(cls, text: str) -> Plan:
        """Reads canonical text back, e.g. ``deepcache(cache_interval=3)+tome(ratio=0.5)``.

        Raises:
            InputError: the text is not a plan.
        """
        if text.strip() in ("", BASELINE):
            return cls()
        found: dict[str, Parameters] = {}
        for part in text.split("+"):
            match = _CALL.fullmatch(part.strip())
            if not match or match[1] in found:
                raise InputError(
                    f"{text!r} is not a plan: {part.strip()!r} is not one method written "
                    "name(parameter=value,…). Example: deepcache(cache_interval=3)+tome(ratio=0.5)."
                )
            found[match[1]] = dict(_pair(pair) for pair in (match[2] or "").split(",") if pair.strip())
        return cls.of(found)

    @property
    def methods(self) -> tuple[str, ...]:
        """The names of the methods, sorted."""
        return tuple(name for name, _ in self.calls)

    @property
    def parameters(self) -> dict[str, Parameters]:
        """A new ``{method: {parameter: value}}``."""
        return {name: dict(pairs) for name, pairs in self.calls}

    def __bool__(self) -> bool:
        return bool(self.calls)

    def __str__(self) -> str:
        calls = (f"{name}({','.join(f'{k}={v}' for k, v in pairs)})" for name, pairs in self.calls)
        return "+".join(calls) or BASELINE


def plan_of(given: Plan | str | Mapping[str, Mapping[str, Value]]) -> Plan:
    """Returns a plan, or makes one from text or from parameters by method. Raises InputError for others."""
    if isinstance(given, Plan):
        return given
    if isinstance(given, str):
        return Plan.parse(given)
    if isinstance(given, Mapping) and all(isinstance(one, Mapping) for one in given.values()):
        return Plan.of(given)
    raise InputError(
        f"{given!r} is not a plan: give its text, such as 'deepcache(cache_interval=3)', or a mapping of methods "
        "to their parameters."
    )


def _pair(text: str) -> tuple[str, Value]:
    name, _, value = (part.strip() for part in text.partition("="))
    try:
        return name, value_of(value)
    except ValueError:
        known = "neither a number nor a list of steps (0-3:5:9) nor a name"
        raise InputError(f"Parameter {name!r} has the value {value!r}: {known}.") from None


def value_of(text: str) -> Value:
    """Reads a value: an integer, another number, a list of steps, or a name. Raises ValueError."""
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    if _STEPS.fullmatch(text) or (_NAME.fullmatch(text) and text not in _NO_NAMES):
        return text
    return float(text)


def step_list(steps: Iterable[int]) -> Value:
    """Returns the list of these steps, sorted and each once: {0, 1, 2, 5} is ``0-2:5``. Raises ValueError if
    empty."""
    runs: list[list[int]] = []
    for step in sorted(set(steps)):
        if runs and step == runs[-1][-1] + 1:
            runs[-1][1:] = [step]
        else:
            runs.append([step])
    return value_of(":".join("-".join(map(str, run)) for run in runs))


def steps_of(value: Value) -> tuple[int, ...]:
    """Returns the steps of a list, in order: ``0-2:5`` is (0, 1, 2, 5), and 5 is (5,).

    Raises:
        ValueError: the value is not a list of steps.
    """
    if isinstance(value, bool | float) or not _STEPS.fullmatch(str(value)):
        raise ValueError(f"{value!r} is not a list of steps, such as 0-3:5:9")
    runs = [list(map(int, run.split("-"))) for run in str(value).split(":")]
    if backwards := next((run for run in runs if run[0] > run[-1]), None):
        raise ValueError(f"{value!r} has a run that goes from {backwards[0]} down to {backwards[1]}")
    found: list[int] = []
    for run in sorted(runs):  # what overlaps is counted once, so that the length of the text bounds the time
        found += range(max(run[0], found[-1] + 1 if found else 0), run[-1] + 1)
    return tuple(found)
