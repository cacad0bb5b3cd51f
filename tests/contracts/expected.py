"""The recorded expectations of the contract suite: a file for each method in ``methods``.

It has a plan with effect at four steps, plans that are illegal, for each family the counted work of a run with
the plan, or why it is refused, and what holds under each scheduler. ``pytest tests/contracts --refresh-recorded``
finds the last three anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

from hasten.methods import METHODS, clash
from hasten.plan import Plan
from hasten.testing.generating import FAMILIES

FOLDER = Path(__file__).parent / "methods"
EXPECTED: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))
}
APART = tuple(name for name, line in EXPECTED.items() if line.get("apart"))
"""Methods too slow for the suite, which have a test of their own."""
NAMES = tuple(name for name in METHODS.names() if name not in APART)
CORE = ("deepcache", "schedule", "tgate", "tome")
"""The methods that store what others compute: all their sets are tested. Any other method is tested alone, and
beside each largest set of these that it goes with, so that the suite grows by two or three sets a method."""
Names = tuple[str, ...]
SUPPORTED = {f: tuple(n for n in NAMES if f not in EXPECTED[n]["refused"]) for f in FAMILIES}


def _together(names: Iterable[str]) -> bool:
    return not clash(map(METHODS.get, names))


def _largest(sets: Iterable[Names]) -> tuple[Names, ...]:
    """Those that are no part of another, each once."""
    found = tuple(dict.fromkeys(sets))
    return tuple(c for c in found if not any(set(c) < set(other) for other in found))


def _sets(core: Names) -> Iterator[Names]:
    for size in range(1, len(core) + 1):
        yield from filter(_together, combinations(core, size))


def _beside(name: str, core: Names) -> tuple[Names, ...]:
    """The method alone, and with each largest set of the core that it goes with; with the very largest one if it
    leaves out no work, so that nothing of it is stored by others."""
    sets = (tuple(n for n in largest if _together((n, name))) for largest in _largest(_sets(core)))
    found = [tuple(sorted((*others, name))) for others in _largest(sets) if others]
    return ((name,), *(found if METHODS.get(name).cuts_work else sorted(found, key=len)[-1:]))


def _combinations(names: Names) -> tuple[Names, ...]:
    core = tuple(name for name in CORE if name in names)
    return (*_sets(core), *(c for name in names if name not in CORE for c in _beside(name, core)))


COMBINATIONS = {family: _combinations(names) for family, names in SUPPORTED.items()}
"""Of the methods that a family supports, the sets that are tested."""
LARGEST = {family: _largest(found) for family, found in COMBINATIONS.items()}
"""Those that are no part of another."""


def orders(names: Names) -> Iterator[Names]:
    """Orders to take methods off in: all of two, and of what stores; of more, each method first, and last, once,
    and of each two either one before the other."""
    if len(names) == 2 or (set(names) <= set(CORE) and len(names) <= 3):
        yield from permutations(names)
    else:
        yield from ((*names[i:], *names[:i]) for i in range(len(names)))


def with_most(name: str, family: str) -> Names:
    """The method with as many others as it goes with."""
    return max((c for c in LARGEST[family] if name in c), key=len)


def declared(names: Names) -> bool:
    """Whether the methods know before a run what work it will be."""
    return not any(METHODS.get(name).adaptive for name in names)


def effective(names: Names) -> Plan:
    return Plan.parse("+".join(EXPECTED[name]["effective"] for name in names))


def neutral(names: Names, pipe: Any, steps: int) -> Plan:
    """Of those methods that have neutral parameters."""
    found = {name: METHODS.get(name).neutral(pipe, steps) for name in names}
    return Plan.of({name: given for name, given in found.items() if given is not None})


def record(name: str, family: str, found: dict[str, int] | str) -> None:
    """Keeps the counted work, or the reason of a refusal."""
    recorded = _read(name)
    for kind in ("counts", "refused"):
        recorded.setdefault(kind, {}).pop(family, None)
    recorded["refused" if isinstance(found, str) else "counts"][family] = found
    _write(name, recorded)


def record_support(family: str, scheduler: str, found: Mapping[str, str]) -> None:
    """Keeps by method what was found of it on the family under the scheduler."""
    for name, cell in found.items():
        recorded = _read(name)
        recorded.setdefault("schedulers", {}).setdefault(family, {})[scheduler] = cell
        _write(name, recorded)


def support(family: str) -> dict[str, dict[str, str]]:
    """What is recorded of the family: by scheduler, and by method."""
    found: dict[str, dict[str, str]] = {}
    for name in NAMES:
        for scheduler, cell in _read(name).get("schedulers", {}).get(family, {}).items():
            found.setdefault(scheduler, {})[name] = cell
    return found


def _read(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def _write(name: str, recorded: Mapping[str, Any]) -> None:
    text = json.dumps(recorded, indent=1, ensure_ascii=False)
    (FOLDER / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")
