"""Interleaved wall-clock times of two calls. Importing it imports no torch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hasten.errors import InputError
from hasten.measure.cautions import PRECISION, OtherLoad, of_precision, of_times
from hasten.measure.stats import bootstrap_ratio_of_medians
from hasten.records import CONFIDENCE, FEW_PAIRS, Latency

if TYPE_CHECKING:
    import torch

Call = Callable[[], object]
Around = Callable[[], AbstractContextManager[object]]
"""Makes the context manager that is entered around a call, outside the timed part."""
Cautions = Callable[[], Iterable[str]]
"""Returns warnings about what else kept the device busy."""
Enough = Callable[[Sequence[float], Sequence[float]], bool]
"""Returns whether the times of baseline and plan so far are enough."""
PartsOf = Callable[[], dict[str, float]]
"""Returns the seconds of each part since it was last called."""
Stopwatch = tuple[Callable[[], Any], Callable[[Any, Any], float]]
"""A function that marks a moment, and one that returns the seconds between two marks, in their order."""

MOST_TIMES = 4
"""The factor by which more pairs are timed than asked for, at most, where times are restless."""
LONGEST_S = 60.0
"""The most seconds for the pairs beyond those asked for. On a busy machine more pairs tell little."""


@dataclass
class Side:
    """One of the two calls, and its times in seconds.

    Attributes:
        call: the call.
        around: makes a context manager that is entered and left outside the timed part.
        warmup: the number of untimed calls before.
        times: the seconds of each timed call.
        parts: the seconds of each timed part in each of these calls.
        peak_memory_bytes: the most memory that a call took on a GPU.
    """

    call: Call
    around: Around = nullcontext
    warmup: int = 1
    times: list[float] = field(default_factory=list)
    parts: list[dict[str, float]] = field(default_factory=list)
    peak_memory_bytes: int | None = None

    @property
    def denoiser_times(self) -> list[float]:
        return [parts["denoiser"] for parts in self.parts if "denoiser" in parts]

    def warm_up(self) -> None:
        """Makes the untimed calls."""
        for _ in range(self.warmup):
            with self.around():
                self.call()


def interleaved(
    call_a: Call,
    call_b: Call,
    *,
    pairs: int = 7,
    warmup: int = 1,
    warmup_a: int | None = None,
    device: str = "cpu",
    around_a: Around = nullcontext,
    around_b: Around = nullcontext,
    denoiser: torch.nn.Module | None = None,
    enough: Enough | None = None,
    report: Callable[[str], None] | None = None,
    cautions: Cautions | None = None,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Latency:
    """Times the baseline ``call_a`` and the plan ``call_b`` in the order A B, B A, A B, …

    The order alternates so that a steady drift of the machine's speed cancels.

    Args:
        call_a: a call of the baseline.
        call_b: a call with the plan.
        pairs: the most pairs that are timed.
        warmup: the number of untimed calls of each before.
        warmup_a: the number of untimed calls of the baseline; None for ``warmup``.
        device: the device, which is synchronised before and after each timed call.
        around_a: makes a context manager for each call of the baseline, entered outside the timed part.
        around_b: the same for the plan, which is installed and removed there.
        denoiser: the module whose share of each call is timed as well.
        enough: called after each pair with the times of both; True ends the timing.
        report: called with a few words about what is being done.
        cautions: returns warnings about what else kept the device busy; None for those that this process sees.
        confidence: the probability that the speedup's interval holds the true one.
        seed: the seed of the interval's bootstrap.

    Raises:
        InputError: ``pairs`` is below 1, or a warm-up below 0.
    """
    first = warmup if warmup_a is None else warmup_a
    if pairs < 1 or min(warmup, first) < 0:
        raise InputError(f"{pairs} pairs after {warmup} warm-up calls: allowed are 1 or more, and 0 or more.")
    a, b = Side(call_a, around_a, first), Side(call_b, around_b, warmup)
    modules = {"denoiser": [denoiser]} if denoiser is not None else {}
    return compared(
        a,
        b,
        pairs,
        device,
        modules,
        enough=enough,
        report=report,
        cautions=cautions,
        confidence=confidence,
        seed=seed,
    )


def compared(
    a: Side,
    b: Side,
    pairs: int,
    device: str,
    modules: Mapping[str, Sequence[torch.nn.Module]],
    *,
    enough: Enough | None = None,
    report: Callable[[str], None] | None = None,
    cautions: Cautions | None = None,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Latency:
    """Does what ``interleaved`` does, for two sides, which keep their times and those of the modules by part."""
    with module_timer(modules, device) as parts_s:
        a.warm_up()
        b.warm_up()
        look, is_precise = cautions or OtherLoad(device).cautions, enough is None
        for pair in take_turns((a, b), pairs, device, parts_s):
            if report:
                report(f"latency {pair}/{pairs}")
            if enough and enough(a.times, b.times):
                is_precise = not (isinstance(enough, UntilKnown) and enough.gave_up)
                break
        beside = tuple(look())
    found = latency_of(a, b, confidence, seed)
    imprecise = () if is_precise else of_precision(found.speedup, found.interval, len(b.times))
    return found.model_copy(update={"warnings": (*found.warnings, *imprecise, *beside)})


@dataclass
class UntilKnown:
    """Ends a timing after ``pairs`` pairs or more, three at least, once the speedup is known. Each timing needs a
    new one.

    It ends when the speedup's interval is within 2% of it on either side, when ``decided`` returns True for the
    ends of that interval, or when the pairs beyond those asked for have taken ``longest_s``. ``gave_up`` tells
    that only the time ended it.
    """

    pairs: int
    decided: Callable[[float, float], bool] | None = None
    confidence: float = CONFIDENCE
    longest_s: float = LONGEST_S
    gave_up: bool = False

    def __call__(self, baseline: Sequence[float], plan: Sequence[float]) -> bool:
        if len(plan) < max(self.pairs, FEW_PAIRS):
            return False
        speedup, (low, high) = bootstrap_ratio_of_medians(baseline, plan, confidence=self.confidence)
        if high - low <= 2 * PRECISION * speedup or (self.decided is not None and self.decided(low, high)):
            return True
        self.gave_up = sum(baseline[self.pairs :]) + sum(plan[self.pairs :]) >= self.longest_s
        return self.gave_up


def take_turns(sides: Sequence[Side], turns: int, device: str, parts_s: PartsOf) -> Iterator[int]:
    """Times each side once a turn, in the order A B, B A, A B, …, and yields the number of turns so far."""
    for turn in range(turns):
        for side in sides if turn % 2 == 0 else reversed(sides):
            _time(side, device, parts_s)
        yield turn + 1


def _time(side: Side, device: str, parts_s: PartsOf) -> None:
    with side.around():
        synchronise(device)
        _reset_peak(device)
        parts_s()
        start = time.perf_counter()
        side.call()
        synchronise(device)
        side.times.append(time.perf_counter() - start)
        side.parts.append(parts_s())
        if (peak := _peak(device)) is not None:
            side.peak_memory_bytes = max(peak, side.peak_memory_bytes or 0)


def latency_of(a: Side, b: Side, confidence: float, seed: int) -> Latency:
    """Returns the latency that the times of baseline and plan show, equally many of both."""
    import numpy as np

    speedup, interval = bootstrap_ratio_of_medians(a.times, b.times, confidence=confidence, seed=seed)
    return Latency(
        speedup=speedup,
        interval=interval,
        confidence=confidence,
        baseline_s=float(np.median(a.times)),
        plan_s=float(np.median(b.times)),
        baseline_times_s=tuple(a.times),
        times_s=tuple(b.times),
        baseline_denoiser_times_s=tuple(a.denoiser_times),
        denoiser_times_s=tuple(b.denoiser_times),
        peak_memory_bytes=b.peak_memory_bytes,
        warnings=tuple(of_times(a.times, b.times)),
    )


def synchronise(device: str) -> None:
    """Waits until the device has done all its work. The CPU always has."""
    if not device.startswith("cpu"):
        import torch

        torch.get_device_module(device).synchronize(torch.device(device))


def _reset_peak(device: str) -> None:
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(torch.device(device))


def _peak(device: str) -> int | None:
    if not device.startswith("cuda"):
        return None
    import torch

    return torch.cuda.max_memory_allocated(torch.device(device))


@contextmanager
def module_timer(parts: Mapping[str, Sequence[torch.nn.Module]], device: str) -> Iterator[PartsOf]:
    """Times every call of the modules, summed over each part, outside whatever a method wraps around a forward.

    Yields a function that returns the seconds of each part since it was last called. On the CPU the clock is read.
    On CUDA events are recorded, and read when that function is called, which must be after the device has done its
    work; no waiting is added. Nothing is timed on other devices, which lack such events here.

    A call that fails half-way leaves its part's seconds wrong until the next reading.
    """
    if not device.startswith(("cpu", "cuda")):
        yield dict
        return
    mark, seconds = stopwatch(device)
    marks: dict[str, list[Any]] = {name: [] for name in parts}
    handles = [
        handle
        for name, modules in parts.items()
        for module in modules
        for handle in _marked(module, mark, marks[name])
    ]

    def since_last() -> dict[str, float]:
        pairs = {name: zip(all_[::2], all_[1::2], strict=False) for name, all_ in marks.items()}
        total = {name: sum((seconds(s, e) for s, e in found), 0.0) for name, found in pairs.items()}
        for found in marks.values():
            found.clear()
        return total

    try:
        yield since_last
    finally:
        for handle in handles:
            handle.remove()


def _marked(module: torch.nn.Module, mark: Callable[[], Any], marks: list[Any]) -> tuple[Any, Any]:
    """Adds hooks that mark the beginning and the end of each call, and returns them."""
    return (
        module.register_forward_pre_hook(lambda *_: marks.append(mark()), prepend=True),
        module.register_forward_hook(lambda *_: marks.append(mark())),
    )


def stopwatch(device: str) -> Stopwatch:
    """Returns the stopwatch of a device.

    On CUDA the marks are events, which are read after the device has done its work; elsewhere they are clock
    times.
    """
    if not device.startswith("cuda"):
        return time.perf_counter, lambda start, end: end - start
    import torch

    def mark() -> Any:
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(torch.device(device)))
        return event

    return mark, lambda start, end: start.elapsed_time(end) / 1000
