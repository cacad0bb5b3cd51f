"""Computes which share of a layer's tokens a plan really merges."""

from __future__ import annotations

from collections.abc import Mapping


def merged_share(module: str, tokens: int, merged: Mapping[str, float]) -> float:
    """Returns the share of a layer's tokens that is merged, where ``merged`` has the wanted shares by block.

    The number of merged tokens is a whole number, so that the real share may be smaller than the wanted one.
    """
    ratio = max((r for name, r in merged.items() if within(name, module)), default=0.0)
    return int(tokens * ratio) / tokens if tokens else 0.0


def within(module: str, outer: str) -> bool:
    """Returns whether a module is the outer one or inside it, by their names."""
    return module == outer or module.startswith(f"{outer}.")
