"""Whether a GPU is kept busy by its processor, or waits for it."""

from __future__ import annotations

import time

from hasten.denoisers import denoiser_of
from hasten.measure._hooks import Arguments
from hasten.measure.pipeline import Pipeline
from hasten.measure.timing import Stopwatch, stopwatch, synchronise

BUSY = 0.85
"""From this share of the time on it is the GPU that a call waits for, and below it the processor."""
CALLS = 3


def watch_of(pipeline: Pipeline, arguments: Arguments) -> Stopwatch:
    """What the parts of the denoiser are timed with: ``stopwatch``'s, or the clock where a GPU waits.

    ``arguments``: of one of the denoiser's calls.

    A GPU that waits for its processor takes as long as the launching does. Its events tell that badly: they are
    launched as well, and where the GPU lags for a few layers they count for these what later ones make up for.
    """
    device = pipeline.setting.device
    waits = device.startswith("cuda") and busy_share(pipeline, arguments) < BUSY
    return stopwatch("cpu" if waits else device)


def busy_share(pipeline: Pipeline, arguments: Arguments) -> float:
    """The share of such a call of the denoiser during which the GPU computes, 0 to 1; 1 where that is not seen."""
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
