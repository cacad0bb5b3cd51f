"""Methods that keep the work and make it cheaper: what really runs, what is kept aside, and what requests say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from diffusers.models.attention_dispatch import _AttentionBackendRegistry
from optuna.distributions import CategoricalDistribution
from tests.support.marks import star

from hasten.denoisers import denoiser_of
from hasten.errors import InputError, ParameterError, UnsupportedError
from hasten.language.parse import parse
from hasten.language.render import render
from hasten.methods import METHODS, apply, check_plan
from hasten.plan import Plan
from hasten.predict.space import Space
from hasten.store._frozen import _space
from hasten.task import Task
from hasten.testing.generating import FAMILIES, attributes, fresh, latents, shared
from hasten.testing.pipelines import tiny_flux

every_family = pytest.mark.parametrize("family", FAMILIES)


def tensors(pipe: Any) -> dict[str, tuple[int, torch.dtype, tuple[int, ...]]]:
    """Where the denoiser's and the VAE's tensors are in memory, and how they lie there."""
    modules = (denoiser_of(pipe), pipe.vae)
    found = {(i, n): t for i, m in enumerate(modules) for n, t in (*m.named_parameters(), *m.named_buffers())}
    return {str(name): (t.data_ptr(), t.dtype, t.stride()) for name, t in found.items()}


@contextmanager
def seen(module: Any) -> Iterator[list[torch.Tensor]]:
    """The output tensors of a module, of which a joint attention has two a call."""
    found: list[torch.Tensor] = []
    hook = module.register_forward_hook(
        lambda m, args, output: found.extend(output if isinstance(output, tuple) else [output])
    )
    try:
        yield found
    finally:
        hook.remove()


@contextmanager
def during(module: Any) -> Iterator[list[list[torch.Tensor]]]:
    """The parameters that a module and those in it have at each of its calls."""
    found: list[list[torch.Tensor]] = []
    hook = next(iter(module.children())).register_forward_pre_hook(
        lambda *_: found.append([p.detach() for p in module.parameters()])
    )
    try:
        yield found
    finally:
        hook.remove()


@pytest.mark.parametrize(("family", "dtype"), star(FAMILIES, (torch.bfloat16, torch.float16)), ids=str)
def test_the_denoiser_alone_computes_in_half_precision(family: str, dtype: torch.dtype) -> None:
    pipe, layer = shared(family), next(m for m in denoiser_of(shared(family)).modules() if hasattr(m, "to_q"))
    before, image = tensors(pipe), latents(pipe, num_inference_steps=2)
    plan = f"half_precision(dtype={str(dtype).removeprefix('torch.')})"
    with apply(pipe, plan), seen(layer) as outputs, during(denoiser_of(pipe)) as weights:
        drawn = latents(pipe, num_inference_steps=2)
        assert tensors(pipe) == before, "outside of a call it has its own weights"
    assert {t.dtype for t in weights[-1]} == {dtype}
    assert {o.dtype for o in outputs} == {dtype} and drawn.dtype == torch.float32
    assert 0 < (drawn - image).norm() < 0.1 * image.norm()
    assert tensors(pipe) == before, "the very same memory"


def test_a_timestep_is_not_rounded() -> None:
    """bfloat16 has no 999: the embedding of a timestep is computed in full."""
    pipe = shared("sd")
    with apply(pipe, "half_precision"), seen(pipe.unet.time_proj) as outputs:
        latents(pipe, num_inference_steps=1, timesteps=None)
    assert outputs[0].dtype == torch.float32


def fuse(pipe: Any) -> None:
    (pipe if hasattr(pipe, "fuse_qkv_projections") else denoiser_of(pipe)).fuse_qkv_projections()


@pytest.mark.parametrize(("family", "first"), star(FAMILIES, ("fused", "applied")))
def test_fused_projections_are_in_half_precision_and_come_back(family: str, first: str) -> None:
    """Fused before, or while the method is applied."""
    pipe, reference = fresh(family), fresh(family)
    fuse(reference)
    fused = latents(reference)
    handle = apply(pipe, "half_precision") if first == "applied" else None
    fuse(pipe)
    handle = handle or apply(pipe, "half_precision")
    half = latents(pipe)
    assert torch.isfinite(half).all() and not torch.equal(half, fused)
    with apply(reference, "half_precision"):
        assert torch.equal(latents(reference), half)
    handle.remove()
    assert torch.equal(latents(pipe), fused)
    assert all(p.dtype == torch.float32 for p in denoiser_of(pipe).parameters())


@pytest.mark.parametrize(("family", "storage"), star(FAMILIES, (torch.float8_e4m3fn, torch.bfloat16)), ids=str)
def test_layerwise_casting_and_methods_that_convert_weights_are_refused(family: str, storage: torch.dtype) -> None:
    pipe = fresh(family)
    denoiser_of(pipe).enable_layerwise_casting(storage_dtype=storage, compute_dtype=torch.float32)
    image, before = latents(pipe), attributes(pipe)
    for method in ("half_precision", "half_precision(dtype=float16)", "quantize"):
        with pytest.raises(UnsupportedError, match="casts the weights of its layers at each call"):
            apply(pipe, method)
    assert attributes(pipe) == before and torch.equal(latents(pipe), image)


def test_layerwise_casting_after_half_precision_is_an_error_at_the_next_call() -> None:
    pipe = fresh("sd")
    with apply(pipe, "half_precision"):
        latents(pipe)
        pipe.unet.enable_layerwise_casting(storage_dtype=torch.bfloat16, compute_dtype=torch.float32)
        with pytest.raises(InputError, match="is applied, and meanwhile the UNet2DConditionModel casts"):
            latents(pipe)
    assert torch.isfinite(latents(pipe)).all()


def test_group_offloading_and_half_precision_are_refused() -> None:
    pipe = fresh("sd")
    place = torch.device("cpu")
    pipe.unet.enable_group_offload(onload_device=place, offload_device=place, offload_type="leaf_level")
    with pytest.raises(UnsupportedError, match="moves its weights to the device and off again"):
        apply(pipe, "half_precision")


def test_a_pipeline_of_half_precision_has_nothing_to_gain() -> None:
    pipe = fresh("sd").to(torch.bfloat16)
    with pytest.raises(UnsupportedError, match="the UNet2DConditionModel is bfloat16, not float32"):
        apply(pipe, "half_precision(dtype=float16)")


@pytest.mark.parametrize(("parts", "unet", "vae"), [("both", 1, 1), ("denoiser", 1, 0), ("decoder", 0, 1)])
def test_convolutions_lie_channels_last_and_go_back(parts: str, unet: bool, vae: bool) -> None:
    pipe = shared("sd")
    before = tensors(pipe)

    def last(weights: list[torch.Tensor]) -> bool:
        wide = [p for p in weights if p.ndim == 4 and p.shape[2] > 1 and p.shape[1] > 1]
        return all(p.is_contiguous(memory_format=torch.channels_last) and not p.is_contiguous() for p in wide)

    plan, layer = f"channels_last(parts={parts})", pipe.unet.down_blocks[0].resnets[0].conv1
    with apply(pipe, plan), seen(layer) as outputs, during(pipe.unet) as ones, during(pipe.vae.decoder) as others:
        latents(pipe, num_inference_steps=1, output_type="pt")
        assert tensors(pipe) == before, "outside of a call they lie as they did"
    assert (last(ones[-1]), last(others[-1])) == (unet, vae)
    assert outputs[0].is_contiguous(memory_format=torch.channels_last) == unet
    assert tensors(pipe) == before, "the very same memory"


def test_what_two_methods_made_of_a_weight_comes_off_in_any_order() -> None:
    pipe = shared("sd")
    before = tensors(pipe)
    for first, second in (("half_precision", "channels_last"), ("channels_last", "half_precision")):
        handles = {name: apply(pipe, name) for name in (first, second)}
        handles[first].remove()
        with during(pipe.unet) as weights:
            latents(pipe, num_inference_steps=1)
        weight = weights[-1][0]
        assert (weight.dtype == torch.bfloat16) == (second == "half_precision")
        assert weight.is_contiguous() == (second == "half_precision")
        handles[second].remove()
        assert tensors(pipe) == before


def test_attention_runs_on_another_kernel_and_back() -> None:
    """FLUX is the kind of model whose attention diffusers dispatches; it is no family of hasten's yet."""
    pipe, given = tiny_flux(), {"height": 128, "width": 128, "guidance_scale": 3.5, "num_inference_steps": 2}
    image, active = latents(pipe, **given), _AttentionBackendRegistry.get_active_backend()[0]
    before = [dict(vars(processor)) for processor in pipe.transformer.attn_processors.values()]
    with apply(pipe, "attention_backend(backend=_native_math)"):
        assert {p._attention_backend for p in pipe.transformer.attn_processors.values()} == {"_native_math"}
        torch.testing.assert_close(latents(pipe, **given), image, rtol=1e-3, atol=1e-3)
        assert _AttentionBackendRegistry.get_active_backend()[0] == active, "that of all other models"
    with pytest.raises(UnsupportedError, match="Attention backend flash cannot be used here: Flash Attention"):
        apply(pipe, "attention_backend(backend=flash)")
    assert [dict(vars(processor)) for processor in pipe.transformer.attn_processors.values()] == before
    assert torch.equal(latents(pipe, **given), image)


def test_named_values_go_through_plans_tasks_and_sentences() -> None:
    plan = Plan.parse("half_precision(dtype=float16)")
    assert plan.parameters == {"half_precision": {"dtype": "float16"}} and str(plan) == str(Plan.parse(str(plan)))
    assert str(check_plan(Plan.parse("half_precision"))) == "half_precision(dtype=bfloat16)"
    task = Task(model="SD1.5", scheduler="DDIM", steps=10, methods=("half_precision",), parameters=plan.parameters)
    assert Task.from_json(task.to_json()) == task
    for language in ("en", "zh"):
        assert parse(render(task, language)).parameters == plan.parameters
    with pytest.raises(ParameterError, match="dtype is 'float32': allowed is bfloat16, float16"):
        check_plan(Plan.parse("half_precision(dtype=float32)"))


@pytest.mark.parametrize(
    ("words", "methods", "parameters"),
    [
        ("Make SD1.5 faster with half precision", ("half_precision",), {}),
        ("Make SD1.5 faster with bf16", ("half_precision",), {"half_precision": {"dtype": "bfloat16"}}),
        ("Make SD1.5 faster with FP16", ("half_precision",), {"half_precision": {"dtype": "float16"}}),
        (
            "SD1.5 with half precision (dtype float16) and channels last",
            ("channels_last", "half_precision"),
            {"half_precision": {"dtype": "float16"}},
        ),
        ("用半精度加速SD1.5流水线，精度损失不超过0.02", ("half_precision",), {}),
        ("用半精度和通道后置加速SD1.5流水线", ("channels_last", "half_precision"), {}),
        ("用注意力后端、引导截断加速SD1.5流水线", ("attention_backend", "guidance_cutoff"), {}),
    ],
)
def test_requests_name_them(words: str, methods: tuple[str, ...], parameters: dict[str, Any]) -> None:
    task = parse(words)
    assert (task.methods, task.parameters) == (methods, parameters)


def test_the_store_keeps_named_values() -> None:
    params, distributions = _space(Plan.parse("half_precision(dtype=float16)+tome(ratio=0.5)"))
    assert params == {"half_precision.dtype": "float16", "tome.ratio": 0.5}
    assert distributions["half_precision.dtype"] == CategoricalDistribution(("bfloat16", "float16"))


def test_they_are_searched_by_their_names_only() -> None:
    pipe = shared("sd")
    space = Space(["half_precision"], pipe, 4)
    assert [str(p) for p in space] == ["half_precision(dtype=bfloat16)", "half_precision(dtype=float16)"]
    tried = [p.parameters["channels_last"]["parts"] for p in Space(["channels_last"], pipe, 4)]
    assert tried == ["both", "denoiser", "decoder"], "none is the plain pipeline"
    assert not any(m.by_default for m in METHODS.all() if not m.cuts_work)
