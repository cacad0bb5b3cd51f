"""Steps are the scheduler's, and a new run is noticed however it comes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DEISMultistepScheduler,
    DPMSolverMultistepScheduler,
    DPMSolverSinglestepScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    KDPM2DiscreteScheduler,
    LCMScheduler,
    PNDMScheduler,
    UniPCMultistepScheduler,
)

from hasten.methods import METHODS, apply, deepcache, tgate
from hasten.methods._clock import Clock
from hasten.methods._run import Member
from hasten.methods._stats import Tally
from hasten.methods.base import State
from hasten.schedulers import step_numbers
from hasten.testing.generating import counting, fresh, img2img, latents, picture, shared

SAMPLE = torch.zeros(2, 4, 8, 8)
TGATE = "tgate(gate_step=2,sp_interval=1,fi_interval=1,warm_up=0)"


class Log(State):
    """Writes down what the clock says of one call of a run's steps; ``runs`` has a list for each."""

    def __init__(self, runs: list[list[int]]) -> None:
        self._runs, self._run = runs, []

    def start(self) -> None:
        """Nothing is kept."""

    def step(self, number: int) -> None:
        if not self._run:
            self._runs.append(self._run)
        self._run.append(number)


class Holder:
    """What the clock needs of a pipeline."""

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler


class Denoiser:
    """What the clock needs of a denoiser: the names of its arguments, and its weights, of which it has none."""

    def forward(self, sample: torch.Tensor, timestep: Any) -> None:
        """Computes nothing."""

    def parameters(self) -> tuple[()]:
        return ()


def clock_of(scheduler: Any, *, run_wide: bool = True) -> tuple[list[list[int]], Any]:
    runs: list[list[int]] = []
    clock, method = Clock(shared("sd").unet), METHODS.get("channels_last")
    clock.tallies["log"] = Tally(method, Holder(scheduler), {}, print)
    clock.join(Member(1, "log", lambda: Log(runs), run_wide))
    return runs, lambda timestep, sample=SAMPLE: clock.wrapper(lambda *_: None, Denoiser(), sample, timestep)


@pytest.mark.parametrize("steps", [1, 2, 5, 20])
@pytest.mark.parametrize(
    ("scheduler", "settings"),
    [
        (DDIMScheduler, {}),
        (EulerDiscreteScheduler, {}),
        (DPMSolverMultistepScheduler, {}),
        (DPMSolverSinglestepScheduler, {}),
        (UniPCMultistepScheduler, {}),
        (DEISMultistepScheduler, {}),
        (LCMScheduler, {}),
        (HeunDiscreteScheduler, {}),
        (KDPM2DiscreteScheduler, {}),
        (PNDMScheduler, {"skip_prk_steps": True}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_run_has_as_many_steps_as_asked(scheduler: Any, settings: dict[str, Any], steps: int) -> None:
    made = scheduler(**settings)
    runs, call = clock_of(made)
    for _ in range(2):
        made.set_timesteps(steps)
        for timestep in made.timesteps:
            call(timestep)
    assert runs == [list(range(steps))] * 2


def test_calls_of_one_step() -> None:
    heun = HeunDiscreteScheduler()
    heun.set_timesteps(4)
    assert step_numbers(heun) == [0, 0, 1, 1, 2, 2, 3]
    pndm = PNDMScheduler(skip_prk_steps=True)
    pndm.set_timesteps(5)
    assert step_numbers(pndm) == [0, 0, 1, 2, 3, 4]
    runge_kutta = PNDMScheduler()
    runge_kutta.set_timesteps(6)
    assert step_numbers(runge_kutta) == [0] * 4 + [1] * 4 + [2] * 4 + [3, 4, 5]


def test_a_run_that_begins_in_the_middle() -> None:
    heun = HeunDiscreteScheduler()
    runs, call = clock_of(heun)
    heun.set_timesteps(10)
    for timestep in heun.timesteps[6 * heun.order :]:
        call(timestep)
    assert runs == [[0, 1, 2, 3]]


def test_one_step_after_another_and_after_an_aborted_run() -> None:
    ddim = DDIMScheduler()
    runs, call = clock_of(ddim)
    for steps, calls in ((1, 1), (1, 1), (8, 3), (2, 2), (8, 2), (8, 8)):
        ddim.set_timesteps(steps)
        for timestep in ddim.timesteps[:calls]:
            call(timestep)
    assert [len(run) for run in runs] == [1, 1, 3, 2, 2, 8]
    for timestep in ddim.timesteps[-3:]:  # again over the same timesteps
        call(timestep)
    assert runs[-1] == [0, 1, 2]


def test_timesteps_of_an_unknown_scheduler_numbers_and_copies() -> None:
    runs, call = clock_of(DDIMScheduler())
    for timestep in torch.tensor([900, 600, 600, 300]):
        call(timestep)
    for timestep in (900, 600, 600, 300.5):
        call(timestep)
    for timestep in (900, 600, 300):
        call(torch.tensor([timestep, timestep]))
    assert runs == [[0, 1, 2]] * 3


def test_expanded_timesteps() -> None:
    ddim = DDIMScheduler()
    runs, call = clock_of(ddim)
    for _ in range(2):
        ddim.set_timesteps(3)
        for timestep in ddim.timesteps:
            call(timestep.expand(2))
    assert runs == [[0, 1, 2]] * 2


def test_another_batch_within_a_run_and_with_numbers() -> None:
    ddim = DDIMScheduler()
    runs, call = clock_of(ddim, run_wide=False)
    ddim.set_timesteps(4)
    for number, timestep in enumerate(ddim.timesteps):
        call(timestep, SAMPLE if number < 2 else SAMPLE[:1])
    assert runs == [[0, 1], [2, 3]], "the run goes on, and what was kept for the other batch is not used"
    runs, call = clock_of(ddim)
    for timestep, sample in ((500, SAMPLE), (400, SAMPLE), (300, SAMPLE[:1]), (200, SAMPLE[:1])):
        call(timestep, sample)
    assert runs == [[0, 1], [0, 1]]


def test_another_scheduler_object() -> None:
    pipe = fresh("sd")
    with apply(pipe, f"deepcache(cache_interval=2)+{TGATE}"):
        pipe.scheduler = HeunDiscreteScheduler.from_config(pipe.scheduler.config)
        with counting(pipe.unet) as counts:
            latents(pipe, num_inference_steps=4)
    assert counts["calls"] == 7
    assert counts["cross_attention"] == 4 * 16  # the two first steps' calls, all of them anew


def test_a_pipeline_with_a_scheduler_of_its_own() -> None:
    pipe = fresh("sd")
    other = img2img(pipe)
    other.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
    drawn = {"image": picture(), "strength": 0.5, "num_inference_steps": 8}
    with apply(pipe, TGATE):
        alone = latents(other, **drawn)
        usual = latents(pipe)
        assert torch.equal(latents(other, **drawn), alone)
        with counting(pipe.unet) as counts:
            assert torch.equal(latents(pipe), usual)
    assert counts["cross_attention"] == 2 * 16


def test_guidance_switched_off_within_a_run() -> None:
    """diffusers' own recipe for dynamic guidance: the batch halves in the middle of a run."""
    pipe = shared("sd")

    def switch_off(pipe: Any, number: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        if number == 2:
            tensors["prompt_embeds"] = tensors["prompt_embeds"].chunk(2)[-1]
            pipe._guidance_scale = 0.0
        return tensors

    given = {
        "num_inference_steps": 6,
        "callback_on_step_end": switch_off,
        "callback_on_step_end_tensor_inputs": ["prompt_embeds"],
    }
    plain = latents(pipe, **given)
    for plan in ("deepcache(cache_interval=9)", "tgate(gate_step=2)", "tome", "deepcache+tgate(gate_step=3)+tome"):
        with apply(pipe, plan):
            assert torch.isfinite(latents(pipe, **given)).all()
    with apply(pipe, "deepcache(cache_interval=9)"), counting(pipe.unet) as counts:
        latents(pipe, **given)
    assert counts["resnets"] == 22 + 2 * 1 + 22 + 2 * 1, "whole again at the step where the batch halves"
    assert torch.equal(latents(pipe, **given), plain)


class Watched(dict[Any, Any]):
    """Counts what is stored in it."""

    count = 0

    def __setitem__(self, key: Any, value: Any) -> None:
        self.count += 1
        super().__setitem__(key, value)


@pytest.mark.parametrize(
    ("plan", "stores"),
    [
        ("tgate(gate_step=3,sp_interval=1)", False),
        ("tgate(gate_step=2,sp_interval=1)", True),
        ("deepcache(cache_interval=1)", False),
        ("deepcache(cache_interval=2)", True),
    ],
)
def test_what_no_step_can_use_is_not_stored(plan: str, stores: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """T-GATE stores for the gate's step: here the run ends with the one before it, or with it."""
    pipe, watched = shared("sd"), Watched()
    kind = {"tgate": tgate._State, "deepcache": deepcache._State}[plan.partition("(")[0]]
    made = kind.__init__

    def make(self: Any, *args: Any) -> None:
        made(self, *args)
        self.outputs = watched

    monkeypatch.setattr(kind, "__init__", make)
    with apply(pipe, plan):
        latents(pipe, num_inference_steps=3)
    assert bool(watched.count) == stores
