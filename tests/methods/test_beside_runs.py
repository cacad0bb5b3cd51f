"""Methods where several runs share a denoiser, where a run is broken off, and what is held afterwards."""

from __future__ import annotations

import copy
import gc
import inspect
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, HeunDiscreteScheduler, KDPM2DiscreteScheduler
from tests.contracts.expected import SUPPORTED
from tests.support.marks import rarely
from tests.support.methods import each_method, plan_of

from hasten.denoisers import denoiser_of
from hasten.methods import apply
from hasten.testing.generating import beside, counting, fresh, latents, shared

every_method = each_method(lambda name: name not in ("fewer_steps", "channels_last"))
SECOND_ORDER = (HeunDiscreteScheduler, KDPM2DiscreteScheduler)


def twin(pipe: Any) -> Any:
    """Another pipeline of the same parts, but its scheduler, and its tokenizers, which are not for threads."""
    own = {name: copy.deepcopy(part) for name, part in pipe.components.items() if "tokenizer" in name}
    own["scheduler"] = type(pipe.scheduler).from_config(pipe.scheduler.config)
    if hasattr(pipe, "safety_checker"):
        own["requires_safety_checker"] = False
    other = type(pipe)(**{**pipe.components, **own})
    other.set_progress_bar_config(disable=True)
    return other


@every_method
def test_a_run_within_a_run(family: str, name: str) -> None:
    """A callback draws a preview by another pipeline on the same denoiser; both draw what they draw alone."""
    pipe = fresh(family)
    other, drawn = beside(pipe)
    other.scheduler = type(pipe.scheduler).from_config(pipe.scheduler.config)
    previews: list[torch.Tensor] = []

    def preview(*call: Any) -> dict[str, Any]:
        if call[1] in (0, 2):
            state = torch.get_rng_state()
            previews.append(latents(other, **drawn, num_inference_steps=3))
            torch.set_rng_state(state)
        return dict(call[3])

    if "callback_on_step_end" in inspect.signature(type(pipe).__call__).parameters:
        hooked = {"callback_on_step_end": preview}
    else:
        hooked = {"callback": lambda number, *_: preview(None, number, None, {}), "callback_steps": 1}
    with apply(pipe, plan_of(name)):
        want = latents(pipe)
    with apply(pipe, plan_of(name)):
        want_preview = latents(other, **drawn, num_inference_steps=3)
    with apply(pipe, plan_of(name)) as handle:
        assert torch.equal(latents(pipe, **hooked), want)
    assert len(previews) == 2 and all(torch.equal(found, want_preview) for found in previews)
    assert handle.stats[name].runs == 3


@every_method
def test_two_threads(family: str, name: str) -> None:
    pipe = fresh(family)
    pipes = [pipe, twin(pipe)]
    want = []
    for number in range(2):
        with apply(pipe, plan_of(name)):
            want.append(latents(pipes[number], num_inference_steps=4 + number, prompt=["a dog", "a cat"][number]))
    found: dict[int, torch.Tensor] = {}
    gate = threading.Barrier(2)

    def draw(number: int) -> None:
        gate.wait()
        found[number] = draw_in_thread(pipes[number], number)

    with apply(pipe, plan_of(name)):
        threads = [threading.Thread(target=draw, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    # which kernel computes attention is a switch of the whole process, that the dispatcher turns at each call
    near = 1e-4 if name == "attention_backend" else 0.0
    assert all(torch.allclose(found[number], want[number], rtol=0.0, atol=near) for number in range(2))


def draw_in_thread(pipe: Any, number: int) -> torch.Tensor:
    return latents(pipe, num_inference_steps=4 + number, prompt=["a dog", "a cat"][number])


@pytest.mark.parametrize("scheduler", SECOND_ORDER, ids=lambda s: s.__name__)
def test_a_second_pipeline_with_a_scheduler_of_second_order(scheduler: Any) -> None:
    pipe = fresh("sd")
    other = twin(pipe)
    other.scheduler = scheduler.from_config(pipe.scheduler.config)
    rows: list[int] = []
    hook = pipe.unet.conv_in.register_forward_pre_hook(lambda _, args: rows.append(args[0].shape[0]))
    with apply(pipe, "guidance_cutoff(cutoff_step=5)") as handle:
        latents(other, num_inference_steps=10)
    hook.remove()
    assert rows == [2] * 10 + [1] * 9 and handle.stats["guidance_cutoff"].steps == 10


@pytest.mark.parametrize("steps", [28, 50])
def test_steps_of_flux_whose_timesteps_coincide_in_16_bits(steps: int) -> None:
    """At 2048 pixels the schedule is shifted by 25, so that its first steps lie close together."""
    pipe = fresh("flux")
    pipe.scheduler = FlowMatchEulerDiscreteScheduler(shift=25.0)
    for part in (pipe.transformer, pipe.text_encoder, pipe.text_encoder_2):
        part.to(torch.bfloat16)
    values: list[float] = []
    hook = pipe.transformer.register_forward_pre_hook(
        lambda _, args, given: values.append(float(given["timestep"][0])), with_kwargs=True
    )
    with apply(pipe, "taylorseer(cache_interval=2)") as handle:
        latents(pipe, num_inference_steps=steps)
    hook.remove()
    assert len(set(values)) < steps == len(values), "the values alone do not tell the steps"
    assert handle.stats["taylorseer"].steps == steps


@contextmanager
def stored(pipe: Any) -> Iterator[list[weakref.ref[torch.Tensor]]]:
    """Weak references to all that the modules of the denoiser give."""
    found: list[weakref.ref[torch.Tensor]] = []

    def note(module: Any, args: Any, output: Any) -> None:
        found.extend(
            weakref.ref(x) for x in (output if isinstance(output, tuple) else (output,)) if torch.is_tensor(x)
        )

    hooks = [module.register_forward_hook(note) for module in denoiser_of(pipe).modules()]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def held(pipe: Any) -> list[Any]:
    """The runs that the clock knows, and has states for."""
    return list(vars(denoiser_of(pipe))["_hasten_patches"].clock._runs)


@every_method
def test_nothing_is_held_after_a_call(family: str, name: str) -> None:
    pipe = shared(family)
    other = twin(pipe)
    with apply(pipe, plan_of(name)):
        with stored(pipe) as tensors:
            latents(pipe)
            assert held(pipe) == []
            hook = denoiser_of(pipe).register_forward_pre_hook(Stop(3))
            with pytest.raises(KeyboardInterrupt):
                latents(pipe)
            hook.remove()
            assert held(pipe) == []
            if family == "sdxl":
                latents(pipe, denoising_end=0.5)
                assert held(pipe) == []
            latents(other)
            assert all(not run._lanes for run in held(pipe)), "a pipeline that no method was applied to"
        gc.collect()
        alive = [tensor for tensor in tensors if tensor() is not None]
        assert not alive


class Stop:
    """Breaks off at that call of a module."""

    def __init__(self, call: int) -> None:
        self._left = call

    def __call__(self, *_: Any) -> None:
        self._left -= 1
        if not self._left:
            raise KeyboardInterrupt


ENDING = ("deepcache", "fewer_steps", "schedule", "tgate")
"""Methods that count steps from the first, from the last, and by lists."""


@pytest.mark.parametrize("name", [pytest.param(n, marks=rarely(n not in ENDING)) for n in SUPPORTED["sdxl"]])
def test_a_call_that_ends_early_is_a_whole_run(name: str) -> None:
    pipe = shared("sdxl")
    with apply(pipe, plan_of(name)) as handle:
        first = latents(pipe, denoising_end=0.5, num_inference_steps=8)
        assert torch.equal(latents(pipe, denoising_end=0.5, num_inference_steps=8), first)
        usual = latents(pipe)
    with apply(pipe, plan_of(name)):
        assert torch.equal(latents(pipe), usual)
    assert handle.stats[name].runs == 3


def test_a_step_of_its_own_scheduler_counts_once_for_each_pipeline() -> None:
    pipe = fresh("sd")
    with apply(pipe, "deepcache(cache_interval=2)"), counting(pipe.unet) as counts:
        latents(pipe)
    with apply(pipe, "deepcache(cache_interval=2)"), counting(pipe.unet) as again:
        latents(twin(pipe))
    assert counts == again
