"""Refuses calls of the denoiser in which no work may be left out: the caller looks at what happens inside, wants a
gradient, or guides with more than two halves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch.utils import _pytree as pytree

from hasten.denoisers import argument_of, attentions, sample_of
from hasten.errors import CallError
from hasten.methods.base import Method

PIPELINES = "diffusers.pipelines."
"""Modules of attention processors that only their own pipeline sets and reads."""

PERTURBED = "PAG"
"""What the names of attention processors begin with that compute a part of the batch otherwise."""


def cutting(methods: Iterable[Method]) -> list[str]:
    """Returns the titles of the methods that leave out work inside the denoiser."""
    return [method.title for method in methods if method.cuts_work and not method.shortens]


def refuse_gradient(
    denoiser: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], methods: Iterable[Method]
) -> None:
    """Raises CallError where the gradient of an input or of the weights is wanted, as in Attend-and-Excite and in
    training."""
    if not torch.is_grad_enabled():
        return
    titles = [m.title for m in methods if (m.cuts_work and not m.shortens) or m.records or m.converts]
    inputs = (leaf for leaf in pytree.tree_leaves((args, dict(kwargs))) if isinstance(leaf, torch.Tensor))
    if titles and any(tensor.requires_grad for tensor in (*inputs, *denoiser.parameters())):
        raise CallError(
            f"The {type(denoiser).__name__} is called for a gradient, and {', '.join(titles)} would leave out "
            "what that goes through: remove the plan, or call the denoiser under torch.no_grad()."
        )


def guiding(methods: Iterable[Method]) -> list[str]:
    """Returns the titles of the methods that drop a half of guidance."""
    return [method.title for method in methods if "guidance" in method.replaces]


def refuse_parts(
    denoiser: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], methods: Iterable[Method]
) -> None:
    """Raises CallError where a batch has more parts than the two halves of guidance, as in InstructPix2Pix.

    The images of an unguided batch have to differ by now, as they do from the second step on.
    """
    titles, sample = guiding(methods), sample_of(denoiser, args, kwargs)
    if titles and sample.shape[0] > 2 and _has_more_parts(denoiser, sample, _text(denoiser, args, kwargs)):
        raise CallError(
            f"The batch of this call is guided in more than two parts, and {', '.join(titles)} would drop half of "
            "it: remove the plan, or call a pipeline whose guidance has two halves."
        )


def _has_more_parts(denoiser: Any, sample: torch.Tensor, text: Any) -> bool:
    """Returns whether the latents (batch, channels, height, width) are three or more repetitions whose other
    inputs are neither equal nor those of two halves."""
    rows, config = sample.shape[0], getattr(denoiser, "config", None)
    latents = sample[
        :, : getattr(config, "out_channels", None)
    ]  # beyond them lies what the latents are drawn over
    others = [sample, *([text] if isinstance(text, torch.Tensor) and text.shape[0] == rows else [])]
    for parts in (n for n in range(rows, 2, -1) if rows % n == 0):
        if _repeats(latents, parts):
            middle = rows // 2 if parts % 2 == 0 else rows
            halves = [half for other in others for half in other.split(middle)]
            return not all(_repeats(half, parts * half.shape[0] // rows) for half in halves)
    return False


def _repeats(tensor: torch.Tensor, parts: int) -> bool:
    """Returns whether a tensor (rows, …) consists of so many equal parts."""
    split = tensor.unflatten(0, (parts, -1))
    return torch.equal(split, split[:1].expand_as(split))


def _text(denoiser: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    return argument_of(denoiser, "encoder_hidden_states", args, kwargs)


class Processors:
    """The attention processors of a denoiser, which pipelines replace for a call.

    A pipeline that is refused in the middle of its call leaves its processors behind, so that a refusal puts back
    those that the denoiser had in the run before.
    """

    def __init__(self, denoiser: Any) -> None:
        self._denoiser = denoiser
        self._known: dict[Any, Any] = {}

    def admit(self, methods: Sequence[Method]) -> None:
        """Raises CallError where the processors of a pipeline need what the methods would leave out: those that
        note what each attention computes, as in self-attention guidance, or that compute a part of the batch
        otherwise, as in perturbed-attention guidance."""
        found = {a: a.processor for a in attentions(self._denoiser) if getattr(a, "processor", None) is not None}
        for owner, is_own, refusal in (
            (cutting(methods), _reads, self._watched),
            (guiding(methods), _perturbs, self._perturbed),
        ):
            own = {attention: processor for attention, processor in found.items() if is_own(processor)}
            if owner and own:
                self._put_back(own)
                raise CallError(refusal(type(next(iter(own.values()))).__name__, ", ".join(owner)))
        self._known = found

    def _put_back(self, own: Iterable[Any]) -> None:
        for attention in own:
            if attention in self._known:
                attention.processor = self._known[attention]

    def _watched(self, processor: str, titles: str) -> str:
        return (
            f"The pipeline reads what the attentions of the {type(self._denoiser).__name__} do, by its "
            f"{processor}, and {titles} would leave some of that out: remove the plan."
        )

    def _perturbed(self, processor: str, titles: str) -> str:
        return (
            f"The pipeline guides by perturbed attention ({processor}), and {titles} would drop a part of the "
            "batch that this needs: remove the plan, or switch that guidance off (pag_scale=0)."
        )


def _reads(processor: Any) -> bool:
    return type(processor).__module__.startswith(PIPELINES)


def _perturbs(processor: Any) -> bool:
    return type(processor).__name__.startswith(PERTURBED)
