"""Channels last: convolutions run without reordering where their weights have the channels of each place side by
side."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from hasten.denoisers import denoiser_of, no_unet, weights_in_other_hands
from hasten.errors import CallError
from hasten.methods.base import Method, Parameter, Patching, named
from hasten.plan import Parameters

if TYPE_CHECKING:
    from hasten.methods._conversion import Place

PARTS = ("both", "denoiser", "decoder", "none")


class ChannelsLast(Method):
    """Lets all convolutions of the UNet, the VAE's decoder, or both compute with weights in torch's channels-last
    format.

    The activations follow the weights. The products stay the same, but the order of their sums may change.

    Example:
        >>> with hasten.accelerate(pipe, "channels_last(parts=both)"):
        ...     image = pipe("a strawberry").images[0]
    """

    name = "channels_last"
    title = "Channels last"
    aliases = ("nhwc", "通道后置")
    summary = "lays convolutions out in memory as their fastest kernels read them"
    paper = (
        "PyTorch's memory format torch.channels_last; of layouts: Li et al.: Optimizing Memory Efficiency for "
        "Deep Convolutional Neural Networks on GPUs. SC 2016, arXiv:1610.03618"
    )
    order = 95
    compilable = True
    cuts_work = False
    converts = True
    exact = True
    by_default = False
    log_speedup_sd = 0.2

    def parameters(self, pipe: Any = None, steps: int | None = None) -> tuple[Parameter, ...]:
        return (named("parts", PARTS, "the parts whose convolutions are converted", neutral="none"),)

    def unsupported(self, pipe: Any) -> str | None:
        if reason := no_unet(pipe, self.title):
            return reason
        return _unfit(denoiser_of(pipe))

    def install(self, pipe: Any, parameters: Parameters, patches: Patching) -> None:
        from hasten.methods._conversion import Conversion

        for module in _modules(pipe, str(parameters["parts"])):
            check = partial(_refuse_changed, module)
            patches.convert(self, module, Conversion(_convolutions, _channels_last, check))


def _unfit(module: Any) -> str | None:
    """Returns why the layout of the module's weights cannot be changed, as a sentence without its full stop."""
    others = weights_in_other_hands(module, ("accelerate", "group_offloading"))
    return f"{others}, which undoes their layout" if others else None


def _refuse_changed(module: Any) -> None:
    if reason := _unfit(module):
        raise CallError(f"{METHOD.title} is applied, and meanwhile {reason}: remove the method.")


def _convolutions(module: Any) -> Iterator[Place]:
    from hasten.methods._weights import places

    return (place for place in places(module) if place[0][place[1]].ndim == 4)


def _modules(pipe: Any, parts: str) -> Iterator[Any]:
    if parts in ("both", "denoiser"):
        yield denoiser_of(pipe)
    if parts in ("both", "decoder") and getattr(pipe, "vae", None) is not None:
        yield pipe.vae.decoder


def _channels_last(data: Any) -> Any:
    import torch

    return data.to(memory_format=torch.channels_last)


METHOD = ChannelsLast()
