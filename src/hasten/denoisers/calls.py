"""What a denoiser, or a block of it, is called with. Imports no torch."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

SAMPLE = 0
"""Where among its arguments a denoiser takes the sample."""
LEFT_OUT = "skip_layers"
"""The argument that names the blocks which a call leaves out."""


def denoiser_of(pipe: Any) -> Any:
    """``pipe.unet`` or ``pipe.transformer``, without the shell that ``torch.compile`` puts around it."""
    unet = getattr(pipe, "unet", None)
    found = getattr(pipe, "transformer", None) if unet is None else unet  # a compiled one has no truth value
    return getattr(found, "_orig_mod", found)


def sample_of(denoiser: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """The sample (batch, …) that the denoiser is called with, whatever its class calls it."""
    return args[SAMPLE] if args else kwargs[arguments_of(denoiser)[SAMPLE]]


def timestep_of(denoiser: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """The timestep that the denoiser is called with."""
    if "timestep" in kwargs:
        return kwargs["timestep"]
    return args[arguments_of(denoiser).index("timestep")]


def text_of(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """The text's tokens that a block or an attention is called with; None where it is called without."""
    return kwargs["encoder_hidden_states"] if "encoder_hidden_states" in kwargs else (*args, None, None)[1]


def runs_all_blocks(denoiser: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Whether a call has all blocks of a transformer run: SD3's skip-layer guidance names some to be left out."""
    names = arguments_of(denoiser)
    place = names.index(LEFT_OUT) if LEFT_OUT in names else len(args)
    return not (args[place] if place < len(args) else kwargs.get(LEFT_OUT))


def arguments_of(denoiser: Any) -> tuple[str, ...]:
    """The names of what the denoiser is called with, in their order."""
    return _parameters(denoiser.__class__)


@lru_cache
def _parameters(denoiser: Any) -> tuple[str, ...]:
    """The names of its forward's parameters, without ``self``."""
    return tuple(inspect.signature(denoiser.forward).parameters)[1:]
