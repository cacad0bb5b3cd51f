"""Finds the arguments in calls of a denoiser and its blocks. It imports no torch."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

SAMPLE = 0
"""The position of the sample among a denoiser's arguments."""
LEFT_OUT = "skip_layers"
"""The argument that names the blocks which a call leaves out."""


def denoiser_of(pipe: Any) -> Any:
    """Returns ``pipe.unet`` or ``pipe.transformer``, without the module that ``torch.compile`` wraps around it."""
    unet = getattr(pipe, "unet", None)
    # Not ``unet or …``, because a compiled module has no truth value.
    found = getattr(pipe, "transformer", None) if unet is None else unet
    return getattr(found, "_orig_mod", found)


def sample_of(denoiser: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Returns the sample (batch, …) that the denoiser is called with, under whatever name its class has for it."""
    return args[SAMPLE] if args else kwargs[arguments_of(denoiser)[SAMPLE]]


def timestep_of(denoiser: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Returns the timestep that the denoiser is called with."""
    return argument_of(denoiser, "timestep", args, kwargs)


def argument_of(denoiser: Any, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Returns the argument of that name that the denoiser is called with, or None where it is left out."""
    if name in kwargs:
        return kwargs[name]
    names = arguments_of(denoiser)
    place = names.index(name) if name in names else len(args)
    return args[place] if place < len(args) else None


def text_of(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Returns the text's tokens that a block or an attention is called with, or None where there are none."""
    return kwargs["encoder_hidden_states"] if "encoder_hidden_states" in kwargs else (*args, None, None)[1]


def runs_all_blocks(denoiser: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Returns whether a call runs all blocks of a transformer. SD3's skip-layer guidance leaves some out."""
    return not argument_of(denoiser, LEFT_OUT, args, kwargs)


def arguments_of(denoiser: Any) -> tuple[str, ...]:
    """Returns the names of the denoiser's arguments, in their order."""
    return _parameters(denoiser.__class__)


@lru_cache
def _parameters(denoiser: Any) -> tuple[str, ...]:
    """Returns the names of the parameters of the class's ``forward``, without ``self``."""
    return tuple(inspect.signature(denoiser.forward).parameters)[1:]
