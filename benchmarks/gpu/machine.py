"""What the machine can do at most, and what a denoiser asks of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from hasten.measure.bench import Bench
from hasten.measure.failures import plan_failures
from hasten.measure.lock import device_lock
from hasten.measure.timing import Side, take_turns

SIDE, TINY_SIDE = 8192, 256
"""Rows and columns of the matrices; a copied tensor has four times as many numbers."""
AT_ONCE, TURNS = 20, 7


def ceilings(device: str, dtype: torch.dtype, tiny: bool) -> dict[str, float]:
    """Of a product of two large random matrices the floating-point operations a second; of a copy of a large
    tensor within the device's memory the bytes a second, read and written."""
    side = TINY_SIDE if tiny else SIDE
    one, other = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    product = torch.empty_like(one)
    source = torch.randn(4 * side * side, device=device, dtype=dtype)
    target = torch.empty_like(source)
    with device_lock(device):
        product_s = _seconds(lambda: torch.mm(one, other, out=product), device)
        copy_s = _seconds(lambda: target.copy_(source), device)
    return {"flops_per_s": 2 * side**3 / product_s, "bytes_per_s": 2 * source.nbytes / copy_s}


def _seconds(call: Callable[[], object], device: str) -> float:
    """Of one call among many in a row, the median over turns."""
    side = Side(lambda: [call() for _ in range(AT_ONCE)])
    side.warm_up()
    for _ in take_turns([side], TURNS, device, dict):
        pass
    return float(np.median(side.times)) / AT_ONCE


def work_of(bench: Bench) -> dict[str, float]:
    """Floating-point operations of one call of the denoiser, its calls in a run, and the bytes of its weights."""
    denoiser, inputs = bench.pipeline.denoiser, []

    def remember(_: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        inputs.append((args, kwargs))

    handle = denoiser.register_forward_pre_hook(remember, with_kwargs=True)
    with device_lock(bench.setting.device), plan_failures():
        try:
            bench.pipeline.generate("search", range(bench.setting.batch_size))
        finally:
            handle.remove()
        args, kwargs = inputs[-1]
        with torch.no_grad(), _countable(bench.setting.device), FlopCounterMode(display=False) as counter:
            denoiser(*args, **kwargs)
    return {
        "flops": float(counter.get_total_flops()),
        "calls": len(inputs),
        "weights_bytes": sum(p.nbytes for p in denoiser.parameters()),
    }


def _countable(device: str) -> Any:
    """The fused attention of GPUs is counted; that of the CPU only as the products that it consists of."""
    return nullcontext() if device.startswith("cuda") else sdpa_kernel(SDPBackend.MATH)
