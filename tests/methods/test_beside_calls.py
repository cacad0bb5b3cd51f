"""Methods where a step calls the denoiser several times: guidance in two calls, tiles, skip-layer guidance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    SemanticStableDiffusionPipeline,
    StableDiffusionInstructPix2PixPipeline,
    StableDiffusionPAGPipeline,
    StableDiffusionPanoramaPipeline,
    StableDiffusionSAGPipeline,
    UNet2DConditionModel,
)
from tests.contracts.expected import SUPPORTED
from tests.support.marks import rarely, star
from tests.support.methods import each_method, each_method_with, plan_of

from hasten.denoisers import arguments_of, denoiser_of
from hasten.errors import InputError
from hasten.methods import METHODS, apply
from hasten.testing.generating import counting, fresh, latents, picture, shared

STEPS = 6
unguided = each_method(lambda name: name not in ("fewer_steps", "channels_last", "guidance_cutoff"))


def calls_of(pipe: Any) -> list[dict[str, Any]]:
    """What the denoiser is called with at each step of an unguided call of the pipeline."""
    found: list[dict[str, Any]] = []

    def note(module: Any, args: tuple[Any, ...], given: dict[str, Any]) -> None:
        found.append({**dict(zip(arguments_of(module), args, strict=False)), **given})

    hook = denoiser_of(pipe).register_forward_pre_hook(note, with_kwargs=True)
    latents(pipe, num_inference_steps=STEPS, guidance_scale=1.0)
    hook.remove()
    return found


def other_text(call: dict[str, Any]) -> dict[str, Any]:
    return {**call, "encoder_hidden_states": -call["encoder_hidden_states"]}


def outputs(pipe: Any, calls: Iterator[dict[str, Any]] | list[dict[str, Any]]) -> list[torch.Tensor]:
    """What the denoiser gives in a loop of the user's own."""
    with torch.no_grad():
        return [denoiser_of(pipe)(**call)[0] for call in calls]


@unguided
def test_guidance_in_two_calls_is_two_runs_that_do_not_meet(family: str, name: str) -> None:
    """The conditional and the unconditional calls of all steps, in turn, give what each gives in a run alone."""
    pipe = shared(family)
    one = calls_of(pipe)
    other = [other_text(call) for call in one]
    if family == "flux":  # numbers, where nothing else tells the steps of a loop of one's own
        one, other = ([{**call, "timestep": call["timestep"].clone()} for call in calls] for calls in (one, other))
    alone = []
    for calls in (one, other):
        with apply(pipe, plan_of(name)):
            alone.append(outputs(pipe, calls))
    with apply(pipe, plan_of(name)) as handle:
        both = outputs(pipe, [call for pair in zip(one, other, strict=True) for call in pair])
    if name == "tome":  # its tokens are drawn from one generator for all calls, as tomesd's are
        assert all(torch.isfinite(output).all() for output in both)
        return
    for number, (output, want) in enumerate(
        zip(both, [o for p in zip(*alone, strict=True) for o in p], strict=True)
    ):
        assert torch.equal(output, want), f"call {number}"
    assert handle.stats[name].steps == STEPS


@pytest.mark.parametrize("name", SUPPORTED["flux"])
def test_true_guidance_of_flux(name: str) -> None:
    """FLUX with a negative prompt calls its transformer twice a step."""
    pipe = shared("flux")
    given = {"negative_prompt": "a cat", "true_cfg_scale": 3.0, "num_inference_steps": STEPS}
    plain = latents(pipe, **given)
    with apply(pipe, plan_of(name)) as handle, counting(pipe.transformer) as counts:
        first = latents(pipe, **given)
        assert torch.equal(latents(pipe, **given), first)
    assert torch.isfinite(first).all()
    stats = handle.stats[name]
    if name == "fewer_steps":
        return
    assert (stats.runs, stats.steps) == (2, 2 * STEPS) and counts["calls"] == 4 * STEPS
    if name in ("taylorseer", "magcache", "first_block_cache"):
        assert counts["blocks"] < 4 * STEPS * 6 and not torch.equal(first, plain)


@pytest.mark.parametrize(("layers", "name"), star(([1, 2], [0], [3]), SUPPORTED["sd3"]))
def test_skip_layer_guidance(name: str, layers: list[int]) -> None:
    """A second call, of one half, leaves out layers; the first counts its steps as ever."""
    pipe = shared("sd3")
    given = {"num_inference_steps": 12, "skip_guidance_layers": layers, "skip_layer_guidance_stop": 0.6}
    given["skip_layer_guidance_start"] = 0.01
    usual, skipping = Counter[int](), Counter[int]()

    def note(module: Any, args: Any, given: dict[str, Any]) -> None:
        (skipping if given.get("skip_layers") else usual).update([given["hidden_states"].shape[0]])

    hook = pipe.transformer.register_forward_pre_hook(note, with_kwargs=True)
    with apply(pipe, plan_of(name)) as handle:
        first = latents(pipe, **given)
        assert torch.equal(latents(pipe, **given), first)
    hook.remove()
    assert torch.isfinite(first).all() and skipping[1] and usual[2]
    if name != "fewer_steps":
        assert handle.stats[name].steps == 24


def test_a_cutoff_under_skip_layer_guidance_acts_at_its_step() -> None:
    pipe = shared("sd3")
    rows: list[int] = []
    hook = pipe.transformer.transformer_blocks[0].register_forward_pre_hook(
        lambda _, args, given: rows.append(given["hidden_states"].shape[0]), with_kwargs=True
    )
    with apply(pipe, "guidance_cutoff(cutoff_step=8)"):
        latents(pipe, num_inference_steps=14, skip_guidance_layers=[2], skip_layer_guidance_stop=0.5)
    hook.remove()
    assert rows.count(2) == 8, "both halves at the first eight steps"


def made(kind: Any, base: Any = None) -> Any:
    """That pipeline of Stable Diffusion's small parts."""
    base = base or fresh("sd")
    names = ("vae", "text_encoder", "tokenizer", "unet")
    given = {name: part for name, part in base.components.items() if name in names}
    given |= dict.fromkeys(("safety_checker", "feature_extractor")) | {"requires_safety_checker": False}
    more = {"pag_applied_layers": ["mid"]} if kind is StableDiffusionPAGPipeline else {}
    pipe = kind(scheduler=DDIMScheduler.from_config(base.scheduler.config), **given, **more)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.mark.parametrize("name", [pytest.param(n, marks=rarely(n != "deepcache")) for n in SUPPORTED["sd"]])
def test_each_tile_of_a_panorama_has_a_store_of_its_own(name: str) -> None:
    """Two tiles, each a call of every step."""
    pipe, given = made(StableDiffusionPanoramaPipeline), {"height": 512, "width": 576}
    with apply(pipe, plan_of(name)) as handle, counting(pipe.unet) as counts:
        first = latents(pipe, **given)
    assert torch.isfinite(first).all()
    if name != "fewer_steps":
        assert counts["calls"] == 8 and (handle.stats[name].runs, handle.stats[name].steps) == (1, 4)
    if name == "deepcache":
        assert counts["resnets"] == 2 * (22 + 1 + 22 + 1)


READS = ("deepcache", "fewer_steps", "half_precision", "tgate")
"""Methods of each kind: those that leave out work, fewer steps, and those that do all of it."""


@pytest.mark.parametrize("name", [pytest.param(n, marks=rarely(n not in READS)) for n in SUPPORTED["sd"]])
def test_a_pipeline_that_reads_what_attentions_do_is_refused(name: str) -> None:
    """Self-attention guidance calls the UNet a second time, where the map of an attention tells it to."""
    pipe, method = made(StableDiffusionSAGPipeline), METHODS.get(name)
    plain = latents(pipe, sag_scale=0.75)
    with apply(pipe, plan_of(name)):
        if method.cuts_work and not method.shortens:
            with pytest.raises(InputError, match=rf"CrossAttnStoreProcessor, and {method.title} would leave"):
                latents(pipe, sag_scale=0.75)
        else:
            assert torch.isfinite(latents(pipe, sag_scale=0.75)).all()
    assert torch.equal(latents(pipe, sag_scale=0.75), plain)


WANTED = ("sample", "encoder_hidden_states", "weights")


@each_method_with("wanted", WANTED, lambda name: name != "attention_backend")
def test_a_call_for_a_gradient_is_refused(family: str, name: str, wanted: str) -> None:
    """As Attend-and-Excite, the tuning of prompts and training make them: what is left out, or converted, has no
    gradient. Fewer steps and another solver leave each call as it is."""
    pipe, method = shared(family), METHODS.get(name)
    call = {**calls_of(pipe)[0]}
    for given, value in call.items():
        names = {"sample", "hidden_states"} if wanted == "sample" else {wanted}
        call[given] = value.detach().requires_grad_(given in names) if torch.is_tensor(value) else value
    for parameter in denoiser_of(pipe).parameters():
        parameter.requires_grad_(wanted == "weights")
    plain = denoiser_of(pipe)(**call)[0].detach()
    with apply(pipe, plan_of(name)):
        if method.plain:
            denoiser_of(pipe)(**call)[0].sum().backward()
        else:
            with pytest.raises(InputError, match=rf"called for a gradient, and {method.title} would leave out"):
                denoiser_of(pipe)(**call)
        latents(pipe)
    assert torch.equal(denoiser_of(pipe)(**call)[0], plain)
    denoiser_of(pipe).zero_grad()
    denoiser_of(pipe).requires_grad_(True)


def guided_by_an_image() -> Any:
    """InstructPix2Pix, whose UNet takes the image beside the latents."""
    base = fresh("sd")
    given = {name: value for name, value in base.unet.config.items() if not name.startswith("_")}
    base.unet = UNet2DConditionModel(**{**given, "in_channels": 8}).eval()
    return made(StableDiffusionInstructPix2PixPipeline, base)


PARTS: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "PAG alone": (lambda: made(StableDiffusionPAGPipeline), {"guidance_scale": 1.0, "pag_scale": 3.0}),
    "CFG and PAG": (lambda: made(StableDiffusionPAGPipeline), {"pag_scale": 3.0}),
    "InstructPix2Pix": (guided_by_an_image, {"image": picture(), "image_guidance_scale": 1.5}),
    "InstructPix2Pix, equal seeds": (
        guided_by_an_image,
        {"image": picture(), "image_guidance_scale": 1.5, "prompt": ["a dog"] * 2, "equal": True},
    ),
    "three prompts at once": (lambda: made(SemanticStableDiffusionPipeline), {"editing_prompt": ["a", "b"]}),
}
GUIDING = [name for name in SUPPORTED["sd"] if "guidance" in METHODS.get(name).replaces]


def drawn(pipe: Any, equal: bool = False, **given: Any) -> torch.Tensor:
    if equal:
        given["generator"] = [torch.Generator().manual_seed(0) for _ in given["prompt"]]
    return latents(pipe, **given)


@pytest.mark.parametrize("case", PARTS)
@pytest.mark.parametrize("name", [pytest.param(n, marks=rarely(n != "tgate")) for n in SUPPORTED["sd"]])
def test_a_batch_of_other_parts_than_two_halves(case: str, name: str) -> None:
    """Methods that drop a half refuse it, and leave the pipeline as it was; the others take all parts."""
    make, given = PARTS[case]
    pipe = make()
    plain = drawn(pipe, **given)
    processors = {path: type(processor) for path, processor in pipe.unet.attn_processors.items()}
    with apply(pipe, plan_of(name)) as handle:
        if name in GUIDING:
            with pytest.raises(InputError, match=rf"{METHODS.get(name).title} would drop"):
                drawn(pipe, **given)
        else:
            first = drawn(pipe, **given)
            assert torch.isfinite(first).all()
            assert torch.equal(drawn(pipe, **given), first) or name == "tome"
            assert not METHODS.get(name).cuts_work or handle.stats[name].runs_without_effect == 0
    assert {path: type(processor) for path, processor in pipe.unet.attn_processors.items()} == processors
    assert torch.equal(drawn(pipe, **given), plain)


@pytest.mark.parametrize("name", GUIDING)
@pytest.mark.parametrize("prompts", [["a dog", "a cat"], ["a dog"] * 3], ids=["two", "three alike"])
def test_halves_of_several_images_are_halves(name: str, prompts: list[str]) -> None:
    pipe = shared("sd")
    with apply(pipe, plan_of(name)) as handle:
        assert torch.isfinite(drawn(pipe, equal=True, prompt=prompts)).all()
        assert torch.isfinite(drawn(pipe, prompt=["a", "b", "c"], guidance_scale=1.0)).all()
    assert handle.stats[name].guidance_dropped


def test_perturbed_attention_that_is_switched_off_is_guidance_as_ever() -> None:
    pipe = made(StableDiffusionPAGPipeline)
    with apply(pipe, plan_of("guidance_cutoff")) as handle:
        with pytest.raises(InputError, match=r"guides by perturbed attention \(PAGCFGIdentitySelfAttn"):
            latents(pipe)
        latents(pipe, pag_scale=0.0)
    assert handle.stats["guidance_cutoff"].guidance_dropped


def test_constant_timesteps_hold_a_bounded_number_of_stores() -> None:
    pipe = shared("sd")
    call = calls_of(pipe)[0]
    alive: list[int] = []
    with apply(pipe, "deepcache(cache_interval=2)"), torch.no_grad():
        for number in range(20):
            pipe.unet(**{**call, "timestep": 500})
            stored = vars(pipe.unet)["_hasten_patches"].clock._runs
            alive.append(sum(len(run._lanes) for run in stored))
            assert number < 8 or max(alive) <= 8
