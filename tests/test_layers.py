"""Imports point downward only (the layers of the design)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "hasten"
LAYERS = (
    (
        "errors",
        "registry",
        "files",
        "processes",
        "texts",
        "options",
        "plan",
        "limits",
        "task",
        "records",
        "scenes",
    ),
    ("models", "methods", "metrics", "schedulers"),
    ("language",),
    ("store", "measure"),
    ("predict",),
    ("search",),
    ("script", "report"),
    ("workflow",),
    ("api",),
    ("cli", "web"),
)
"""From the lowest to the highest; those of one layer may import each other."""
RANKS = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}


def _layer(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "hasten" and len(parts) > 1 else None


def _imports(path: Path) -> set[str]:
    """The layers that a file imports at run time, also inside functions; not under TYPE_CHECKING."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for child in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found |= {layer for alias in node.names if (layer := _layer(alias.name))}
        elif isinstance(node, ast.ImportFrom) and node.module == "hasten":
            found |= {alias.name for alias in node.names if alias.name in RANKS}
        elif isinstance(node, ast.ImportFrom) and node.module and (layer := _layer(node.module)):
            found.add(layer)
    return found


FILES = [p for p in sorted(SOURCE.rglob("*.py")) if p != SOURCE / "__init__.py"]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_point_downward(path: Path) -> None:
    own = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    own = own if own in RANKS else "cli"
    upward = {layer for layer in _imports(path) if RANKS[layer] > RANKS[own]}
    assert not upward, f"{own} imports upward: {sorted(upward)}"
