"""Methods beside whoever else owns a module's forward: hooks of accelerate and diffusers, put on and taken off."""

from __future__ import annotations

import copy
import functools
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from accelerate import cpu_offload
from accelerate.hooks import ModelHook, add_hook_to_module, remove_hook_from_module
from diffusers import PyramidAttentionBroadcastConfig
from diffusers.hooks import HookRegistry, apply_pyramid_attention_broadcast
from diffusers.hooks.hooks import ModelHook as DiffusersHook
from tests.support.marks import rarely
from tests.support.methods import each_method, each_method_with, plan_of

from hasten.denoisers import attentions, denoiser_of
from hasten.errors import InputError, UnsupportedError
from hasten.methods import METHODS, apply
from hasten.testing.generating import FAMILIES, attributes, fresh, latents

ACTING = ("deepcache", "faster_cache", "first_block_cache", "guidance_cutoff", "half_precision", "magcache",
          "pyramid_attention", "schedule", "taylorseer", "tgate", "tome")  # fmt: skip
"""The methods that wrap anything."""
every_method = each_method(ACTING.__contains__)


def hooked(denoiser: Any) -> Callable[[], None]:
    """As diffusers' model offload does it: a hook on the denoiser alone."""
    add_hook_to_module(denoiser, ModelHook())
    return lambda: remove_hook_from_module(denoiser, recurse=True)


def hooked_everywhere(denoiser: Any) -> Callable[[], None]:
    """As sequential offload does it: each module has its hook, which brings its weights."""
    cpu_offload(denoiser, execution_device=torch.device("cpu"))
    return lambda: remove_hook_from_module(denoiser, recurse=True)


def hooked_by_diffusers(denoiser: Any) -> Callable[[], None]:
    modules = [module for module in denoiser.modules() if module is not denoiser]
    for module in (denoiser, *modules):
        HookRegistry.check_if_exists_or_initialize(module).register_hook(DiffusersHook(), "watching")
    return lambda: HookRegistry.check_if_exists_or_initialize(denoiser).remove_hook("watching")


HOOKS = (hooked, hooked_everywhere, hooked_by_diffusers)
every_hook = pytest.mark.parametrize("put_on", HOOKS, ids=lambda hook: hook.__name__)


@pytest.fixture(scope="module")
def images() -> Callable[[str, str], torch.Tensor]:
    """What a pipeline draws on which the method was put afresh."""

    @functools.cache
    def image(family: str, name: str) -> torch.Tensor:
        pipe = fresh(family)
        if not name:
            return latents(pipe)
        with apply(pipe, plan_of(name)):
            return latents(pipe)

    return image


def assert_is_plain(pipe: Any, family: str, images: Any) -> None:
    """Nothing of hasten's is left on it, and it draws as ever."""
    for path, module in denoiser_of(pipe).named_modules():
        for attribute, value in vars(module).items():
            ours = getattr(getattr(value, "func", None), "__module__", "") or ""
            assert not ours.startswith("hasten") and not attribute.startswith("_hasten"), (path, attribute)
    assert torch.equal(latents(pipe), images(family, ""))


@each_method_with("put_on", HOOKS, ACTING.__contains__)
def test_hooks_go_on_and_off_before_and_after(family: str, name: str, put_on: Any, images: Any) -> None:
    pipe, want = fresh(family), images(family, name)
    take_off = put_on(denoiser_of(pipe))
    if name == "half_precision" and put_on is hooked_everywhere:
        with pytest.raises(UnsupportedError, match="has its weights brought and taken away at each call"):
            apply(pipe, plan_of(name))
        return
    handle = apply(pipe, plan_of(name))
    assert torch.equal(latents(pipe), want), "over a hook"
    take_off()
    assert torch.equal(latents(pipe), want), "the hook is taken off, as after each call of an offloaded pipeline"
    take_off = put_on(denoiser_of(pipe))
    assert torch.equal(latents(pipe), want), "and put on again"
    handle.remove()
    assert torch.equal(latents(pipe), images(family, "")), "the hook is left"
    take_off()
    assert_is_plain(pipe, family, images)


@pytest.mark.parametrize("name", ["deepcache", pytest.param("taylorseer", marks=rarely())])
@every_hook
def test_a_hook_that_comes_later_and_goes_first_or_last(name: str, put_on: Any, images: Any) -> None:
    for hook_goes_first in (True, False):
        pipe = fresh("sd")
        handle = apply(pipe, plan_of(name))
        take_off = put_on(pipe.unet)
        assert torch.equal(latents(pipe), images("sd", name))
        for remove in (take_off, handle.remove) if hook_goes_first else (handle.remove, take_off):
            remove()
        assert_is_plain(pipe, "sd", images)


@pytest.mark.parametrize("name", ["pyramid_attention", "deepcache", "taylorseer"])
def test_a_cache_of_diffusers_is_taken_off_after_it(name: str, images: Any) -> None:
    family = "flux" if name != "deepcache" else "sd"
    pipe = fresh(family)
    denoiser = denoiser_of(pipe)
    config = PyramidAttentionBroadcastConfig(
        spatial_attention_block_skip_range=2,
        current_timestep_callback=lambda: 0,
        spatial_attention_timestep_skip_range=(0, 1),
    )
    for ours_first in (True, False):
        handle = apply(pipe, plan_of(name)) if ours_first else None
        apply_pyramid_attention_broadcast(denoiser, config)
        handle = handle or apply(pipe, plan_of(name))
        HookRegistry.check_if_exists_or_initialize(denoiser).remove_hook(
            "pyramid_attention_broadcast", recurse=True
        )
        assert torch.equal(latents(pipe), images(family, name))
        handle.remove()
        assert_is_plain(pipe, family, images)


@pytest.mark.parametrize("name", ["deepcache", "taylorseer", "guidance_cutoff", "tgate"])
def test_a_forward_that_is_put_back_by_others_is_told(name: str, images: Any) -> None:
    pipe = fresh("sd")
    before = pipe.unet.forward
    handle = apply(pipe, plan_of(name))
    ours = pipe.unet.forward
    pipe.unet.forward = before
    with pytest.raises(InputError, match=r"put back the forward that the .* had before .*: remove"):
        latents(pipe)
    pipe.unet.forward = ours
    assert torch.equal(latents(pipe), images("sd", name))
    pipe.unet.forward = before
    handle.remove()
    vars(pipe.unet).pop("forward", None)
    assert_is_plain(pipe, "sd", images)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_block_that_is_called_by_itself_computes(family: str) -> None:
    """Nobody counts its steps: it gives what it gives without the method."""
    pipe = fresh(family)
    calls: list[Any] = []
    attention = next(attentions(denoiser_of(pipe)))
    hook = attention.register_forward_pre_hook(lambda _, *call: calls.append(call), with_kwargs=True)
    latents(pipe, num_inference_steps=1)
    hook.remove()
    args, given = calls[0]
    with torch.no_grad():
        plain = attention(*args, **given)
        with apply(pipe, "pyramid_attention(first_step=1,self_interval=2,cross_interval=1)"):
            latents(pipe)
            again = attention(*args, **given)
    first, second = (x if isinstance(x, tuple) else (x,) for x in (plain, again))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@every_method
def test_copies_and_pickles_are_refused_and_change_nothing(family: str, name: str, images: Any) -> None:
    pipe = fresh(family)
    latents(pipe, num_inference_steps=1)
    denoiser = denoiser_of(pipe)
    before = attributes(pipe)
    with apply(pipe, plan_of(name)):
        for copied in (copy.deepcopy, pickle.dumps, lambda module: torch.save(module, io.BytesIO())):
            with pytest.raises(InputError, match=r"Methods are applied to .*: remove the plan before you copy"):
                copied(denoiser)
        with pytest.raises(InputError, match="remove the plan before you copy"):
            copy.deepcopy(pipe)
        assert torch.equal(latents(pipe), images(family, name))
    assert attributes(pipe) == before
    twin = copy.deepcopy(denoiser)
    assert all("forward" not in vars(module) for module in twin.modules())
    assert pickle.dumps(denoiser)


def test_the_copy_of_a_block_is_refused_too() -> None:
    pipe = fresh("sd")
    with apply(pipe, plan_of("deepcache")), pytest.raises(InputError, match="remove the plan before you copy"):
        copy.deepcopy(pipe.unet.mid_block)


def test_pipelines_keep_their_class_and_get_it_back_in_any_order() -> None:
    pipe = fresh("sd")
    kind, other = type(pipe), fresh("sd").unet
    first = apply(pipe, "fewer_steps(reduced_steps=2)")
    second = apply(pipe, "deepcache")
    pipe.unet = other
    third = apply(pipe, "tome")
    assert isinstance(pipe, kind) and type(pipe).__name__ == kind.__name__
    for handle in (first, third, second):
        handle.remove()
    assert type(pipe) is kind
    assert METHODS.get("deepcache").unsupported(pipe) is None
