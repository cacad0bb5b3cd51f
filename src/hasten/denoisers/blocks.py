"""Finds the blocks of a denoiser and the attentions inside them, by its declaration. It imports no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from hasten.denoisers.calls import text_of
from hasten.denoisers.declared import Stream, declaration_of, is_a
from hasten.denoisers.levels import levels

BASIC = "BasicTransformerBlock"


class TransformerBlock(NamedTuple):
    """A transformer block, and how coarse its tokens are.

    Along each side they are ``downsample`` times coarser than the denoiser's finest tokens, which cover ``patch``
    latents.
    """

    module: Any
    downsample: int
    patch: int = 1

    def grid(self, latents: tuple[int, int]) -> tuple[int, int]:
        """Returns the rows and columns of its tokens, given those of the latents."""
        rows, columns = (-(-(side // self.patch) // self.downsample) for side in latents)
        return rows, columns


def stacked(denoiser: Any) -> list[tuple[str, Any]]:
    """Returns the names and modules of a transformer's blocks in the order they run; an empty list for a UNet."""
    declared = declaration_of(denoiser)
    stacks = [stack.name for stack in declared.stacks] if declared else []
    return [(f"{s}.{n}", block) for s in stacks for n, block in enumerate(getattr(denoiser, s, ()))]


def blocks_of(denoiser: Any) -> tuple[str, ...]:
    """Returns the names of a transformer's blocks, or of a UNet's down, mid and up blocks."""
    if found := stacked(denoiser):
        return tuple(name for name, _ in found)
    names = {module: name for name, module in denoiser.named_modules()}
    return tuple(names[block] for block, _ in levels(denoiser))


def transformer_blocks(denoiser: Any) -> Iterator[TransformerBlock]:
    """Yields all transformer blocks over rows of an image's tokens, in the order they run."""
    if found := stacked(denoiser):
        patch = denoiser.config.patch_size
        yield from (TransformerBlock(block, 1, patch) for _, block in found)
        return
    for level, downsample in levels(denoiser):
        yield from (TransformerBlock(module, downsample) for module in _blocks_within(level))


def _blocks_within(module: Any) -> Iterator[Any]:
    """Yields the BasicTransformerBlocks inside the module.

    It does not look into these: each has many layers, and grids of plans ask for the blocks a thousand times.
    """
    for child in module.children():
        if is_a(child, BASIC):
            yield child
        else:
            yield from _blocks_within(child)


def in_stacks(denoiser: Any) -> list[tuple[Any, tuple[Stream, ...]]]:
    """Returns a transformer's blocks in the order they run, each with the streams that it returns."""
    declared = declaration_of(denoiser)
    stacks = declared.stacks if declared else ()
    return [(block, stack.gives) for stack in stacks for block in getattr(denoiser, stack.name, ())]


def attentions(denoiser: Any) -> Iterator[Any]:
    """Yields every attention inside the transformer blocks of a denoiser, in the order they run."""
    declared = declaration_of(denoiser)
    names = declared.attentions if declared else ()
    blocks = [block for _, block in stacked(denoiser)] or [b.module for b in transformer_blocks(denoiser)]
    found = (getattr(block, name, None) for block in blocks for name in names)
    yield from (attention for attention in found if attention is not None)


def is_joint(denoiser: Any) -> bool:
    """Returns whether attention is over image and text together, so that there is no cross-attention."""
    declared = declaration_of(denoiser)
    return declared is not None and declared.joint


def is_crossing(joint: bool, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Returns whether a call with these arguments is cross-attention, from the image to the text alone."""
    return not joint and text_of(args, kwargs) is not None
