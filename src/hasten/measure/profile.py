"""Measures how a call's time divides into text encoding, denoiser, decoding and the rest, at several batch
sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from hasten.errors import InputError
from hasten.measure._memory import peak_resident_bytes
from hasten.measure.bench import Bench
from hasten.measure.cautions import OtherLoad, of_side
from hasten.measure.failures import PlanError, PlanMemoryError, plan_failures
from hasten.measure.lock import device_lock
from hasten.measure.pipeline import Pipeline
from hasten.measure.timing import MOST_TIMES, Side, UntilKnown, compared, module_timer, take_turns
from hasten.plan import Plan
from hasten.records import Interval, Record
from hasten.task import Setting

if TYPE_CHECKING:
    import torch

BATCH_SIZES = (1, 2, 4, 8)
Report = Callable[[str], None]
"""Takes a few words about what is being done."""


class Part(Record):
    """A part of a call: its share of the time (0 to 1), and that share of the median latency in seconds."""

    seconds: float
    share: float


class Calls(Record):
    """The warm calls of baseline or plan at one batch size.

    Attributes:
        latency_s: the median of ``times_s``, in seconds a call.
        images_per_s: images per second at that latency.
        parts: ``text_encoding``, ``denoiser``, ``decoding`` and ``rest`` (scheduler, tokenising, converting pixels
            to images), as shares of the sum of all calls. It is empty on devices other than CPU and CUDA.
        peak_memory_bytes: the most memory that CUDA allocated in a call.
        times_s: the seconds of each call.
        parts_times_s: the seconds of each part in each call, in the order of ``times_s``; empty where ``parts``
            is.
    """

    latency_s: float
    images_per_s: float
    parts: dict[str, Part]
    peak_memory_bytes: int | None
    times_s: tuple[float, ...]
    parts_times_s: dict[str, tuple[float, ...]]


class BatchRow(Record):
    """One batch size: the calls of baseline and plan, or the reason why there are none.

    ``speedup`` is the ratio of the medians, and ``speedup_interval`` its interval. ``peak_resident_bytes``, where
    there is no GPU, is the most memory that the whole process had held up to then, which never falls.
    """

    batch_size: int
    reason: str = ""
    baseline: Calls | None = None
    plan: Calls | None = None
    speedup: float | None = None
    speedup_interval: Interval | None = None
    peak_resident_bytes: int | None = None
    warnings: tuple[str, ...] = ()


class FirstCall(Record):
    """A fresh process up to its first images, in seconds.

    Attributes:
        plan: the text of the plan.
        batch_size: the images of the call.
        import_s: importing torch, diffusers and the pipelines' classes.
        load_s: loading the model from its files to its device.
        call_s: the very first call.
        parts_s: the parts of that call.
    """

    plan: str
    batch_size: int
    import_s: float
    load_s: float
    call_s: float
    parts_s: dict[str, float]


class Profile(Record):
    """The division of time in a setting, for the baseline and, where ``plan`` is not ``baseline``, for a plan.

    The setting's batch size is the smallest one that was measured, and that of ``first_calls``.
    """

    setting: Setting
    plan: str
    confidence: float
    environment: dict[str, str]
    batch_sizes: tuple[BatchRow, ...]
    first_calls: tuple[FirstCall, ...] = ()


def profile(
    bench: Bench,
    plan: Plan | None = None,
    *,
    batch_sizes: Sequence[int] = BATCH_SIZES,
    pairs: int = 7,
    report: Report | None = None,
) -> Profile:
    """Times warm calls, from text to images, at each batch size; with a plan, baseline and plan in turn.

    Args:
        bench: measures the setting.
        plan: the plan beside the baseline; None for the baseline alone.
        batch_sizes: images per call, measured in rising order. One that runs out of memory has its reason in its
            row, and larger ones are not tried.
        pairs: the timed calls of each side, after an untimed one. With a plan, up to four times as many are taken
            until the speedup is known to 2%.
        report: called with a few words about what is being done.

    Raises:
        InputError: the plan, a batch size or the number of pairs cannot be used.
        MeasurementError: a call failed for another reason than memory.
    """
    sizes = checked_sizes(batch_sizes)
    if pairs < 1:
        raise InputError(f"The number of pairs is {pairs}: allowed is 1 or more.")
    plan = bench.pipeline.completed(plan or Plan())
    rows: list[BatchRow] = []
    with device_lock(bench.setting.device):
        for size in sizes:
            full = next((row.batch_size for row in rows if row.reason), None)
            if full is None:
                rows.append(_row(bench, plan, size, pairs, report))
            else:
                rows.append(BatchRow(batch_size=size, reason=f"Not tried: {full} already ran out of memory."))
    return Profile(
        setting=bench.setting,
        plan=str(plan),
        confidence=bench.confidence,
        environment=bench.environment,
        batch_sizes=tuple(rows),
    )


def checked_sizes(batch_sizes: Sequence[int]) -> list[int]:
    """Returns the sizes in rising order, each once. Raises InputError where there is none, or one below 1."""
    if not batch_sizes or min(batch_sizes) < 1:
        raise InputError(f"The batch sizes are {list(batch_sizes)}: give one or more, each at least 1.")
    return sorted(set(batch_sizes))


def modules_of(pipeline: Pipeline) -> dict[str, list[torch.nn.Module]]:
    """Returns the modules that are timed as parts of their own. For the VAE it is the decoder, as ``vae.decode``
    is no module."""
    components = pipeline.pipe.components
    encoders = [components[name] for name in sorted(components) if name.startswith("text_encoder")]
    return {
        "text_encoding": [encoder for encoder in encoders if encoder is not None],
        "denoiser": [pipeline.denoiser],
        "decoding": [pipeline.pipe.vae.decoder],
    }


def side_of(pipeline: Pipeline, plan: Plan, batch_size: int) -> Side:
    """Returns the calls of ``batch_size`` images with a plan. Its failures name the plan."""
    call = partial(pipeline.generate, "search", range(batch_size))
    return Side(call, partial(_installed, pipeline, plan))


@contextmanager
def _installed(pipeline: Pipeline, plan: Plan) -> Iterator[None]:
    try:
        with pipeline.time_limit.trial(), plan_failures(), pipeline.installed(plan):
            yield
    except PlanError as failure:
        raise type(failure)(f"{plan}: {failure}") from None


def _row(bench: Bench, plan: Plan, size: int, pairs: int, report: Report | None) -> BatchRow:
    baseline = side_of(bench.pipeline, Plan(), size)
    tell = partial(_tell, report, size)
    try:
        found = _beside(bench, baseline, plan, size, pairs, tell) if plan else _alone(bench, baseline, pairs, tell)
    except PlanMemoryError as failure:
        return BatchRow(batch_size=size, reason=str(failure))
    if not bench.setting.device.startswith("cuda"):
        found["peak_resident_bytes"] = peak_resident_bytes()
    return BatchRow(batch_size=size, baseline=_calls(baseline, size), **found)


def _tell(report: Report | None, size: int, words: str) -> None:
    if report:
        report(f"batch size {size}: {words}")


def _beside(bench: Bench, baseline: Side, plan: Plan, size: int, pairs: int, tell: Report) -> dict[str, Any]:
    """Times baseline and plan in turn, and returns the row's entries about the plan and its speedup."""
    side = side_of(bench.pipeline, plan, size)
    latency = compared(
        baseline,
        side,
        pairs * MOST_TIMES,
        bench.setting.device,
        modules_of(bench.pipeline),
        enough=UntilKnown(pairs, confidence=bench.confidence),
        report=tell,
        confidence=bench.confidence,
        seed=bench.pipeline.seed,
    )
    found = {"speedup": latency.speedup, "speedup_interval": latency.interval, "warnings": latency.warnings}
    return {"plan": _calls(side, size), **found}


def _alone(bench: Bench, side: Side, calls: int, tell: Report) -> dict[str, Any]:
    """Times the baseline, and returns the row's other entries."""
    device = bench.setting.device
    with module_timer(modules_of(bench.pipeline), device) as parts_s:
        side.warm_up()
        load = OtherLoad(device)
        for call in take_turns([side], calls, device, parts_s):
            tell(f"latency {call}/{calls}")
        return {"warnings": (*of_side("baseline", side.times), *load.cautions())}


def _calls(side: Side, size: int) -> Calls:
    latency_s, total_s = float(np.median(side.times)), sum(side.times)
    rows = {name: tuple(parts[name] for parts in side.parts) for name in side.parts[0]}
    if rows:
        rows["rest"] = tuple(t - sum(p.values()) for t, p in zip(side.times, side.parts, strict=True))
    shares = {name: sum(row) / total_s for name, row in rows.items()}
    return Calls(
        latency_s=latency_s,
        images_per_s=size / latency_s,
        parts={name: Part(seconds=share * latency_s, share=share) for name, share in shares.items()},
        peak_memory_bytes=side.peak_memory_bytes,
        times_s=tuple(side.times),
        parts_times_s=rows,
    )
