"""Seconds of one step, from a profile and the work that is left at the step."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hasten.measure.blocks import BlockProfile
from hasten.measure.merging import merged_share, within
from hasten.methods.base import Step

Numbers = npt.NDArray[np.float64]
StepKey = tuple[object, ...]


def step_key(step: Step) -> StepKey:
    """Returns a key that is equal for steps of equal cost."""
    return (
        step.resting,
        step.self_mode,
        step.cross_attention,
        step.guidance,
        frozenset(step.merged.items()),
    )


class StepCosts:
    """Seconds of a call of the denoiser, by the work that is left.

    A bit mask says which self-attentions have stored their output, with one bit each in the profile's order. One
    that has stored nothing runs where the step would reuse its output.
    """

    def __init__(self, profile: BlockProfile) -> None:
        self._profile, self._parts = profile, profile.parts
        self._cross = np.array([part.kind == "cross_attention" for part in self._parts])
        self._self = [i for i, part in enumerate(self._parts) if part.kind == "self_attention"]
        self._running: dict[frozenset[str], Numbers] = {}
        self._times: dict[tuple[bool, StepKey], Numbers] = {}
        self._seconds_by_key: dict[tuple[StepKey, int], float] = {}

    def seconds(self, step: Step, stored: int = 0) -> float:
        """Returns the seconds of one call of the denoiser, and of what follows it, at a step with that work."""
        key = (step_key(step), stored)
        if key not in self._seconds_by_key:
            parts_s = float(self._shares(step, stored) @ self._seconds(step))
            self._seconds_by_key[key] = self._profile.between(guidance=step.guidance) + parts_s
        return self._seconds_by_key[key]

    def stored(self, step: Step, before: int) -> int:
        """Returns the mask of stored outputs after the step, from the mask before it."""
        if step.self_mode != "store":
            return before
        runs = self._runs(step.resting)
        return before | sum(1 << bit for bit, i in enumerate(self._self) if runs[i])

    def _shares(self, step: Step, stored: int) -> Numbers:
        shares = np.where(self._cross, step.cross_attention, 1.0) * self._runs(step.resting)
        if step.self_mode == "reuse":
            shares[[i for bit, i in enumerate(self._self) if stored >> bit & 1]] = 0.0
        return shares

    def _runs(self, resting: frozenset[str]) -> Numbers:
        """Returns 1 for each part that runs, and 0 for each part inside a module that rests."""
        if resting not in self._running:
            rests = [any(within(part.module, name) for name in resting) for part in self._parts]
            self._running[resting] = 1.0 - np.array(rests, dtype=np.float64)
        return self._running[resting]

    def _seconds(self, step: Step) -> Numbers:
        key = (step.guidance, (frozenset(step.merged.items()),))
        if key not in self._times:
            shares = (merged_share(part.module, part.tokens, step.merged) for part in self._parts)
            self._times[key] = np.array(
                [
                    part.seconds(guidance=step.guidance, share=share)
                    for part, share in zip(self._parts, shares, strict=True)
                ]
            )
        return self._times[key]
