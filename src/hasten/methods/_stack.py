"""Wrappers around the blocks of a transformer, which take the image's tokens and in some models the text's as
well."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import torch

from hasten.denoisers import Stream, in_stacks, runs_all_blocks, sample_of, text_of

if TYPE_CHECKING:
    from hasten.methods._site import Wrapper
    from hasten.methods.base import Method, Patching


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

    def begin(self, whole: bool) -> None:
        """Takes whether the call of the denoiser that begins runs all of its blocks."""

    def reused(self) -> torch.Tensor:
        """Returns the image's tokens after all blocks, computed from what was kept."""

    def keep(self, after: torch.Tensor) -> None:
        """Takes the image's tokens after all blocks have run."""


def wrap_stacks(
    patches: Patching, method: Method, current: Callable[[], Rests], first: Callable[[Streams], Wrapper]
) -> None:
    """Wraps a transformer and all of its blocks, so that the blocks rest where the state says so.

    ``first`` returns the wrapper of the first block, from the kinds of tokens that this one returns.
    """
    (head, gives), *inner, (tail, tail_gives) = in_stacks(patches.denoiser)
    patches.wrap(method, patches.denoiser, beginning(current))
    patches.wrap(method, head, first(gives))
    for block, block_gives in inner:
        patches.wrap(method, block, resting(current, block_gives))
    patches.wrap(method, tail, finishing(current, tail_gives))


def beginning(current: Callable[[], Rests]) -> Wrapper:
    """Returns the wrapper of the denoiser, which tells the state that a call begins."""

    def wrapper(call_next: Callable[..., Any], module: Any, *args: Any, **kwargs: Any) -> Any:
        current().begin(whole=runs_all_blocks(module, args, kwargs))
        return call_next(*args, **kwargs)

    return wrapper


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
