"""How much of a layer's tokens a plan really merges."""

from __future__ import annotations

from collections.abc import Mapping


def merged_share(module: str, tokens: int, merged: Mapping[str, float]) -> float:
    """The share of a layer's tokens that is really merged: whole tokens, of the blocks within the layer."""
    ratio = max((r for name, r in merged.items() if within(name, module)), default=0.0)
    return int(tokens * ratio) / tokens if tokens else 0.0


def within(module: str, outer: str) -> bool:
    """The module is the outer one or inside it, by their names."""
    return module == outer or module.startswith(f"{outer}.")
