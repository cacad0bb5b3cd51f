"""Names that people ask for and hasten does not have, each kind with a sentence on what hasten has instead."""

from __future__ import annotations

import re

from hasten.errors import RequestError
from hasten.language._text import Text
from hasten.language._words import END, START
from hasten.methods import METHODS


def _caches() -> str:
    """Returns the methods that reuse what the denoiser computed, by the denoiser that they are for."""
    found = [method for method in METHODS.all() if "features" in method.replaces]
    kinds = {"transformers": "transformer", "UNets": "unet"}
    titles = {kind: [m.title for m in found if denoiser in m.denoisers] for kind, denoiser in kinds.items()}
    return "hasten has " + "; ".join(f"for {kind} {', '.join(names)}" for kind, names in titles.items())


_WEIGHTS = (
    "these are other weights, distilled for few steps, and hasten leaves weights as they are: give the fol"
    "der of a pipeline "
    "that has them, or name Fewer steps"
)
_ATTENTION = (
    "hasten chooses attention kernels by the method Attention backend, as in 'attention backend xformers' "
    "(or native, "
    "flash, sage, flex), and PyTorch's own are used anyhow"
)
_ENGINES = "hasten has Compile, CUDA graph and Channels last, which lose nothing"
_FIDELITY = "hasten has the metrics clip_score, ssim, ms_ssim, psnr, clip_image and dinov2"
_KARRAS = (
    "of noise schedules hasten has Karras' with DPM-Solver++ only: 'DPM++ 2M Karras' or 'DPM++ 2M SDE Karras'"
)
_SAMPLERS = (
    "of its kind hasten has DPM-Solver++ ('DPM++ 2M'), DPM-Solver++-SDE ('DPM++ 2M SDE'), both also with K"
    "arras, Euler, "
    "Euler-a, Heun, DDIM, PNDM and UniPC"
)
_MEMORY = "hasten makes pipelines faster, not smaller: Half precision and Quantise save memory as well"
_INSTEAD = (
    (
        r"tea[ -]?cache|delta-?dit|t-?stitch|block ?cache|wavespeed|adacache|delta cache|l2c|toca|duca"
        r"|fora|easy ?cache|dicache",
        _caches,
    ),
    (
        r"(?:\x02++[ -]?)?(?:lcm[ -]?loras?|lightning|turbo|hyper[ -]?sd(?:xl)?|dmd ?2?|flash diffusion"
        r"|pcm|tcd|distill(?:ed|ation))"
        r"(?: (?:weights|loras?|model|checkpoint))?|(?:\x02++[ -]?)?loras?",
        _WEIGHTS,
    ),
    (
        r"x-?formers|flash[ -]?attention(?:[ -]?\d)?|sdpa|sage[ -]?attention(?:[ -]?\d)?"
        r"|memory[ -]efficient attention",
        _ATTENTION,
    ),
    (
        r"tensor-?rt|trt|onnx(?: ?runtime)?|one-?diff|one-?flow|stable-?fast|ait(?:emplate)?|open-?vino"
        r"|deepspeed|nexfort|jax|tpu",
        _ENGINES,
    ),
    (r"lpips|fid|hps(?:v2)?|image ?reward|pick ?score|aesthetic(?: score)?|dists|vmaf|inception score", _FIDELITY),
    (
        r"(?:\x02++ ?)?3m(?: ?sde)?(?: karras| exponential)?|(?:\x02++ ?)?2s(?: ?a(?:ncestral)?)?(?: karras)?"
        r"|dpm ?2(?: a(?:ncestral)?)?(?: karras)?|dpm fast|dpm adaptive|(?:\x02++ ?)sde(?: karras)?|lms"
        r"(?: karras)?|ddpm|deis|ipndm|res[ _]multistep|restart|edm|k_?lms",
        _SAMPLERS,
    ),
    (
        r"(?:karras(?: sigmas)?|exponential(?: sigmas)?|sgm[ _]uniform|ays|align your steps|beta sigmas"
        r"|trailing(?: timesteps)?)",
        _KARRAS,
    ),
    (
        r"(?:cpu |model |sequential )?offload(?:ing)?|(?:vae |attention )?(?:slicing|tiling)|less (?:v?ram"
        r"|memory)|low ?vram",
        _MEMORY,
    ),
)
_PATTERNS = tuple((re.compile(rf"{START}(?:{names}){END}", re.ASCII), has) for names, has in _INSTEAD)


def refuse_foreign(text: Text) -> None:
    """Raises RequestError, which says what hasten has instead, for a known name that hasten does not offer."""
    for pattern, has in _PATTERNS:
        if match := pattern.search(text.view):
            said = text.written(match).strip()
            sentence = has if isinstance(has, str) else has()
            raise RequestError(f"{said!r} is none of hasten's names: {sentence}.", [said])
