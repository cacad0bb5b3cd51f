"""Tells whether a GPU is kept busy by its processor, or waits for it."""

from __future__ import annotations

import time

from hasten.denoisers import denoiser_of
from hasten.measure._part_times import Arguments
from hasten.measure.pipeline import Pipeline
from hasten.measure.timing import Stopwatch, stopwatch, synchronise

BUSY = 0.85
"""The share of the time from which on a call's duration depends on the GPU, and below which on the processor."""
CALLS = 3


def watch_of(pipeline: Pipeline, arguments: Arguments) -> Stopwatch:
    """Returns the stopwatch for the parts of the denoiser: the device's own, or the clock where a GPU waits.

    A GPU that waits for its processor takes as long as the launches do. Its events measure this badly, because
    they are launched as well: where the GPU lags for a few layers, they add time to these that later layers make
    up for.

    ``arguments`` are those of one of the denoiser's calls.
    """
    device = pipeline.setting.device
    waits = device.startswith("cuda") and busy_share(pipeline, arguments) < BUSY
    return stopwatch("cpu" if waits else device)


def busy_share(pipeline: Pipeline, arguments: Arguments) -> float:
    """Returns the share (0 to 1) of such a call of the denoiser during which the GPU computes; 1 where this is not
    known."""
    import torch

    if torch.profiler.ProfilerActivity.CUDA not in torch.profiler.supported_activities():
        return 1.0
    denoiser, device = denoiser_of(pipeline.pipe), pipeline.setting.device
    args, kwargs = arguments
    with torch.no_grad():
        denoiser(*args, **kwargs)
        synchronise(device)
        start = time.perf_counter()
        for _ in range(CALLS):
            denoiser(*args, **kwargs)
        synchronise(device)
        wall_s = (time.perf_counter() - start) / CALLS
        cuda = torch.profiler.ProfilerActivity.CUDA
        with torch.profiler.profile(activities=[cuda], acc_events=True) as profiler:
            denoiser(*args, **kwargs)
            synchronise(device)
    busy_s = sum(event.self_device_time_total for event in profiler.key_averages()) / 1e6
    return min(1.0, busy_s / wall_s) if busy_s else 1.0
