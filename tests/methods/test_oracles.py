"""The packages DeepCache 0.1.1, tgate 1.0.0 and tomesd 0.1.3 as oracles: bit-identical wherever they are right."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pytest
import tgate
import tomesd
import torch
from DeepCache import DeepCacheSDHelper
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    PixArtAlphaPipeline,
    PixArtSigmaPipeline,
    UNet2DConditionModel,
    UniPCMultistepScheduler,
)
from tests.support.marks import star

from hasten.methods import METHODS, apply
from hasten.testing.generating import UNETS, counting, fresh, latents, shared

every_family = pytest.mark.parametrize("family", UNETS)
LOADERS = {"sd": tgate.TgateSDLoader, "sdxl": tgate.TgateSDXLLoader}
JOINT_LOADERS = {"sd": tgate.TgateSDDeepCacheLoader, "sdxl": tgate.TgateSDXLDeepCacheLoader}
SCHEDULERS = (
    DDIMScheduler,
    EulerDiscreteScheduler,
    EulerAncestralDiscreteScheduler,
    DPMSolverMultistepScheduler,
    UniPCMultistepScheduler,
)


def _id(value: Any) -> str:
    return getattr(value, "__name__", str(value))


def text(name: str, parameters: dict[str, Any]) -> str:
    return f"{name}({','.join(f'{k}={v}' for k, v in parameters.items())})"


def with_helper(pipe: Any, **parameters: int) -> Any:
    helper = DeepCacheSDHelper(pipe=pipe)
    helper.set_params(**parameters)
    helper.enable()
    return pipe


@lru_cache
def one_layer() -> Any:
    """Stable Diffusion with one layer a block and three levels, the shape of the embedded model."""
    pipe = fresh("sd")
    torch.manual_seed(3)
    kinds = {"down_block_types": ("CrossAttnDownBlock2D",) * 3, "up_block_types": ("CrossAttnUpBlock2D",) * 3}
    config = {**pipe.unet.config, **kinds, "layers_per_block": 1, "block_out_channels": (32, 64, 64)}
    pipe.unet = UNet2DConditionModel.from_config(config).eval()
    return pipe


def assert_same_deepcache(pipe: Any, branch: int, interval: int, **given: Any) -> None:
    parameters = {"cache_branch_id": branch, "cache_interval": interval}
    helper = with_helper(pipe, **parameters).unet
    with counting(helper) as theirs:
        want = latents(pipe, **given)
    for module in pipe.unet.modules():  # what disable() leaves behind
        vars(module).pop("forward", None)
    with apply(pipe, text("deepcache", parameters)), counting(pipe.unet) as ours:
        assert torch.equal(latents(pipe, **given), want)
    assert ours == theirs


@pytest.mark.full  # at branches of each kind below
@pytest.mark.parametrize(("family", "branches"), [("sd", range(12)), ("sdxl", range(9))])
def test_deepcache_at_every_branch(family: str, branches: range) -> None:
    pipe = fresh(family)
    for branch in branches:
        assert_same_deepcache(pipe, branch, 3)


def test_deepcache_with_one_layer_a_block() -> None:
    _, branch = METHODS.get("deepcache").parameters(one_layer(), 25)
    assert branch.allowed == (0, 1, 3, 4, 6, 7)
    assert branch.grid == (3, 1, 0)
    for number in branch.allowed:
        assert_same_deepcache(one_layer(), int(number), 2)


@pytest.mark.parametrize(("family", "scheduler"), star(UNETS, SCHEDULERS), ids=_id)
def test_deepcache_under_schedulers(family: str, scheduler: Any) -> None:
    pipe = fresh(family)
    pipe.scheduler = scheduler.from_config(pipe.scheduler.config)
    assert_same_deepcache(pipe, 1, 2, num_inference_steps=5)


TGATES = (
    {"gate_step": 4, "sp_interval": 2, "fi_interval": 2, "warm_up": 1},
    {"gate_step": 1, "sp_interval": 1, "fi_interval": 3, "warm_up": 0},
    {"gate_step": 5, "sp_interval": 3, "fi_interval": 1, "warm_up": 2},
    {"gate_step": 8, "sp_interval": 2, "fi_interval": 1, "warm_up": 3},
)


@pytest.mark.parametrize(("family", "parameters"), star(UNETS, TGATES), ids=str)
def test_tgate(family: str, parameters: dict[str, int]) -> None:
    pipe = LOADERS[family](fresh(family))
    given = {"num_inference_steps": 8, "prompt": ["a dog", "a cat"]}
    want = latents(pipe, pipe.tgate, **given, **parameters)
    with apply(shared(family), text("tgate", parameters)):
        assert torch.equal(latents(shared(family), **given), want)


PIXARTS = (
    (PixArtAlphaPipeline, tgate.TgatePixArtAlphaLoader),
    (PixArtSigmaPipeline, tgate.TgatePixArtSigmaLoader),
)


@pytest.mark.parametrize(("kind", "loader", "parameters"), star(PIXARTS, TGATES), ids=_id)
def test_tgate_on_transformers(kind: Any, loader: Any, parameters: dict[str, int]) -> None:
    pipe = kind(**fresh("pixart").components)
    pipe.set_progress_bar_config(disable=True)
    given = {"num_inference_steps": 8, "prompt": ["a dog", "a cat"]}
    with apply(pipe, text("tgate", parameters)):
        image = latents(pipe, **given)
    loader(pipe)
    assert torch.equal(image, latents(pipe, pipe.tgate, **given, **parameters))


@pytest.mark.parametrize(("family", "parameters", "branch"), star(UNETS, TGATES[:3], (0, 4)), ids=str)
def test_tgate_with_deepcache(family: str, parameters: dict[str, int], branch: int) -> None:
    pipe = JOINT_LOADERS[family](fresh(family), cache_interval=3, cache_branch_id=branch)
    want = latents(pipe, pipe.tgate, num_inference_steps=8, **parameters)
    deepcache = text("deepcache", {"cache_interval": 3, "cache_branch_id": branch})
    with apply(shared(family), f"{deepcache}+{text('tgate', parameters)}"):
        assert torch.equal(latents(shared(family), num_inference_steps=8), want)


TOMES = (
    {"ratio": 0.5, "max_downsample": 2},
    {"ratio": 0.75, "max_downsample": 4},
    {"ratio": 0.3, "max_downsample": 2, "sx": 4, "sy": 2},
)


@pytest.mark.parametrize(("family", "parameters"), star(UNETS, TOMES), ids=str)
def test_tome(family: str, parameters: dict[str, Any]) -> None:
    """The package's private generator begins as the global one is; ours as one seeded with 0."""
    pipe = tomesd.apply_patch(fresh(family), **parameters)
    shapes = ({}, {"height": 104, "width": 152}, {"guidance_scale": 1.0})
    for given in shapes:
        tomesd.apply_patch(pipe, **parameters)
        want = latents(pipe, **given)
        with apply(shared(family), text("tome", parameters)):
            assert torch.equal(latents(shared(family), **given), want), given


@every_family
def test_tome_with_deepcache(family: str) -> None:
    pipe = tomesd.apply_patch(fresh(family), ratio=0.5, max_downsample=2)
    want = latents(with_helper(pipe, cache_interval=2, cache_branch_id=1))
    plan = "deepcache(cache_interval=2,cache_branch_id=1)+tome(ratio=0.5,max_downsample=2)"
    with apply(shared(family), plan):
        assert torch.equal(latents(shared(family)), want)
