"""The layers of the design: imports point downward only, also inside functions and for types, and in no circle.

``python -m tests.test_layers`` prints the ranks with their lines and imports.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "hasten"
LAYERS = (
    ("texts", "version"),
    ("errors",),
    ("entry_points",),
    ("files", "options", "plan", "registry", "scenes", "schedulers", "verdict"),
    ("denoisers", "limits", "models", "processes"),
    ("methods", "metrics", "task"),
    ("language", "records"),
    ("answer",),
    ("measure", "report"),
    ("store",),
    ("predict",),
    ("search", "script"),
    ("workflow",),
    ("api",),
    ("cli", "testing"),
    ("__init__", "__main__"),
)
"""From the lowest to the highest. Those of one layer do not import each other."""
RANKS = {name: rank for rank, names in enumerate(LAYERS) for name in names}


def test_every_package_has_a_rank() -> None:
    assert {_home(name) for name in _modules()} == set(RANKS)


@pytest.mark.parametrize("home", RANKS)
def test_imports_point_downward(home: str) -> None:
    upward = {
        f"{name} imports {other}"
        for name, others in _imports().items()
        for other in others
        if _home(name) == home != _home(other) and RANKS[_home(other)] >= RANKS[home]
    }
    assert not upward


def test_private_modules_of_methods_are_their_own_business() -> None:
    """What others need to know of denoisers and schedulers is in the packages of those names."""
    private = {
        f"{name} imports {other}"
        for name, others in _imports().items()
        for other in others
        if other.startswith("hasten.methods._") and _home(name) != "methods"
    }
    assert not private


@pytest.mark.parametrize("home", RANKS)
def test_modules_of_one_package_import_in_no_circle(home: str) -> None:
    own = {name for name in _modules() if _home(name) == home}
    left = {name: set(_imports()[name] & own) - {f"hasten.{home}"} for name in own}
    while free := [name for name, others in left.items() if not others]:
        left = {name: others.difference(free) for name, others in left.items() if name not in free}
    assert not left


@cache
def _modules() -> Mapping[str, Path]:
    """All modules by their names; that of a package is the name of its ``__init__``."""
    found = {path: ("hasten", *path.relative_to(SOURCE).with_suffix("").parts) for path in SOURCE.rglob("*.py")}
    return {".".join(p for p in parts if p != "__init__"): path for path, parts in found.items()}


@cache
def _imports() -> Mapping[str, frozenset[str]]:
    """The modules that each imports: when it is imported itself, inside functions, and for types alone."""
    return {name: frozenset(_imported(path) - {name}) for name, path in _modules().items()}


def _imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (inside & _modules().keys()) or {node.module}
    return found & _modules().keys()


def _home(module: str) -> str:
    """The package or top-level module that a module is of."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def _table() -> Iterator[str]:
    for rank, names in enumerate(LAYERS):
        for home in names:
            own = [name for name in _modules() if _home(name) == home]
            lines = sum(len(_modules()[name].read_text(encoding="utf-8").splitlines()) for name in own)
            used = {_home(other) for name in own for other in _imports()[name]} - {home}
            below = ", ".join(sorted(used, key=RANKS.__getitem__)) or "nothing"
            yield f"{rank:2} {home:12} {len(own):3} modules {lines:6,} lines: {below}"


if __name__ == "__main__":
    print("\n".join(_table()))
