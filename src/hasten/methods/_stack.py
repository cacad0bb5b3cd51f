"""Wrappers around the blocks of a transformer, which take the image's tokens and in some models the text's as
well."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import torch

from hasten.denoisers import Stream, sample_of, text_of

if TYPE_CHECKING:
    from hasten.methods._patch import Wrapper


Streams = tuple[Stream, ...]
"""The kinds of tokens that a block returns, in its order."""


def image_of(output: Any, gives: Streams) -> torch.Tensor:
    """Returns the image's tokens (batch, tokens, channels) from the output of a block."""
    image: torch.Tensor = output[gives.index("image")] if isinstance(output, tuple) else output
    return image


def passed(gives: Streams, args: tuple[Any, ...], kwargs: Mapping[str, Any], image: torch.Tensor) -> Any:
    """Returns what the block would return if it passed on the text's tokens that it was called with, beside
    ``image``."""
    if gives == ("image",):  # the block reads the text and does not return it
        return image
    streams = {"image": image, "text": text_of(args, kwargs)}
    return tuple(streams[stream] for stream in gives)


def change(now: torch.Tensor, before: torch.Tensor) -> float:
    """Returns the relative difference of mean absolute values, in the row of the batch where it is largest."""
    rows = (now - before).abs().flatten(1).mean(1) / before.abs().flatten(1).mean(1)
    return float(rows.max())


class Rests(Protocol):
    """The state of a method that lets all blocks rest at some calls of the denoiser."""

    resting: bool

    def reused(self) -> torch.Tensor:
        """Returns the image's tokens after all blocks, computed from what was kept."""

    def keep(self, after: torch.Tensor) -> None:
        """Takes the image's tokens after all blocks have run."""


def resting(current: Callable[[], Rests], gives: Streams) -> Wrapper:
    """Returns the wrapper of a block that only passes its tokens on while the blocks rest."""

    def wrapper(call_next: Callable[..., Any], module: Any, *args: Any, **kwargs: Any) -> Any:
        if not current().resting:
            return call_next(*args, **kwargs)
        return passed(gives, args, kwargs, sample_of(module, args, kwargs))

    return wrapper


def finishing(current: Callable[[], Rests], gives: Streams) -> Wrapper:
    """Returns the wrapper of the last block, whose output is kept, or replaced while the blocks rest."""

    def wrapper(call_next: Callable[..., Any], module: Any, *args: Any, **kwargs: Any) -> Any:
        state = current()
        if state.resting:
            return passed(gives, args, kwargs, state.reused())
        output = call_next(*args, **kwargs)
        state.keep(image_of(output, gives))
        return output

    return wrapper
