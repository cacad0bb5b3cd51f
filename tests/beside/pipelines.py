"""Other pipelines, and other ways of guidance, over the parts of a family's small pipeline."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import diffusers
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel

from hasten.testing.generating import latents, picture

PAG = {"sd": "StableDiffusionPAGPipeline", "sdxl": "StableDiffusionXLPAGPipeline"}
PAG |= {"pixart": "PixArtSigmaPAGPipeline", "sd3": "StableDiffusion3PAGPipeline"}
LAYERS = {"sd": "down_blocks.0", "sdxl": "down_blocks.1", "pixart": "blocks.0", "sd3": "blocks.0"}
BY_IMAGE = {"sd": "StableDiffusionInstructPix2PixPipeline", "sdxl": "StableDiffusionXLInstructPix2PixPipeline"}
MODULAR = {"sdxl": "StableDiffusionXLAutoBlocks", "flux": "FluxAutoBlocks"}
Draw = Callable[[], torch.Tensor]


def made(name: str, pipe: Any, **more: Any) -> Any:
    """That pipeline of diffusers, with the parts of this one that it takes."""
    kind = getattr(diffusers, name)
    taken = inspect.signature(kind.__init__).parameters
    parts = {name: part for name, part in pipe.components.items() if name in taken}
    if "safety_checker" in taken:
        more |= {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    if "add_watermarker" in taken:
        more["add_watermarker"] = False
    other = kind(**{**parts, **more})
    other.set_progress_bar_config(disable=True)
    return other


def small(pipe: Any) -> dict[str, int]:
    """The size that the pipeline draws by default, for pipelines that would draw another."""
    if hasattr(pipe, "unet"):
        side = 8 * pipe.unet.config.sample_size
        return {"height": side, "width": side}
    return {"height": 128, "width": 128}


def given_to(pipe: Any) -> dict[str, Any]:
    """What calls of the family take beside the usual."""
    name = type(pipe).__name__
    if name.startswith("PixArt"):
        return {"use_resolution_binning": False, "clean_caption": False}
    return {"max_sequence_length": 16} if name.startswith(("StableDiffusion3", "Flux")) else {}


def perturbed(family: str, **given: Any) -> Callable[[Any], torch.Tensor]:
    """Guidance by perturbed attention."""

    def draw(pipe: Any) -> torch.Tensor:
        other = made(PAG[family], pipe, pag_applied_layers=[LAYERS[family]])
        return latents(other, **small(pipe), **given_to(pipe), **given)

    return draw


def by_image(family: str) -> Callable[[Any], torch.Tensor]:
    """InstructPix2Pix: guidance in three parts. The UNet takes the image beside the latents."""

    def draw(pipe: Any) -> torch.Tensor:
        other = made(BY_IMAGE[family], pipe)
        side = small(pipe)["height"]
        image = picture()[:, :, :side, :side]
        size = small(pipe) if family == "sdxl" else {}
        return latents(other, image=image, image_guidance_scale=1.5, **size)

    return draw


def widened(pipe: Any) -> None:
    """Gives the pipeline a UNet that takes an image beside the latents."""
    torch.manual_seed(0)
    config = {name: value for name, value in pipe.unet.config.items() if not name.startswith("_")}
    pipe.unet = UNet2DConditionModel(**{**config, "in_channels": 8}).eval()


def panorama(pipe: Any) -> torch.Tensor:
    """Two tiles a step."""
    other = made(
        "StableDiffusionPanoramaPipeline", pipe, scheduler=DDIMScheduler.from_config(pipe.scheduler.config)
    )
    return latents(other, height=512, width=576, num_inference_steps=4)


def attend_and_excite(pipe: Any) -> torch.Tensor:
    """Changes the latents by a gradient, so that attention finds the words."""
    from diffusers import StableDiffusionAttendAndExcitePipeline as Kind  # one of diffusers' old ones

    other = made(Kind.__name__, pipe)
    side = pipe.unet.config.sample_size
    return latents(other, token_indices=[2], max_iter_to_alter=2, attn_res=(side, side), thresholds={0: 0.05})


def self_attention_guidance(pipe: Any) -> torch.Tensor:
    other = made("StableDiffusionSAGPipeline", pipe, scheduler=DDIMScheduler.from_config(pipe.scheduler.config))
    return latents(other, sag_scale=0.75)


def several_edits(pipe: Any) -> torch.Tensor:
    return latents(made("SemanticStableDiffusionPipeline", pipe), editing_prompt=["a", "b"])


def skip_layers(pipe: Any) -> torch.Tensor:
    return latents(pipe, skip_guidance_layers=[1], skip_layer_guidance_start=0.01, skip_layer_guidance_stop=0.8)


def true_guidance(pipe: Any) -> torch.Tensor:
    return latents(pipe, negative_prompt="a cat", true_cfg_scale=3.0)


def modular(family: str, guider: str, **given: Any) -> Callable[[Any], torch.Tensor]:
    """A modular pipeline, whose guider calls the denoiser once for each of its predictions."""

    def draw(pipe: Any) -> torch.Tensor:
        import diffusers.guiders as guiders
        from diffusers import modular_pipelines

        blocks = getattr(modular_pipelines, MODULAR[family])()
        other = blocks.init_pipeline()
        other.set_progress_bar_config(disable=True)
        other.update_components(**{n: pipe.components[n] for n in other.component_names if n in pipe.components})
        other.update_components(guider=getattr(guiders, guider)(**given))
        return latents(other, lambda **usual: (_called(other, usual, small(pipe)),))

    return draw


def _called(pipe: Any, usual: dict[str, Any], size: dict[str, int]) -> torch.Tensor:
    given = {name: usual[name] for name in ("prompt", "num_inference_steps", "generator")}
    return pipe(**given, **size, output="latents")
