"""Everything that hasten knows about denoisers: one declaration for each class, and what follows from it. It
imports no torch."""

from hasten.denoisers.blocks import (
    TransformerBlock,
    attentions,
    blocks_of,
    in_stacks,
    is_crossing,
    is_joint,
    stacked,
    transformer_blocks,
)
from hasten.denoisers.calls import arguments_of, denoiser_of, runs_all_blocks, sample_of, text_of, timestep_of
from hasten.denoisers.declared import (
    Denoiser,
    Stack,
    Stream,
    declaration_of,
    declare,
    declared,
    denoisers,
    is_a,
    withdraw,
)
from hasten.denoisers.levels import levels
from hasten.denoisers.reasons import (
    no_attention,
    no_denoiser,
    no_guided_batch,
    no_stack,
    no_transformer_blocks,
    no_unet,
    not_declared,
    weights_in_other_hands,
)

__all__ = [
    "Denoiser",
    "Stack",
    "Stream",
    "TransformerBlock",
    "arguments_of",
    "attentions",
    "blocks_of",
    "declaration_of",
    "declare",
    "declared",
    "denoiser_of",
    "denoisers",
    "in_stacks",
    "is_a",
    "is_crossing",
    "is_joint",
    "levels",
    "no_attention",
    "no_denoiser",
    "no_guided_batch",
    "no_stack",
    "no_transformer_blocks",
    "no_unet",
    "not_declared",
    "runs_all_blocks",
    "sample_of",
    "stacked",
    "text_of",
    "timestep_of",
    "transformer_blocks",
    "weights_in_other_hands",
    "withdraw",
]
