"""What the step schedule promises beyond the contract: its special cases, its halves, and what is kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from diffusers import HeunDiscreteScheduler
from diffusers.callbacks import SDCFGCutoffCallback, SDXLCFGCutoffCallback
from diffusers.models.unets import unet_2d_blocks
from tests.support.marks import star

from hasten.errors import InputError
from hasten.methods import METHODS, apply, check_plan, work
from hasten.methods.base import Step
from hasten.plan import Plan, step_list, steps_of
from hasten.predict.step_cost import step_key
from hasten.testing.generating import UNETS, fresh, latents, shared

STEPS = 6
CUTOFFS = {"sd": SDCFGCutoffCallback, "sdxl": SDXLCFGCutoffCallback}
every_family = pytest.mark.parametrize("family", UNETS)


@contextmanager
def calls(pipe: Any) -> Iterator[list[tuple[torch.Tensor, torch.Tensor, int]]]:
    """The sample and the output of every call of the denoiser, and how many rows it really computed."""
    found: list[tuple[torch.Tensor, torch.Tensor, int]] = []
    rows: list[int] = []

    def keep(module: Any, args: tuple[Any, ...], kwargs: Any, output: Any) -> None:
        found.append((args[0].clone(), output[0].clone(), rows[-1]))

    hooks = [
        pipe.unet.conv_in.register_forward_pre_hook(lambda _, args: rows.append(args[0].shape[0])),
        pipe.unet.register_forward_hook(keep, with_kwargs=True),
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def rows(pipe: Any, plan: str, **given: Any) -> list[int]:
    with apply(pipe, plan), calls(pipe) as found:
        latents(pipe, num_inference_steps=STEPS, **given)
    return [count for _, _, count in found]


def halves(plan: str, pipe: Any) -> list[bool]:
    return [step.guidance for step in work(Plan.parse(plan), pipe, STEPS)]


@pytest.mark.parametrize(("family", "branch", "interval"), star(UNETS, ((0, 2), (0, 4), (1, 3), (4, 2))))
def test_every_so_many_full_steps_are_deepcache(family: str, branch: int, interval: int) -> None:
    pipe = shared(family)
    with apply(pipe, f"deepcache(cache_branch_id={branch},cache_interval={interval})", STEPS):
        image = latents(pipe, num_inference_steps=STEPS)
    plan = Plan.of({"schedule": {"branch_id": branch, "full_steps": step_list(range(0, STEPS, interval))}})
    with apply(pipe, plan, STEPS):
        assert torch.equal(latents(pipe, num_inference_steps=STEPS), image)


@pytest.mark.parametrize(("family", "reuse"), star(UNETS, (1, 0)))
def test_without_guidance_the_guided_steps_have_no_effect(family: str, reuse: int) -> None:
    pipe = shared(family)
    given = {"num_inference_steps": STEPS, "guidance_scale": 1.0, "prompt": ["a dog", "a cat"]}
    with apply(pipe, "schedule(full_steps=0:2:4)", STEPS):
        image = latents(pipe, **given)
    with apply(pipe, f"schedule(full_steps=0:2:4,guided_steps=0,reuse_guidance={reuse})", STEPS):
        assert torch.equal(latents(pipe, **given), image)


@every_family
def test_guidance_goes_on_by_the_difference_of_the_last_guided_step(family: str) -> None:
    pipe = shared(family)
    with apply(pipe, "schedule(guided_steps=0:3)", STEPS), calls(pipe) as found:
        latents(pipe, num_inference_steps=STEPS)
    for number, (_, output, count) in enumerate(found):
        unconditional, conditional = output.chunk(2)
        guided = number in (0, 3)
        assert count == (2 if guided else 1)
        if guided:
            difference = conditional - unconditional
        else:
            assert torch.equal(unconditional, conditional - difference)
            assert difference.abs().max() > 1e-4


@pytest.mark.parametrize(("family", "guided"), star(UNETS, (1, 3, 5)))
def test_guidance_that_ends_is_that_of_a_pipeline_that_ends_it_itself(family: str, guided: int) -> None:
    pipe = shared(family)
    end = CUTOFFS[family](cutoff_step_ratio=None, cutoff_step_index=guided - 1)
    image = latents(pipe, num_inference_steps=STEPS, callback_on_step_end=end)
    with apply(pipe, f"schedule(guided_steps={step_list(range(guided))},reuse_guidance=0)", STEPS):
        assert torch.equal(latents(pipe, num_inference_steps=STEPS), image)
    with apply(pipe, f"schedule(guided_steps={step_list(range(guided))})", STEPS):
        assert not torch.equal(latents(pipe, num_inference_steps=STEPS), image), "guidance that goes on"


@every_family
def test_guidance_that_ended_comes_back(family: str) -> None:
    pipe = shared(family)
    with apply(pipe, "schedule(guided_steps=0:3,reuse_guidance=0)", STEPS), calls(pipe) as found:
        latents(pipe, num_inference_steps=STEPS, prompt=["a dog", "a cat"])
    for number, (_, output, count) in enumerate(found):
        unconditional, conditional = output.chunk(2)
        guided = number in (0, 3)
        assert count == (4 if guided else 2)
        assert torch.equal(unconditional, conditional) != guided


def test_with_reused_features_guidance_ends_all_the_same() -> None:
    """At a step that reuses both, the conditional half is that of a guided step which reuses the same features."""
    pipe = shared("sd")
    found = []
    for plan in ("schedule(full_steps=0)", "schedule(full_steps=0,guided_steps=0,reuse_guidance=0)"):
        with apply(pipe, plan), calls(pipe) as made:
            latents(pipe, num_inference_steps=STEPS)
        found.append(made[1])
    (sample, whole, _), (same, half, count) = found
    assert torch.equal(sample, same) and count == 1
    assert torch.equal(half[:1], half[1:]) and torch.allclose(whole[1:], half[1:], atol=1e-5)


@every_family
def test_where_all_steps_are_guided_there_is_nothing_to_reuse(family: str) -> None:
    pipe = shared(family)
    image = latents(pipe)
    with apply(pipe, "schedule(reuse_guidance=0)"):
        assert torch.equal(latents(pipe), image)


def test_the_half_that_runs_is_the_conditional_one() -> None:
    """Step 1 comes to the same sample with and without; its output agrees in what follows the prompt."""
    pipe = shared("sd")
    found = []
    for plan in ("schedule", "schedule(guided_steps=0)"):
        with apply(pipe, plan), calls(pipe) as made:
            latents(pipe, num_inference_steps=STEPS)
        found.append(made[1])
    (sample, whole, _), (same, half, count) = found
    assert torch.equal(sample, same) and count == 1
    assert torch.allclose(whole[1:], half[1:], atol=1e-5)
    assert not torch.allclose(whole[:1], half[:1], atol=1e-5)


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        ("schedule(full_steps=0,guided_steps=0:2)", [True, False, True, False, False, False]),
        ("schedule(full_steps=0:2,guided_steps=0-1:3-5)", [True, True, False, False, False, False]),
        ("schedule(full_steps=0:2:4,guided_steps=0-1:3-5)", [True, True, False, False, True, True]),
        (
            "schedule(full_steps=0:2:4,guided_steps=0-1:3-5,reuse_guidance=0)",
            [True, True, False, False, True, True],
        ),
    ],
    ids=["cut from both", "stored without guidance", "guided again", "and nothing of it reused"],
)
def test_a_step_that_reuses_has_the_halves_that_were_stored(plan: str, expected: list[bool]) -> None:
    pipe = shared("sd")
    assert halves(plan, pipe) == expected
    assert rows(pipe, plan) == [2 if both else 1 for both in expected]
    assert rows(pipe, plan, prompt=["a dog", "a cat", "a bird"]) == [6 if both else 3 for both in expected]
    assert rows(pipe, plan, guidance_scale=1.0) == [1] * STEPS


def test_a_scheduler_that_calls_twice_a_step() -> None:
    pipe = fresh("sd")
    pipe.scheduler = HeunDiscreteScheduler.from_config(pipe.scheduler.config)
    plan = "schedule(full_steps=0:3,guided_steps=0-2)"
    assert rows(pipe, plan) == [2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1]
    with apply(pipe, plan):
        first = latents(pipe, num_inference_steps=STEPS)
        assert torch.equal(latents(pipe, num_inference_steps=STEPS), first)


def test_with_freeu(monkeypatch: pytest.MonkeyPatch) -> None:
    """FreeU scales an up block's input in place, which may be a part of a stored tensor."""
    pipe, in_place = shared("sd"), unet_2d_blocks.apply_freeu

    def on_a_copy(level: int, hidden: torch.Tensor, *rest: Any, **given: Any) -> Any:
        return in_place(level, hidden.clone(), *rest, **given)

    pipe.enable_freeu(s1=0.9, s2=0.2, b1=1.4, b2=1.6)
    try:
        with apply(pipe, "schedule(branch_id=7,full_steps=0,guided_steps=0:2)"):
            image = latents(pipe)
            monkeypatch.setattr(unet_2d_blocks, "apply_freeu", on_a_copy)
            assert torch.equal(latents(pipe), image)
    finally:
        pipe.disable_freeu()
        for block in pipe.unet.up_blocks:
            for name in ("s1", "s2", "b1", "b2"):
                vars(block).pop(name, None)


def test_kinds_of_steps_and_their_work() -> None:
    pipe = shared("sd")
    steps = work(Plan.parse("schedule(full_steps=0:2,guided_steps=0-1)"), pipe, 4)
    assert steps[0] == Step() and steps[2] == Step(guidance=False, old_guidance=True)
    assert steps[1].guidance and not steps[3].guidance
    assert steps[1].blocks == steps[3].blocks and steps[1].resting == steps[3].resting != frozenset()
    assert steps[1] == work(Plan.parse("deepcache(cache_interval=2)"), pipe, 4)[1]


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        ("full_steps=0:3", "runs runs runs runs runs runs"),
        ("full_steps=0:3,attention_interval=2", "runs reuses runs runs reuses runs"),
        ("full_steps=0:3,attention_interval=6", "runs reuses reuses runs reuses reuses"),
        ("full_steps=0,guided_steps=0:3,attention_interval=6", "runs reuses reuses reuses reuses reuses"),
        ("full_steps=0,guided_steps=0:3,attention_interval=2", "runs reuses runs runs runs reuses"),
    ],
    ids=["always", "every second", "at full steps", "cut from both", "of one half, which cannot serve both"],
)
def test_self_attention_between_full_steps(plan: str, expected: str) -> None:
    """That of the layers outside the branch, which the last of the up blocks has."""
    pipe, runs = shared("sd"), [word == "runs" for word in expected.split()]
    steps = work(Plan.parse(f"schedule({plan})"), pipe, STEPS)
    assert [step.self_attention for step in steps] == [float(run) for run in runs]
    attention = pipe.unet.up_blocks[-1].attentions[-1].transformer_blocks[0].attn1
    seen: list[bool] = []
    hooks = [
        pipe.unet.register_forward_pre_hook(lambda *_: seen.append(False)),
        attention.to_q.register_forward_pre_hook(lambda *_: seen.__setitem__(-1, True)),
    ]
    try:
        with apply(pipe, f"schedule({plan})", STEPS):
            image = latents(pipe, num_inference_steps=STEPS, prompt=["a dog", "a cat"])
            assert seen == runs
            assert torch.equal(latents(pipe, num_inference_steps=STEPS, prompt=["a dog", "a cat"]), image)
    finally:
        for hook in hooks:
            hook.remove()
    without = plan.replace(",attention_interval=6", "").replace(",attention_interval=2", "")
    with apply(pipe, f"schedule({without})", STEPS):
        other = latents(pipe, num_inference_steps=STEPS, prompt=["a dog", "a cat"])
    assert torch.isfinite(image).all() and torch.equal(image, other) == all(runs)


@pytest.mark.parametrize("other", ["", "+tome(ratio=0.5)"])
def test_reused_guidance_costs_nothing_and_is_not_the_same(other: str) -> None:
    given = "schedule(full_steps=0:2,guided_steps=0-1,reuse_guidance={})" + other
    kept, ended = (work(Plan.parse(given.format(reuse)), shared("sd"), 4) for reuse in (1, 0))
    assert list(map(step_key, kept)) == list(map(step_key, ended))
    assert [step.old_guidance for step in kept] == [False, False, True, True]
    assert not any(step.old_guidance for step in ended)
    assert kept[:2] == ended[:2] and kept[2] != ended[2]


@pytest.mark.parametrize("other", ["deepcache(cache_interval=2)", "tgate(gate_step=3)"])
def test_what_replaces_the_same_work_is_refused_beside_it(other: str) -> None:
    title = METHODS.get(Plan.parse(other).methods[0]).title
    with pytest.raises(InputError, match=rf"{title}.* replace the same work|Step schedule.*{title} replace"):
        check_plan(Plan.parse(f"schedule(full_steps=0:2)+{other}"))


@pytest.mark.parametrize("steps", [1, 2, 3, 25, 50])
def test_lists_of_the_grid_begin_with_all_steps_and_grow_shorter(steps: int) -> None:
    for parameter in METHODS.get("schedule").parameters(shared("sd"), steps)[1:3]:
        for value in parameter.grid:
            checked = check_plan(Plan.of({"schedule": {parameter.name: value}}), steps=steps)
            assert checked.parameters["schedule"][parameter.name] == value
        counts = [len(steps_of(value)) for value in parameter.grid]
        assert counts[0] == steps and counts == sorted(set(counts), reverse=True)
