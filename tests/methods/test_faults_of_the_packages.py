"""Where the packages are wrong: each fault shown, and hasten's own method shown right.

In ``make test`` test_contract.py shows hasten's own right, and test_oracles.py beside the packages.
"""

from __future__ import annotations

from typing import Any

import pytest
import tgate
import tomesd
import torch
from DeepCache import DeepCacheSDHelper
from diffusers import HeunDiscreteScheduler, PNDMScheduler
from diffusers.models.attention_processor import AttnProcessor2_0

from hasten.errors import InputError, ParameterError
from hasten.methods import apply
from hasten.testing.generating import counting, fresh, img2img, latents, picture, shared

pytestmark = pytest.mark.full
TGATE = {"gate_step": 3, "sp_interval": 2, "fi_interval": 2, "warm_up": 0}
TGATE_PLAN = "tgate(gate_step=3,sp_interval=2,fi_interval=2,warm_up=0)"


@pytest.fixture
def pipe() -> Any:
    return shared("sd")


@pytest.fixture
def package_pipe() -> Any:
    """One of its own: the packages leave traces."""
    return fresh("sd")


def deepcache(pipe: Any, interval: int = 3, branch: int = 0) -> DeepCacheSDHelper:
    helper = DeepCacheSDHelper(pipe=pipe)
    helper.set_params(cache_interval=interval, cache_branch_id=branch)
    helper.enable()
    return helper


def test_deepcache_enabled_twice(pipe: Any, package_pipe: Any) -> None:
    helper = deepcache(package_pipe)
    helper.enable()
    with pytest.raises(RecursionError):
        latents(package_pipe)
    with apply(pipe, "deepcache"):
        image = latents(pipe)
        with pytest.raises(InputError, match="DeepCache is already applied"):
            apply(pipe, "deepcache")
        assert torch.equal(latents(pipe), image)


def test_deepcache_branch_beyond_the_model(pipe: Any, package_pipe: Any) -> None:
    deepcache(package_pipe, branch=99)
    with counting(package_pipe.unet) as counts:
        latents(package_pipe)
    assert counts["resnets"] == 4 * 22 - 2 * 2  # only the mid block's two rest, without a word
    with pytest.raises(ParameterError, match="cache_branch_id is 99: allowed is an integer, 0, 1, 2"):
        apply(pipe, "deepcache(cache_branch_id=99)")


@pytest.mark.parametrize("timestep", [981, torch.tensor([981, 981])])
def test_deepcache_timestep_forms(pipe: Any, package_pipe: Any, timestep: Any) -> None:
    inputs = {"sample": torch.ones(2, 4, 16, 16), "encoder_hidden_states": torch.ones(2, 16, 32)}
    package_pipe.scheduler.set_timesteps(4)
    deepcache(package_pipe)
    with pytest.raises((IndexError, AttributeError, RuntimeError)):
        package_pipe.unet(inputs["sample"], timestep, inputs["encoder_hidden_states"])
    with pytest.raises(IndexError):
        package_pipe.unet(**inputs, timestep=timestep)
    with torch.no_grad(), apply(pipe, "deepcache"):
        positional = pipe.unet(inputs["sample"], timestep, inputs["encoder_hidden_states"]).sample
        assert torch.equal(pipe.unet(**inputs, timestep=timestep).sample, positional)


def test_deepcache_image_to_image_after_text_to_image(pipe: Any, package_pipe: Any) -> None:
    drawn = {"image": picture(), "strength": 0.75, "num_inference_steps": 8}
    deepcache(package_pipe)
    own = latents(img2img(package_pipe), **drawn)
    other = fresh("sd")
    deepcache(other)
    latents(other, num_inference_steps=8)
    assert not torch.equal(latents(img2img(other), **drawn), own)
    with apply(pipe, "deepcache(cache_interval=3)"):
        assert torch.equal(latents(img2img(pipe), **drawn), own)
        latents(pipe, num_inference_steps=8)
        assert torch.equal(latents(img2img(pipe), **drawn), own)


def test_deepcache_interval_where_a_timestep_repeats(pipe: Any, package_pipe: Any) -> None:
    """PNDM's first step takes two calls, and its second timestep comes twice: the package counts those wrongly."""

    def full_calls(pipe: Any) -> list[bool]:
        calls: list[bool] = []
        hooks = [
            pipe.unet.register_forward_pre_hook(lambda *_: calls.append(False)),
            pipe.unet.mid_block.resnets[0].conv1.register_forward_pre_hook(lambda *_: calls.__setitem__(-1, True)),
        ]
        latents(pipe, num_inference_steps=6)
        for hook in hooks:
            hook.remove()
        return calls

    scheduler = PNDMScheduler.from_config(pipe.scheduler.config, skip_prk_steps=True)
    package_pipe.scheduler, before = scheduler, pipe.scheduler
    deepcache(package_pipe, interval=2)
    assert full_calls(package_pipe) == [True, False, False, False, True, False, True]
    pipe.scheduler = scheduler
    with apply(pipe, "deepcache(cache_interval=2)"):
        assert full_calls(pipe) == [True, True, False, True, False, True, False]
    pipe.scheduler = before


def test_tgate_has_no_way_back(pipe: Any, package_pipe: Any) -> None:
    plain = latents(package_pipe, num_inference_steps=5)
    tgate.TgateSDLoader(package_pipe)
    latents(package_pipe, package_pipe.tgate, num_inference_steps=5, **TGATE)
    assert not torch.equal(latents(package_pipe, num_inference_steps=5), plain)
    with apply(pipe, TGATE_PLAN):
        latents(pipe, num_inference_steps=5)
    assert torch.equal(latents(pipe, num_inference_steps=5), plain)


def test_tgate_without_guidance(pipe: Any, package_pipe: Any) -> None:
    tgate.TgateSDLoader(package_pipe)
    one, two = (
        {"guidance_scale": 1.0, "prompt": prompts, "num_inference_steps": 5}
        for prompts in (["a dog"], ["a dog", "a cat"])
    )
    with pytest.raises(ValueError):
        latents(package_pipe, package_pipe.tgate, **one, **TGATE)
    other = {**two, "prompt": ["a dog", "a bird"]}

    def packaged(given: dict[str, Any]) -> torch.Tensor:
        own = tgate.TgateSDLoader(fresh("sd"))
        return latents(own, own.tgate, **given, **TGATE)

    assert not torch.allclose(packaged(two)[:1], packaged(other)[:1], atol=1e-3), "image 0 depends on prompt 1"
    with apply(pipe, TGATE_PLAN):
        first = latents(pipe, **two)
        assert torch.equal(first[:1], latents(pipe, **other)[:1])
        assert torch.allclose(first[:1], latents(pipe, **one), atol=1e-4)


def test_tgate_under_a_scheduler_with_two_calls_a_step(pipe: Any, package_pipe: Any) -> None:
    """Heun at 20 steps and gate 10: guidance must stay for 10 steps, 20 of the 39 calls."""

    def guided_calls(pipe: Any, call: Any, **given: Any) -> int:
        rows: list[int] = []
        hook = pipe.unet.conv_in.register_forward_pre_hook(lambda _, args: rows.append(args[0].shape[0]))
        latents(pipe, call, num_inference_steps=20, height=64, width=64, **given)
        hook.remove()
        assert len(rows) == 39
        return rows.count(2)

    heun = HeunDiscreteScheduler.from_config(pipe.scheduler.config)
    tgate.TgateSDLoader(package_pipe)
    package_pipe.scheduler = heun
    assert guided_calls(package_pipe, package_pipe.tgate, **{**TGATE, "gate_step": 10}) == 9
    before, pipe.scheduler = pipe.scheduler, heun
    with apply(pipe, "tgate(gate_step=10)"), counting(pipe.unet) as counts:
        assert guided_calls(pipe, None) == 20
    assert counts["cross_attention"] == 20 * 16
    pipe.scheduler = before


class Doubling(AttnProcessor2_0):
    """An attention processor of one's own."""

    def __call__(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        return 2 * super().__call__(*args, **kwargs)


def test_tgate_keeps_attention_processors() -> None:
    never = {"gate_step": 4, "sp_interval": 1, "fi_interval": 1, "warm_up": 0}
    pipe = fresh("sd")
    pipe.unet.set_attn_processor(Doubling())
    plain = latents(pipe)
    with apply(pipe, "tgate(gate_step=4,sp_interval=1,fi_interval=1,warm_up=0)"):
        assert torch.equal(latents(pipe), plain)
    tgate.TgateSDLoader(pipe)
    assert not torch.equal(latents(pipe, pipe.tgate, **never), plain)


def test_tgate_on_image_to_image(pipe: Any, package_pipe: Any) -> None:
    drawn = {"image": picture(), "strength": 0.75, "num_inference_steps": 8}
    other = img2img(package_pipe)
    tgate.TgateSDLoader(other)
    with pytest.raises(TypeError):
        latents(other, other.tgate, **drawn, **TGATE)
    with apply(pipe, TGATE_PLAN), counting(pipe.unet) as counts:
        latents(img2img(pipe), **drawn)
    assert counts["calls"] == 6
    assert counts["cross_attention"] == 3 * 16, "three steps of the six that image to image takes"


def test_tgate_with_deepcache_applied_beside(pipe: Any, package_pipe: Any) -> None:
    deepcache(package_pipe)
    tgate.TgateSDLoader(package_pipe)
    with pytest.raises(RuntimeError):
        latents(package_pipe, package_pipe.tgate, num_inference_steps=6, **TGATE)
    with apply(pipe, "deepcache(cache_interval=3)"), apply(pipe, TGATE_PLAN):
        assert torch.isfinite(latents(pipe, num_inference_steps=6)).all()


def test_tgate_reuses_whole_images_with_tome(pipe: Any, package_pipe: Any) -> None:
    """What is stored must be in the image's own order: the merged order is another at each call."""

    def stored_lengths(pipe: Any, call: Any, **given: Any) -> set[int]:
        lengths: set[int] = set()
        attention = pipe.unet.down_blocks[0].attentions[0].transformer_blocks[0].attn1
        hook = attention.register_forward_hook(lambda *call: lengths.add(call[2].shape[1]))
        latents(pipe, call, **given)
        hook.remove()
        return lengths

    tgate.TgateSDLoader(package_pipe)
    tomesd.apply_patch(package_pipe, ratio=0.5)
    assert stored_lengths(package_pipe, package_pipe.tgate, **TGATE) == {128}
    with apply(pipe, f"{TGATE_PLAN}+tome(ratio=0.5,max_downsample=1)"):
        assert stored_lengths(pipe, None) == {256}


def test_tome_repeats(pipe: Any, package_pipe: Any) -> None:
    tomesd.apply_patch(package_pipe, ratio=0.5)
    assert not torch.equal(latents(package_pipe), latents(package_pipe))
    with apply(pipe, "tome(ratio=0.5)"):
        assert torch.equal(latents(pipe), latents(pipe))


def test_tome_without_effect_on_sdxl() -> None:
    package_pipe, pipe = fresh("sdxl"), shared("sdxl")
    plain = latents(package_pipe)
    tomesd.apply_patch(package_pipe, ratio=0.5)
    assert torch.equal(latents(package_pipe), plain)
    with pytest.raises(ParameterError, match=r"no effect: max_downsample 1 .* begins at 2"):
        apply(pipe, "tome(ratio=0.5,max_downsample=1)")
    with apply(pipe, "tome(ratio=0.5)"):  # the default is one that has
        assert not torch.equal(latents(pipe), plain)


def test_tome_stride_beyond_the_grid(pipe: Any, package_pipe: Any) -> None:
    small = {"height": 64, "width": 64}
    tomesd.apply_patch(package_pipe, ratio=0.3, max_downsample=4, sx=4, sy=4)
    with pytest.raises(IndexError):
        latents(package_pipe, **small)
    with apply(pipe, "tome(ratio=0.3,max_downsample=4,sx=4,sy=4)"):
        assert torch.isfinite(latents(pipe, **small)).all()
