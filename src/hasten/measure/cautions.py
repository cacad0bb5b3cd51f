"""All warnings about timings and settings."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from enum import Enum

import numpy as np

from hasten.measure.stats import relative_spread
from hasten.records import FEW_PAIRS, Interval

RESTLESS = 0.2  # the least relative spread of times that is warned of
PRECISION = 0.02
"""A speedup counts as known when its interval is within this share of it on either side."""
FAR = 5.0
"""A time is an outlier where it exceeds the median by a tenth and this many robust standard deviations."""
SLOW_START = 2.0
DRIFTED = 0.15
CORES = 0.25
CONTEXT_BYTES = 2 << 30
"""The GPU memory that CUDA and its libraries may hold for the measuring process itself, beside PyTorch's own."""


class Caution(Enum):
    """The texts of the warnings, with fields to fill in."""

    FEW_PAIRS = "Only {pairs} timed pair(s): there is no interval of the speedup."
    IMPRECISE = "After {pairs} pairs, the most that are timed, the speedup is known to {half:.0%} either way only."
    RESTLESS = (
        "The {side}'s times spread by {spread:.0%} (interquartile range over median): "
        "something else may be running on this device. Measure again when it is idle."
    )
    SLOW_START = (
        "The {side}'s first timed call took {first:.3g} s, the later ones {later:.3g} s: something was still "
        "being compiled or loaded. Warm it up longer."
    )
    OUTLIERS = "{count} of the {side}'s {calls} calls took over {limit:.3g} s, far more than the others."
    DRIFT = (
        "Calls took {change:.0%} {more} at the end than at the beginning: heat, or other work that came or went. "
        "Baseline and plan were timed in turn, so that it falls on both."
    )
    BUSY_CORES = "Other processes used {used:.1f} of the {cores} cores meanwhile: measure again when they rest."
    NOT_DISTILLED = (
        "The LCM scheduler is made for weights that were distilled for it, or for an LCM-LoRA beside them, and "
        "{model} shows no sign of either: its baseline's images are poor, and a loss against them says little. "
        "Name another scheduler."
    )
    MANY_STEPS = (
        "The weights are distilled ({kind}) for {most} steps at most, and the baseline takes {steps}: it is "
        "slower than people run such a model, which flatters every speedup."
    )
    GUIDED = (
        "The weights are distilled ({kind}) to do without guidance, and the guidance scale is {scale:g}: that "
        "computes a second half of each batch, and makes the images worse. Give a guidance scale of 1 or less."
    )
    SPACING = (
        "Weights that are distilled ({kind}) need a scheduler with timestep_spacing 'trailing', and that of "
        "{scheduler} is {spacing!r} here: the images are worse than the model's own."
    )
    BUSY_GPU = "Other processes hold {gib:.1f} GiB of this GPU. Measure again when it is idle."

    def says(self, **figures: object) -> str:
        return self.value.format(**figures)


def of_times(baseline: Sequence[float], plan: Sequence[float]) -> Iterator[str]:
    """Yields the warnings about two series of times, in seconds and in the order in which they were taken."""
    if len(baseline) < FEW_PAIRS:
        yield Caution.FEW_PAIRS.says(pairs=len(baseline))
        return
    yield from of_side("baseline", baseline)
    yield from of_side("plan", plan)
    yield from _drift(baseline, plan)


def of_side(side: str, times: Sequence[float]) -> Iterator[str]:
    """Yields the warnings about one series of times; none where it is short."""
    if len(times) >= FEW_PAIRS and (spread := relative_spread(times)) > RESTLESS:
        yield Caution.RESTLESS.says(side=side, spread=spread)
    elif len(times) > FEW_PAIRS:
        yield from _far_off(side, times)


def of_precision(speedup: float, interval: Interval | None, pairs: int) -> Iterator[str]:
    """Yields the warning that the limit on pairs was reached before the speedup was known."""
    if interval is None:
        return
    half = (interval[1] - interval[0]) / 2 / speedup
    if half > PRECISION:
        yield Caution.IMPRECISE.says(pairs=pairs, half=half)


def _far_off(side: str, times: Sequence[float]) -> Iterator[str]:
    later = float(np.median(times[1:]))
    if times[0] > SLOW_START * later:
        yield Caution.SLOW_START.says(side=side, first=times[0], later=later)
        return
    middle = float(np.median(times))
    scatter = 1.4826 * float(np.median(np.abs(np.asarray(times) - middle)))
    limit = 1.1 * middle + FAR * scatter
    if count := sum(t > limit for t in times):
        yield Caution.OUTLIERS.says(count=count, side=side, calls=len(times), limit=limit)


def _drift(baseline: Sequence[float], plan: Sequence[float]) -> Iterator[str]:
    """Yields the warning of a drift, from the first and last third of both series, each over its own median."""
    third = len(baseline) // 3
    if third < FEW_PAIRS:
        return
    rows = np.asarray([baseline, plan], dtype=np.float64)
    rows = rows / np.median(rows, axis=1, keepdims=True)
    begin, end = np.median(rows[:, :third], axis=1), np.median(rows[:, -third:], axis=1)
    change = end / begin - 1
    if np.all(change > DRIFTED) or np.all(change < -DRIFTED):
        average = float(change.mean())
        yield Caution.DRIFT.says(change=abs(average), more="longer" if average > 0 else "less")


class OtherLoad:
    """Other load on the device since this object was made: used cores for the CPU, held memory for CUDA.

    The cores used by others are the machine's busy time minus this process's own. Work of other machines on the
    same host (``steal``) counts as others'. Their share of a GPU's time could only be told with its vendor's
    tools, so that the memory they hold is reported instead.

    Args:
        device: the device that is measured on.
        own_s: returns the CPU seconds that the measured work has used so far; by default those of this process.
    """

    def __init__(self, device: str, own_s: Callable[[], float] = time.process_time) -> None:
        self.device, self._own_s = device, own_s
        self._began, self._own, self._busy = time.monotonic(), own_s(), _busy_s()

    def cautions(self) -> Iterator[str]:
        """Yields the warnings about the load until now."""
        if self.device.startswith("cuda"):
            if (others := _memory_of_others(self.device)) > CONTEXT_BYTES:
                yield Caution.BUSY_GPU.says(gib=others / 2**30)
        elif (used := self._cores()) > CORES:
            yield Caution.BUSY_CORES.says(used=used, cores=os.cpu_count())

    def _cores(self) -> float:
        others_s = _busy_s() - self._busy - (self._own_s() - self._own)
        return others_s / max(time.monotonic() - self._began, 1e-9)


def _busy_s() -> float:
    """Returns the seconds that all cores together were busy since the machine was started."""
    import psutil

    spent = psutil.cpu_times()._asdict()
    # Linux counts guests in user and nice as well, so that they must not be added again.
    return sum(s for kind, s in spent.items() if kind not in ("idle", "iowait", "guest", "guest_nice"))


def _memory_of_others(device: str) -> int:
    import torch

    free, total = torch.cuda.mem_get_info(torch.device(device))
    return total - free - torch.cuda.memory_reserved(torch.device(device))
