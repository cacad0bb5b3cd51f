"""Quantise: torchao stores the weights of linear layers in 8 bits, so that less memory is read."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from hasten.denoisers import (
    denoiser_of,
    is_a,
    not_declared,
    stacked,
    transformer_blocks,
    weights_in_other_hands,
)
from hasten.errors import CallError, UnsupportedError
from hasten.methods._extra import missing
from hasten.methods.base import Method, Parameter, Patching, named
from hasten.plan import Parameters

if TYPE_CHECKING:
    from hasten.methods._conversion import Place

SCHEMES = {
    "int8_weight_only": "Int8WeightOnlyConfig",
    "int8_dynamic": "Int8DynamicActivationInt8WeightConfig",
    "float8_weight_only": "Float8WeightOnlyConfig",
}
"""The schemes and torchao's classes for them. Scales are kept per row of a weight; int8_dynamic also has int8
activations."""


class Quantize(Method):
    """Quantises the weights of all linear layers in the denoiser's transformer blocks, by torchao.

    Embeddings, adapters and the layers outside the blocks stay exact. The original weights stay in memory, and
    outside of its calls the denoiser has them.

    Example:
        >>> with hasten.accelerate(pipe, "quantize(scheme=int8_weight_only)"):
        ...     image = pipe("a strawberry").images[0]
    """

    name = "quantize"
    title = "Quantise"
    aliases = (
        "quantization",
        "quantisation",
        "quantized weights",
        "quantised weights",
        "quantized",
        "quantised",
        "torchao",
        "量化",
    )
    implied = {  # noqa: RUF012
        "int8": {"scheme": "int8_weight_only"},
        "w8a8": {"scheme": "int8_dynamic"},
        "fp8": {"scheme": "float8_weight_only"},
    }
    summary = "holds the weights of linear layers in 8 bits, by torchao"
    paper = (
        "Dettmers et al.: LLM.int8(): 8-bit Matrix Multiplication for Transformers at Scale. NeurIPS 2022, "
        "arXiv:2208.07339; Micikevicius et al.: FP8 Formats for Deep Learning. 2022, arXiv:2209.05433"
    )
    order = 5
    replaces = ("weights",)
    compilable = True
    denoisers = ("unet", "transformer")
    cuts_work = False
    converts = True
    by_default = False
    log_speedup_sd = 0.5
    packages = ("torchao>=0.18",)

    def parameters(self, pipe: Any = None, steps: int | None = None) -> tuple[Parameter, ...]:
        return (
            named("scheme", tuple(SCHEMES), "the weights' 8-bit format; int8_dynamic has int8 activations, too"),
        )

    def unsupported(self, pipe: Any) -> str | None:
        if reason := not_declared(pipe, self.title):
            return reason
        linear, denoiser = next(_linears(denoiser_of(pipe)), None), type(denoiser_of(pipe)).__name__
        if linear is None:
            return f"the {denoiser} has no transformer blocks: {self.title} has no linear layers to work on"
        if not _is_plain(linear):
            return f"the weights of the {denoiser} are {type(linear.weight).__name__} already"
        return _unfit(denoiser_of(pipe)) or missing(self.packages, self.name)

    def install(self, pipe: Any, parameters: Parameters, patches: Patching) -> None:
        from torchao import quantization

        from hasten.methods._conversion import Conversion

        scheme, denoiser = str(parameters["scheme"]), patches.denoiser
        made = partial(_quantised, scheme, getattr(quantization, SCHEMES[scheme])())
        patches.convert(self, denoiser, Conversion(_chosen, made, partial(_refuse_changed, denoiser), True))


def _unfit(denoiser: Any) -> str | None:
    """Returns why the weights cannot be quantised, as a sentence without its full stop."""
    others = weights_in_other_hands(denoiser)
    return f"{others}, which cannot be done to quantised ones" if others else None


def _refuse_changed(denoiser: Any) -> None:
    if reason := _unfit(denoiser):
        raise CallError(f"{METHOD.title} is applied, and meanwhile {reason}: remove the method.")


def _chosen(denoiser: Any) -> Iterator[Place]:
    return ((linear._parameters, "weight") for linear in _linears(denoiser))


def _quantised(scheme: str, config: Any, weight: Any) -> Any:
    """Returns the weight (outputs, inputs) of a linear layer as torchao's tensor."""
    import torch
    from torchao.quantization import quantize_

    rows, columns = weight.shape
    linear = torch.nn.Linear(columns, rows, bias=False, device="meta")
    linear.weight = torch.nn.Parameter(weight, requires_grad=False)
    try:
        quantize_(linear, config)
    except (AssertionError, NotImplementedError, RuntimeError, ValueError) as error:
        raise UnsupportedError(f"{METHOD.title} {scheme} cannot be used here: {error}") from error
    return linear.weight.data


def _linears(denoiser: Any) -> Iterator[Any]:
    """Yields the linear layers of all transformer blocks, each once, but not those of adapters."""
    blocks = [block for _, block in stacked(denoiser)] or [b.module for b in transformer_blocks(denoiser)]
    inside = {m: None for block in blocks for m in block.modules() if "weight" in m._parameters}
    adapters = {m for block in blocks for path, m in block.named_modules() if "lora_" in path}
    return (module for module in inside if is_a(module, "Linear") and module not in adapters)


def _is_plain(linear: Any) -> bool:
    import torch

    return type(linear.weight.data) is torch.Tensor and linear.weight.is_floating_point()


METHOD = Quantize()
