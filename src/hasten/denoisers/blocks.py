"""The blocks of a denoiser and the attentions within them, found by its declaration. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from hasten.denoisers.calls import text_of
from hasten.denoisers.declared import Stream, declaration_of, is_a
from hasten.denoisers.levels import levels

BASIC = "BasicTransformerBlock"


class TransformerBlock(NamedTuple):
    """A transformer block, and how coarse its tokens are a side: ``downsample`` times the denoiser's finest
    ones, which cover ``patch`` latents each."""

    module: Any
    downsample: int
    patch: int = 1

    def grid(self, latents: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of its tokens, of latents with so many."""
        rows, columns = (-(-(side // self.patch) // self.downsample) for side in latents)
        return rows, columns


def stacked(denoiser: Any) -> list[tuple[str, Any]]:
    """The names and modules of a transformer's blocks, in the order they run; none of a UNet."""
    known = declaration_of(denoiser)
    stacks = [stack.name for stack in known.stacks] if known else []
    return [(f"{s}.{n}", block) for s in stacks for n, block in enumerate(getattr(denoiser, s, ()))]


def blocks_of(denoiser: Any) -> tuple[str, ...]:
    """The names of a transformer's blocks, or of a UNet's down, mid and up blocks."""
    if found := stacked(denoiser):
        return tuple(name for name, _ in found)
    names = {module: name for name, module in denoiser.named_modules()}
    return tuple(names[block] for block, _ in levels(denoiser))


def transformer_blocks(denoiser: Any) -> Iterator[TransformerBlock]:
    """All transformer blocks over the tokens of an image in rows, in the order they run."""
    if found := stacked(denoiser):
        patch = denoiser.config.patch_size
        yield from (TransformerBlock(block, 1, patch) for _, block in found)
        return
    for level, downsample in levels(denoiser):
        yield from (TransformerBlock(module, downsample) for module in _blocks_within(level))


def _blocks_within(module: Any) -> Iterator[Any]:
    """Only they are not looked into: there are many layers in each, and grids of plans ask a thousand times."""
    for child in module.children():
        if is_a(child, BASIC):
            yield child
        else:
            yield from _blocks_within(child)


def in_stacks(denoiser: Any) -> list[tuple[Any, tuple[Stream, ...]]]:
    """A transformer's blocks in the order they run, each with the streams that it gives."""
    known = declaration_of(denoiser)
    stacks = known.stacks if known else ()
    return [(block, stack.gives) for stack in stacks for block in getattr(denoiser, stack.name, ())]


def attentions(denoiser: Any) -> Iterator[Any]:
    """Every attention within the transformer blocks of a denoiser, in the order they run."""
    known = declaration_of(denoiser)
    names = known.attentions if known else ()
    blocks = [block for _, block in stacked(denoiser)] or [b.module for b in transformer_blocks(denoiser)]
    found = (getattr(block, name, None) for block in blocks for name in names)
    yield from (attention for attention in found if attention is not None)


def is_joint(denoiser: Any) -> bool:
    """Attention is over image and text together: there is no cross-attention."""
    known = declaration_of(denoiser)
    return known is not None and known.joint


def is_crossing(joint: bool, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """An attention that is called with that looks from the image at the text alone."""
    return not joint and text_of(args, kwargs) is not None
