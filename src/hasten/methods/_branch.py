"""What methods share that let a UNet's deep features rest: a skip branch that always runs, and all beyond it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from hasten.denoisers import denoiser_of, no_unet
from hasten.methods.base import Parameter, Step

LAYERS = 3  # a branch id counts three layers a block, whatever the UNet has: DeepCache's published numbering
_PARTIAL: WeakKeyDictionary[Any, dict[int, Step]] = (
    WeakKeyDictionary()
)  # by UNet: a grid asks for it in every cell


class Skipped(NamedTuple):
    """A module that rests on most steps, and the UNet's block that it belongs to or is."""

    block: str
    module: Any


def branch_parameter(name: str, pipe: Any) -> Parameter:
    """The parameter that chooses the branch."""
    branches = _branches(denoiser_of(pipe)) if pipe is not None else tuple(range(8 * LAYERS))
    return Parameter(
        name,
        int,
        low=0,
        high=branches[-1],
        default=0,
        neutral=0,
        grid=tuple(b for b in (3, 2, 1, 0) if b in branches),
        meaning="how deep the skip branch is that always runs: three a block, 0 is the outermost",
        allowed=branches if pipe is not None else None,
    )


def no_branch(pipe: Any, title: str) -> str | None:
    """Why the pipeline has no deep features that could rest; None when it has."""
    reason = no_unet(pipe, title)
    if reason is None and denoiser_of(pipe).mid_block is None:
        return f"the unet of {type(pipe).__name__} has no mid block: {title} has no deep features to keep"
    return reason


def partial_step(pipe: Any, branch: int) -> Step:
    """The work of a step at which the branch runs alone."""
    unet = denoiser_of(pipe)
    known = _PARTIAL.setdefault(unet, {})
    if branch not in known:
        known[branch] = Step(blocks=_shares(unet, branch), resting=_resting(unet, branch))
    return known[branch]


def scales_in_place(unet: Any) -> bool:
    """FreeU scales what up blocks receive in place, so that it must not get stored tensors."""
    return any(getattr(block, "b1", None) for block in unet.up_blocks)


def copied(output: Any) -> Any:
    """A block's output in memory of its own."""
    return tuple(map(copied, output)) if isinstance(output, tuple) else output.clone()


def _branches(unet: Any) -> tuple[int, ...]:
    """The branch ids that this UNet has: a down block has its resnets and the way down as layers."""
    return tuple(
        LAYERS * number + layer
        for number, block in enumerate(unet.down_blocks)
        for layer in range(min(LAYERS, len(block.resnets) + 1))
    )


def skipped(unet: Any, branch: int) -> Iterator[Skipped]:
    """What rests when the branch runs alone: all blocks beyond it, and the inner layers of its own block.

    The outputs of the up blocks beyond depend on nothing else, so the branch sees what it would see.
    """
    at, layer = divmod(branch, LAYERS)
    for number, block in enumerate(unet.down_blocks):
        if number > at or (number == at and layer == 0):
            yield Skipped(f"down_blocks.{number}", block)
        elif number == at:
            inner = (*_from(block, "resnets", layer), *_from(block, "attentions", layer))
            down = _from(block, "downsamplers", 0)
            yield from (Skipped(f"down_blocks.{number}", module) for module in (*inner, *down))
    yield Skipped("mid_block", unet.mid_block)
    for number, block in enumerate(unet.up_blocks):
        mirrored = len(unet.up_blocks) - 1 - number
        rest = max(0, len(block.resnets) - 1 - layer)
        if mirrored > at:
            yield Skipped(f"up_blocks.{number}", block)
        elif mirrored == at:
            inner = (*_to(block, "resnets", rest), *_to(block, "attentions", rest))
            yield from (Skipped(f"up_blocks.{number}", module) for module in inner)


def _from(block: Any, kind: str, start: int) -> tuple[Any, ...]:
    return tuple(getattr(block, kind, None) or ())[start:]


def _to(block: Any, kind: str, stop: int) -> tuple[Any, ...]:
    return tuple(getattr(block, kind, None) or ())[:stop]


def _shares(unet: Any, branch: int) -> dict[str, float]:
    """The share of each block's resnets and attentions that runs when the branch runs alone."""
    resting: dict[str, int] = {}
    for block, module in skipped(unet, branch):
        resting[block] = resting.get(block, 0) + len(_layers(module) or (module,))
    return {name: 1 - count / len(_layers(unet.get_submodule(name))) for name, count in resting.items()}


def _resting(unet: Any, branch: int) -> frozenset[str]:
    """The names of the modules that rest when the branch runs alone."""
    names = {module: name for name, module in unet.named_modules()}
    return frozenset(names[module] for _, module in skipped(unet, branch))


def _layers(block: Any) -> tuple[Any, ...]:
    kinds = ("resnets", "attentions", "downsamplers", "upsamplers")
    return tuple(layer for kind in kinds for layer in _from(block, kind, 0))
