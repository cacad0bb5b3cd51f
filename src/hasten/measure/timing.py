"""Interleaved wall-clock times of two calls. Importing this imports no torch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hasten.errors import InputError
from hasten.measure.cautions import PRECISION, OtherLoad, of_precision, of_times
from hasten.measure.stats import CONFIDENCE, bootstrap_ratio_of_medians
from hasten.records import FEW_PAIRS, Latency

if TYPE_CHECKING:
    import torch

Call = Callable[[], object]
Around = Callable[[], AbstractContextManager[object]]
Cautions = Callable[[], Iterable[str]]
Enough = Callable[[Sequence[float], Sequence[float]], bool]
PartsOf = Callable[[], dict[str, float]]
Stopwatch = tuple[Callable[[], Any], Callable[[Any, Any], float]]
"""What marks a moment, and what gives the seconds between two of them, in their order."""

MOST_TIMES = 4
"""Times that restless ones are measured at most, of the pairs that are asked for."""
LONGEST_S = 60.0
"""Seconds that the pairs beyond those asked for may take: on a busy machine they tell little more."""


@dataclass
class Side:
    """One of the calls, and its times in seconds. ``around`` is entered and left outside the timed part.

    ``warmup``: untimed calls beforehand. ``parts``: of each timed call, the seconds in each part whose modules are
    timed beside.
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
        """Calls without timing."""
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
    """Times the baseline ``call_a`` and the plan ``call_b`` in turn, in the order A B, B A, A B, …

    The order alternates so that a steady drift of the machine's speed cancels.

    Args:
        pairs: how many times each is timed, at most.
        warmup: untimed calls of each beforehand.
        warmup_a: the same of the baseline alone, where that is warm already; None: ``warmup``.
        device: synchronised before and after each timed call.
        around_a, around_b: make a context manager for each call, entered outside the timed part
            (a plan is installed and removed there).
        denoiser: its share of each call is timed beside.
        enough: asked after each pair with both rows of times; True ends the timing early.
        report: told what goes on.
        cautions: asked in the end what else kept the device busy; None: this process looks itself.
        confidence: what the speedup's interval holds the true one with.

    Raises:
        InputError: ``pairs`` below 1 or a warm-up below 0.
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
    """``interleaved``, of two sides, which keep their times and those of the modules, by part."""
    with module_timer(modules, device) as parts_s:
        a.warm_up()
        b.warm_up()
        look, settled = cautions or OtherLoad(device).cautions, enough is None
        for pair in take_turns((a, b), pairs, device, parts_s):
            if report:
                report(f"latency {pair}/{pairs}")
            if enough and enough(a.times, b.times):
                settled = not (isinstance(enough, UntilKnown) and enough.gave_up)
                break
        beside = tuple(look())
    found = latency_of(a, b, confidence, seed)
    open_still = () if settled else of_precision(found.speedup, found.interval, len(b.times))
    return found.model_copy(update={"warnings": (*found.warnings, *open_still, *beside)})


@dataclass
class UntilKnown:
    """Ends a timing after ``pairs`` pairs or more, three at least: when the speedup's interval is within 2% of it
    on either side, or the pairs beyond those have taken ``longest_s``. Made anew for each timing.

    ``decided`` is asked with the ends of the interval; where that is all that is to be known, True ends it too.
    ``gave_up``: it ended by the time alone.
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
    """Times each side once a turn, in the order A B, B A, A B, …; yields the turns that are done."""
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
    """What the times of baseline and plan tell, equally many of both."""
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
    """Waits until the device has done all its work; the CPU always has."""
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
    """Times every call of the modules, each part's together, outside whatever a method wraps around a forward.

    Yields a function that gives the seconds of each part since it was last asked. On the CPU this reads the
    clock, on CUDA it records events (read when asked, which must be after the device has done its work): no
    waiting is added. Other devices have no such events here: nothing is timed on them.

    A call that fails half-way leaves its part's seconds wrong until they are asked for.
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
    """Hooks that mark the begin and the end of each call."""
    return (
        module.register_forward_pre_hook(lambda *_: marks.append(mark()), prepend=True),
        module.register_forward_hook(lambda *_: marks.append(mark())),
    )


def stopwatch(device: str) -> Stopwatch:
    """Marks moments in the device's work.

    On CUDA the marks are events, which are read after the device has done its work; elsewhere the clock.
    """
    if not device.startswith("cuda"):
        return time.perf_counter, lambda start, end: end - start
    import torch

    def mark() -> Any:
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(torch.device(device)))
        return event

    return mark, lambda start, end: start.elapsed_time(end) / 1000
