"""Which stopwatch the denoiser's parts are timed with."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch

from hasten.measure import _busy
from hasten.measure._part_times import Arguments, calls_in
from hasten.measure.bench import Bench


def test_where_no_device_can_be_seen_it_counts_as_busy(bench: Bench) -> None:
    assert _busy.busy_share(bench.pipeline, first_call(bench)) == 1.0


def first_call(bench: Bench) -> Arguments:
    pipeline = bench.pipeline
    return calls_in(lambda: pipeline.generate("search", range(pipeline.setting.batch_size)), bench.pipe)[0]


def test_it_looks_at_a_call_as_the_pipeline_makes_it(bench: Bench) -> None:
    args, kwargs = first_call(bench)
    assert args[0].shape[0] == 2 * bench.setting.batch_size and kwargs["encoder_hidden_states"] is not None
    assert not any(module._forward_pre_hooks for module in bench.pipe.unet.modules())
    with torch.no_grad():
        assert bench.pipe.unet(*args, **kwargs)[0].shape == args[0].shape


@pytest.mark.parametrize(("share", "asked"), [(0.3, "cpu"), (0.95, "cuda")])
def test_a_gpu_that_waits_is_timed_by_the_clock(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, share: float, asked: str
) -> None:
    watches: dict[str, Any] = {}
    arguments = first_call(bench)
    monkeypatch.setattr(_busy, "busy_share", lambda *_: share)
    monkeypatch.setattr(_busy, "stopwatch", lambda device: watches.setdefault(device, object()))
    monkeypatch.setattr(
        bench.pipeline, "setting", bench.setting.__class__(**{**vars(bench.setting), "device": "cuda"})
    )
    assert _busy.watch_of(bench.pipeline, arguments) is watches[asked]


def test_the_processor_is_timed_by_the_clock(bench: Bench) -> None:
    assert _busy.watch_of(bench.pipeline, first_call(bench))[0] is time.perf_counter
