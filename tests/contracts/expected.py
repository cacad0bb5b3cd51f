"""The recorded expectations of the contract suite: one line a method in expectations.json.

A line has a plan with effect at four steps, plans that are illegal, and for each family the counted work of a
run with the plan; ``pytest tests/contracts --refresh-recorded`` counts anew.
"""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

from hasten.methods import METHODS, clash
from hasten.plan import Plan

FILE = Path(__file__).parent / "expectations.json"
EXPECTED: dict[str, dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))
NAMES = METHODS.names()
COMBINATIONS = tuple(
    c for size in range(1, len(NAMES) + 1) for c in combinations(NAMES, size) if not clash(map(METHODS.get, c))
)
LARGEST = tuple(c for c in COMBINATIONS if not any(set(c) < set(other) for other in COMBINATIONS))
"""Those that no method can be added to."""


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
