"""The recorded expectations of the contract suite: one line a method in expectations.json.

A line has a plan with effect at four steps, plans that are illegal, and for each family the counted work of a
run with the plan; ``pytest tests/contracts --refresh-recorded`` counts anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

from hasten.methods import METHODS, clash
from hasten.plan import Plan

FILE = Path(__file__).parent / "expectations.json"
EXPECTED: dict[str, dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))
NAMES = METHODS.names()
CORE = ("deepcache", "schedule", "tgate", "tome")
"""The methods that store what others compute: all their sets are tested. Any other method is tested alone, and
beside each largest set of these that it goes with, so that the suite grows by two or three sets a method."""


def _together(names: Iterable[str]) -> bool:
    return not clash(map(METHODS.get, names))


def _largest(sets: Iterable[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    """Those that are no part of another, each once."""
    found = tuple(dict.fromkeys(sets))
    return tuple(c for c in found if not any(set(c) < set(other) for other in found))


def _core_sets(least: int) -> Iterator[tuple[str, ...]]:
    for size in range(least, len(CORE) + 1):
        yield from filter(_together, combinations(CORE, size))


def _beside(name: str) -> tuple[tuple[str, ...], ...]:
    """The method alone, and with each largest set of the core that it goes with."""
    sets = (tuple(n for n in core if _together((n, name))) for core in _largest(_core_sets(1)))
    return ((name,), *(tuple(sorted((*others, name))) for others in _largest(sets) if others))


COMBINATIONS = (*_core_sets(1), *(c for name in NAMES if name not in CORE for c in _beside(name)))
LARGEST = _largest(COMBINATIONS)
"""Those that are no part of another."""


def orders(names: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Orders to take methods off in: all of up to three; of more, each method first, and last, once."""
    if len(names) <= 3:
        yield from permutations(names)
    else:
        yield from ((*names[i:], *names[:i]) for i in range(len(names)))


def with_most(name: str) -> tuple[str, ...]:
    """The method with as many others as it goes with."""
    return max((c for c in LARGEST if name in c), key=len)


def effective(names: tuple[str, ...]) -> Plan:
    return Plan.parse("+".join(EXPECTED[name]["effective"] for name in names))


def neutral(names: tuple[str, ...], pipe: Any, steps: int) -> Plan:
    return Plan.of({n: {p.name: p.neutral for p in METHODS.get(n).parameters(pipe, steps)} for n in names})


def record(name: str, family: str, counts: dict[str, int]) -> None:
    recorded = json.loads(FILE.read_text(encoding="utf-8"))
    recorded[name]["counts"][family] = counts
    lines = ",\n".join(f"  {json.dumps(n)}: {json.dumps(recorded[n])}" for n in sorted(recorded))
    FILE.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
