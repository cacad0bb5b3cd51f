"""What the first-block cache promises beyond the contract: which steps rest, and what is reused there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from hasten.denoisers import stacked
from hasten.errors import UnsupportedError
from hasten.methods import apply, work
from hasten.plan import Plan
from hasten.testing.generating import fresh, latents, shared

THRESHOLD = 0.5
PLAN = f"first_block_cache(threshold={THRESHOLD})"


class Call:
    """A call of the denoiser: the image's tokens before and after the first block, and after the last; whether
    the blocks between computed."""

    def __init__(self, before: torch.Tensor) -> None:
        self.before, self.computed = before, False
        self.first = self.last = before

    @property
    def added(self) -> torch.Tensor:
        return self.first - self.before

    @property
    def others(self) -> torch.Tensor:
        return self.last - self.first


@contextmanager
def calls(pipe: Any) -> Iterator[list[Call]]:
    found: list[Call] = []
    head, inner, *_, tail = (block for _, block in stacked(pipe.transformer))

    def begun(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        found.append(Call(kwargs["hidden_states"]))

    hooks = [
        head.register_forward_pre_hook(begun, with_kwargs=True),
        head.register_forward_hook(lambda *call: setattr(found[-1], "first", call[2][1])),
        inner.attn.to_q.register_forward_pre_hook(lambda *_: setattr(found[-1], "computed", True)),
        tail.register_forward_hook(lambda *call: setattr(found[-1], "last", call[2][1])),
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def relative(now: torch.Tensor, before: torch.Tensor) -> float:
    rows = [float((a - b).abs().mean() / b.abs().mean()) for a, b in zip(now, before, strict=True)]
    return max(rows)


def check(found: list[Call]) -> list[bool]:
    """That each call decided and reused as the last one that computed says; which ones computed."""
    kept = found[0]
    assert kept.computed
    for call in found[1:]:
        assert call.computed == (relative(call.added, kept.added) >= THRESHOLD)
        if call.computed:
            kept = call
        else:
            assert torch.equal(call.last, call.first + kept.others)
    return [call.computed for call in found]


@pytest.mark.parametrize("family", ["sd3", "flux"])
def test_the_others_rest_while_the_first_block_hardly_changes(family: str) -> None:
    pipe = shared(family)
    with apply(pipe, PLAN), calls(pipe) as found:
        latents(pipe, num_inference_steps=8)
    computed = check(found)
    assert len(computed) == 8 and 1 < sum(computed) < 8


def test_every_row_of_a_batch_must_hardly_change() -> None:
    """Two images rest where both may."""
    pipe = shared("sd3")
    with apply(pipe, PLAN), calls(pipe) as found:
        latents(pipe, num_inference_steps=8, prompt=["a dog", "a cat"])
    assert all(call.before.shape[0] == 4 for call in found)
    assert not all(check(found))


def test_guidance_in_two_calls_keeps_two() -> None:
    """FLUX with a negative prompt: the call that follows it is compared with, and reuses, its own past."""
    pipe = shared("flux")
    with apply(pipe, PLAN), calls(pipe) as found:
        latents(pipe, num_inference_steps=8, negative_prompt="a bird", true_cfg_scale=3.0)
    assert len(found) == 16
    assert not all(check(found[::2])) and not all(check(found[1::2]))


def test_runs_of_one_step_keep_nothing_of_each_other() -> None:
    """FLUX gives timesteps by value, the same one at each such run."""
    pipe = shared("flux")
    with apply(pipe, "first_block_cache(threshold=1)"), calls(pipe) as found:
        for seed in range(3):
            latents(pipe, num_inference_steps=1, seed=seed)
    assert [call.computed for call in found] == [True] * 3


def test_what_it_declares_is_a_guess_between_all_and_nothing() -> None:
    pipe = shared("sd3")
    shares = [
        sum(bool(step.blocks) for step in work(Plan.parse(f"first_block_cache(threshold={t})"), pipe, 20))
        for t in (0, 0.05, 0.1, 0.2, 0.4, 1)
    ]
    assert shares[0] == 0 and shares == sorted(set(shares)) and shares[-1] < 20


def test_a_single_block_has_no_others() -> None:
    pipe = fresh("sd3")
    del pipe.transformer.transformer_blocks[1:]
    with pytest.raises(UnsupportedError, match="has a single block: First-block cache has none that could rest"):
        apply(pipe, PLAN)
