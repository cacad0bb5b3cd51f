"""What goes through the blocks of a transformer: the image's tokens, in some models beside the text's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from hasten.methods._denoiser import is_joint


def image_of(output: Any) -> torch.Tensor:
    """The image's tokens (batch, tokens, channels) of a block's output: alone, or after the text's."""
    image: torch.Tensor = output[-1] if isinstance(output, tuple) else output
    return image


def passed(block: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], image: torch.Tensor) -> Any:
    """What the block would give if it only passed on the text's tokens that it was called with, and ``image``."""
    if not is_joint(block):  # has the text to look at only
        return image
    text = kwargs["encoder_hidden_states"] if "encoder_hidden_states" in kwargs else args[1]
    return text, image


def change(now: torch.Tensor, before: torch.Tensor) -> float:
    """The relative difference of mean absolute values, of the row where that is largest."""
    rows = (now - before).abs().flatten(1).mean(1) / before.abs().flatten(1).mean(1)
    return float(rows.max())
