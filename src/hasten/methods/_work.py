"""The work that a method replaces, and what it leaves of it at each step. It imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Work = Literal["features", "attention", "guidance", "weights"]
"""The work that a method can replace: the output of the denoiser or its blocks, the output of attentions, a half
of guidance, or the data of weights."""

Replay = Literal["always", "by_call", "never"]
"""When a recorded call of the denoiser can be replayed.

*always*: at any call with inputs of the same shapes. *by_call*: only at the same call of another run, because a
call depends on those before it. *never*: because a call depends on numbers in tensors, or is more than the
recorded kernels.
"""

Mode = Literal["run", "store", "reuse"]
"""What an attention does at a step: it computes, computes and stores its output, or returns the stored output."""


@dataclass(frozen=True)
class Step:
    """The work that is left at one step, for the cost model. The baseline's work is 1.

    ``resting``, ``self_mode`` and ``merged`` give the exact origin of the shares. They follow from the same
    parameters, so that comparisons of steps leave them out.

    Example:
        >>> Step(blocks={"mid_block": 0.0}, guidance=False)  # no mid block, and half of the batch

    Args:
        blocks: the share of layers that run in a denoiser block, by its name (``down_blocks.1``). Blocks without
            an entry run in full.
        self_attention: the share of the work of self-attentions, 0 to 1.
        cross_attention: the share of the work of cross-attentions, 0 to 1.
        guidance: False where the step computes no classifier-free guidance, so that half of the batch runs.
        old_guidance: whether guidance goes on with a difference that an earlier step computed. This costs no work,
            but changes the image.
        variant: how the step replaces the work that it leaves out, where there are several ways. This costs no
            work either.
        resting: the names of modules that return a stored output, so that nothing inside them runs.
        self_mode: the mode of all self-attentions. One that has stored nothing runs where it should reuse.
        merged: the share of tokens that is merged before self-attention, by the name of the transformer block.
    """

    blocks: Mapping[str, float] = field(default_factory=dict)
    self_attention: float = 1.0
    cross_attention: float = 1.0
    guidance: bool = True
    old_guidance: bool = False
    variant: str = ""
    resting: frozenset[str] = field(default=frozenset(), compare=False, repr=False)
    self_mode: Mode = field(default="run", compare=False, repr=False)
    merged: Mapping[str, float] = field(default_factory=dict, compare=False, repr=False)
