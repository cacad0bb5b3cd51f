"""MagCache beside diffusers' own, and by which ratios it tells how long the blocks may rest."""

from __future__ import annotations

import ast

import pytest
import torch
from diffusers import MagCacheConfig
from diffusers.hooks import apply_mag_cache

from hasten.language.parse import parse
from hasten.methods import apply
from hasten.methods.magcache import METHOD, _State
from hasten.testing.generating import counting, fresh, latents, shared

STEPS = 8


@pytest.mark.parametrize("most", [1, 3])
@pytest.mark.parametrize("family", ["pixart", "sd3", "flux"])
def test_it_draws_what_diffusers_draws_at_the_same_steps(family: str, most: int) -> None:
    """Whatever the ratios are: where no error is too large, as many steps rest in a row as may."""
    pipe = fresh(family)
    with apply(pipe, f"magcache(threshold=1.0,max_skip_steps={most},first_step=2)", STEPS):
        image = latents(pipe, num_inference_steps=STEPS)
    config = MagCacheConfig(
        threshold=1e9, max_skip_steps=most, retention_ratio=0.25, num_inference_steps=STEPS, mag_ratios=[1.0] * 8
    )
    apply_mag_cache(pipe.transformer, config)
    assert torch.equal(latents(pipe, num_inference_steps=STEPS), image)


def test_its_ratio_is_the_one_that_diffusers_measures(capsys: pytest.CaptureFixture[str]) -> None:
    pipe = fresh("flux")
    latents(pipe, num_inference_steps=4)
    apply_mag_cache(pipe.transformer, MagCacheConfig(calibrate=True, num_inference_steps=4))
    latents(pipe, num_inference_steps=4)
    measured = ast.literal_eval(capsys.readouterr().out.strip().splitlines()[-1])
    error = abs(1 - measured[2])  # from the second step to the third, by which the fourth is told
    for threshold, rested in ((0.99 * error, 0), (1.01 * error, 1)):
        plan = f"magcache(threshold={threshold},first_step=3)"
        with apply(shared("flux"), plan, 4), counting(shared("flux").transformer) as counts:
            latents(shared("flux"), num_inference_steps=4)
        assert counts["blocks"] == 6 * (4 - rested)


def resting(sizes: list[list[float]], **given: float) -> list[bool]:
    """Whether the blocks rest, where what they add has these sizes, step by step, in each row of a batch."""
    state, found = _State(METHOD.check(given)), []
    for number, rows in enumerate(sizes):
        state.step(number)
        state.begin(whole=True)
        image = torch.zeros(len(rows), 3, 4)
        state.enter(image)
        found.append(state.resting)
        if state.resting:
            state.reused()
        else:
            state.keep(torch.tensor(rows)[:, None, None] * torch.ones_like(image))
    return found


def test_errors_add_up_until_they_are_too_large() -> None:
    """Of additions that shrink by a tenth a step, 0.1, 0.1 + 0.19, 0.1 + 0.19 + 0.271: two steps rest."""
    sizes = [[0.9**n] for n in range(9)]
    assert resting(sizes, threshold=0.3, first_step=3) == [False] * 3 + [True, True, False] * 2
    assert resting(sizes, threshold=0.3, first_step=3, max_skip_steps=1) == [False] * 3 + [True, False] * 3
    assert not any(resting(sizes, threshold=0.0))


def test_the_row_that_changes_most_counts() -> None:
    still, moving = [1.0] * 6, [0.9**n for n in range(6)]
    assert resting([[a, b] for a, b in zip(still, still, strict=True)], first_step=2) == [False] * 2 + [
        True, True, True, False,
    ]  # fmt: skip
    assert not any(resting([[a, b] for a, b in zip(still, moving, strict=True)], first_step=2))


def test_guidance_in_two_calls_is_kept_apart() -> None:
    pipe, entered, left = shared("flux"), list[torch.Tensor](), list[torch.Tensor]()
    blocks = pipe.transformer
    hooks = (
        blocks.transformer_blocks[0].register_forward_pre_hook(
            lambda *call: entered.append(call[2]["hidden_states"]), with_kwargs=True
        ),
        blocks.single_transformer_blocks[-1].register_forward_hook(lambda *call: left.append(call[2][1])),
    )
    with apply(pipe, "magcache(threshold=1.0,first_step=2)"), counting(blocks) as counts:
        latents(pipe, num_inference_steps=3, negative_prompt="a bird", true_cfg_scale=3.0)
    for hook in hooks:
        hook.remove()
    assert counts["blocks"] == 6 * 4  # both calls of the first two steps
    added = [after - before for before, after in zip(entered, left, strict=True)]
    for call in (4, 5):
        torch.testing.assert_close(added[call], added[call - 2], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(added[4], added[5], rtol=1e-2)


@pytest.mark.parametrize(
    "words", ["Make SD3 faster with MagCache, threshold 0.1", "用幅值缓存（threshold为0.1）加速SD3流水线"]
)
def test_requests_name_it(words: str) -> None:
    task = parse(words)
    assert task.methods == ("magcache",)
    assert task.parameters == {"magcache": {"threshold": 0.1}}
