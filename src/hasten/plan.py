"""A plan: methods with their parameters, and its canonical text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from hasten.errors import InputError

Value = int | float
Parameters = dict[str, Value]

BASELINE = "baseline"
_CALL = re.compile(r"\s*([A-Za-z_][\w-]*)\s*(?:\(([^()]*)\))?\s*")


@dataclass(frozen=True)
class Plan:
    """Methods and their parameters, sorted by name, so that equal plans have equal text.

    The text of the empty plan is ``baseline``. A plan knows nothing about the methods themselves:
    whether they exist and the values are legal is checked by ``hasten.methods``.
    """

    calls: tuple[tuple[str, tuple[tuple[str, Value], ...]], ...] = ()

    @classmethod
    def of(cls, parameters: Mapping[str, Mapping[str, Value]]) -> Plan:
        """The plan of ``{"deepcache": {"cache_interval": 3}}``."""
        return cls(tuple((name, tuple(sorted(parameters[name].items()))) for name in sorted(parameters)))

    @classmethod
    def parse(cls, text: str) -> Plan:
        """Reads canonical text back, e.g. ``deepcache(cache_interval=3)+tome(ratio=0.5)``.

        Raises:
            InputError: the text is no plan.
        """
        if text.strip() in ("", BASELINE):
            return cls()
        found: dict[str, Parameters] = {}
        for part in text.split("+"):
            match = _CALL.fullmatch(part)
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
        """A fresh ``{method: {parameter: value}}``."""
        return {name: dict(pairs) for name, pairs in self.calls}

    def __bool__(self) -> bool:
        return bool(self.calls)

    def __str__(self) -> str:
        calls = (f"{name}({','.join(f'{k}={v!r}' for k, v in pairs)})" for name, pairs in self.calls)
        return "+".join(calls) or BASELINE


def _pair(text: str) -> tuple[str, Value]:
    name, _, value = text.partition("=")
    try:
        number: Value = int(value) if re.fullmatch(r"\s*-?\d+\s*", value) else float(value)
    except ValueError:
        message = f"Parameter {name.strip()!r} has the value {value.strip()!r}: not a number."
        raise InputError(message) from None
    return name.strip(), number
