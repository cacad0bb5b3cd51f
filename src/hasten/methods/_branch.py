"""The skip branch of a UNet: which modules still run when it runs alone, for methods that reuse deep features."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from hasten.denoisers import denoiser_of, no_unet
from hasten.methods.base import Parameter, Step

LAYERS = 3  # DeepCache's published numbering counts three layers a block, whatever the UNet has
# The cost model asks for this step in every cell of a grid, so that it is kept for each UNet.
_PARTIAL_STEPS: WeakKeyDictionary[Any, dict[int, Step]] = WeakKeyDictionary()


class Skipped(NamedTuple):
    """A module that does not run when the branch runs alone, and the name of the UNet block that contains it."""

    block: str
    module: Any


def branch_parameter(name: str, pipe: Any) -> Parameter:
    """Returns the parameter that chooses the branch."""
    branches = _branches(denoiser_of(pipe)) if pipe is not None else tuple(range(8 * LAYERS))
    return Parameter(
        name,
        int,
        low=0,
        high=branches[-1],
        default=0,
        neutral=0,
        grid=tuple(b for b in (3, 2, 1, 0) if b in branches),
        meaning="which skip branch always runs: 0 is the outermost, and each block of the UNet has three",
        allowed=branches if pipe is not None else None,
    )


def no_branch(pipe: Any, title: str) -> str | None:
    """Returns why the pipeline has no deep features to reuse, or None where it has some."""
    reason = no_unet(pipe, title)
    if reason is None and denoiser_of(pipe).mid_block is None:
        return f"the unet of {type(pipe).__name__} has no mid block: {title} has no deep features to keep"
    return reason


def partial_step(pipe: Any, branch: int) -> Step:
    """Returns the work of a step at which the branch runs alone."""
    unet = denoiser_of(pipe)
    by_branch = _PARTIAL_STEPS.setdefault(unet, {})
    if branch not in by_branch:
        by_branch[branch] = Step(blocks=_shares(unet, branch), resting=_resting(unet, branch))
    return by_branch[branch]


def scales_in_place(unet: Any) -> bool:
    """Returns whether FreeU is active. It scales the inputs of up blocks in place, which must not hit stored
    tensors."""
    return any(getattr(block, "b1", None) for block in unet.up_blocks)


def copied(output: Any) -> Any:
    """Returns a copy of a block's output, a tensor or nested tuples of tensors."""
    return tuple(map(copied, output)) if isinstance(output, tuple) else output.clone()


def _branches(unet: Any) -> tuple[int, ...]:
    """Returns the branch ids that this UNet has. The layers of a down block are its resnets and its
    downsampler."""
    return tuple(
        LAYERS * number + layer
        for number, block in enumerate(unet.down_blocks)
        for layer in range(min(LAYERS, len(block.resnets) + 1))
    )


def skipped(unet: Any, branch: int) -> Iterator[Skipped]:
    """Yields the modules that rest when the branch runs alone: all deeper blocks, and the inner layers of its own
    block.

    The outputs of the deeper up blocks depend on nothing else, so that the branch sees the features of the last
    full step.
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
    """Returns the share of each block's layers that runs when the branch runs alone, by the name of the block."""
    resting: dict[str, int] = {}
    for block, module in skipped(unet, branch):
        resting[block] = resting.get(block, 0) + len(_layers(module) or (module,))
    return {name: 1 - count / len(_layers(unet.get_submodule(name))) for name, count in resting.items()}


def _resting(unet: Any, branch: int) -> frozenset[str]:
    """Returns the names of the modules that rest when the branch runs alone."""
    names = {module: name for name, module in unet.named_modules()}
    return frozenset(names[module] for _, module in skipped(unet, branch))


def _layers(block: Any) -> tuple[Any, ...]:
    kinds = ("resnets", "attentions", "downsamplers", "upsamplers")
    return tuple(layer for kind in kinds for layer in _from(block, kind, 0))
