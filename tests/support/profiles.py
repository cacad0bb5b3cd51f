"""Profiles with given figures, so that what a cost model makes of them can be followed exactly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from hasten.denoisers import denoiser_of, transformer_blocks
from hasten.measure._part_times import _sites
from hasten.measure.blocks import BlockProfile, Merged, Part
from hasten.measure.merging import merged_share

SIDE = 16
RATIOS = (0.1, 0.5, 0.75)
Seconds = Callable[[str, str, float, float], float]
"""A part's seconds by its module, kind, rows (2 guided, 1 not) and share of tokens left."""


def profile_of(pipe: Any, seconds: Seconds, once_s: float = 0.0, between_s: float = 0.0) -> BlockProfile:
    """A profile with given figures instead of measured ones; a part's are those of all its modules."""
    through = tokens_of(denoiser_of(pipe))
    modules = Counter(key for key, _ in _sites(pipe) if key[1] not in ("text", "decode"))
    parts = []
    for (module, kind), count in modules.items():
        tokens = through[module] if kind == "self_attention" else 0
        shares = sorted({merged_share(module, tokens, {module: ratio}) for ratio in RATIOS} - {0.0})
        full, half = (lambda s, r=rows: count * seconds(module, kind, r, 1 - s) for rows in (2, 1))
        merged = tuple(Merged(share=s, full_s=full(s), half_s=half(s)) for s in shares)
        parts.append(Part(module=module, kind=kind, full_s=full(0), half_s=half(0), tokens=tokens, merged=merged))
    return BlockProfile(
        setting="none", environment={}, repeats=1, steps=1, calls=1, guided=True, latency_s=1, half_latency_s=1,
        text_s=once_s, decode_s=0, between_s=between_s, rest_s=0, hook_s=0, parts=tuple(parts),
    )  # fmt: skip


def tokens_of(denoiser: Any) -> dict[str, int]:
    """How many tokens each layer of transformers has."""
    names = {module: name for name, module in denoiser.named_modules()}
    found = {}
    for block in transformer_blocks(denoiser):
        layer, inner, _ = names[block.module].partition(".transformer_blocks")
        found[layer] = prod(block.grid((SIDE, SIDE)))
        assert inner or layer.startswith("transformer_blocks.")
    return found


def random_profile(pipe: Any) -> BlockProfile:
    """A profile whose figures differ from part to part; the same each time."""
    rng = np.random.default_rng(3)
    figures: dict[tuple[str, str], float] = {}

    def seconds(module: str, kind: str, rows: float, left: float) -> float:
        own = figures.setdefault((module, kind), float(rng.uniform(0.5, 2)))
        return own * (0.3 + 0.35 * rows) * (0.2 + 0.8 * left**2 if left < 1 else 1)

    return profile_of(pipe, seconds, once_s=20.0, between_s=1.5)
