"""What goes through the blocks of a transformer: the image's tokens, in some models beside the text's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import torch

from hasten.denoisers import Stream, sample_of, text_of

if TYPE_CHECKING:
    from hasten.methods._patch import Wrapper


Streams = tuple[Stream, ...]
"""What a block gives, in that order."""


def image_of(output: Any, gives: Streams) -> torch.Tensor:
    """The image's tokens (batch, tokens, channels) of what a block gave: alone, or beside the text's."""
    image: torch.Tensor = output[gives.index("image")] if isinstance(output, tuple) else output
    return image


def passed(gives: Streams, args: tuple[Any, ...], kwargs: Mapping[str, Any], image: torch.Tensor) -> Any:
    """What the block would give if it only passed on the text's tokens that it was called with, and ``image``."""
    if gives == ("image",):  # it has the text to look at only
        return image
    streams = {"image": image, "text": text_of(args, kwargs)}
    return tuple(streams[stream] for stream in gives)


def change(now: torch.Tensor, before: torch.Tensor) -> float:
    """The relative difference of mean absolute values, of the row where that is largest."""
    rows = (now - before).abs().flatten(1).mean(1) / before.abs().flatten(1).mean(1)
    return float(rows.max())


class Rests(Protocol):
    """What a method remembers that lets all blocks rest at some calls of the denoiser."""

    resting: bool

    def reused(self) -> torch.Tensor:
        """The image's tokens after all blocks, by what was kept."""

    def keep(self, after: torch.Tensor) -> None:
        """All blocks ran, and gave these tokens of the image."""


def resting(current: Callable[[], Rests], gives: Streams) -> Wrapper:
    """Of a block that only passes its tokens on while the blocks rest."""

    def wrapper(call_next: Callable[..., Any], module: Any, *args: Any, **kwargs: Any) -> Any:
        if not current().resting:
            return call_next(*args, **kwargs)
        return passed(gives, args, kwargs, sample_of(module, args, kwargs))

    return wrapper


def finishing(current: Callable[[], Rests], gives: Streams) -> Wrapper:
    """Of the last block, after which stands what is kept or reused."""

    def wrapper(call_next: Callable[..., Any], module: Any, *args: Any, **kwargs: Any) -> Any:
        state = current()
        if state.resting:
            return passed(gives, args, kwargs, state.reused())
        output = call_next(*args, **kwargs)
        state.keep(image_of(output, gives))
        return output

    return wrapper
