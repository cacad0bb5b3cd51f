"""Half precision: the denoiser computes in 16 bits, in which products take less time and memory traffic."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from hasten.methods._denoiser import arguments_of, denoiser_of, is_installed, no_denoiser, sample_of
from hasten.methods.base import Method, Parameter, named
from hasten.plan import Parameters

if TYPE_CHECKING:
    from hasten.methods._patch import Patches, Wrapper

DTYPES = ("bfloat16", "float16")
EXACT = ("timestep", "guidance")
"""What the denoiser is called with and reads in full: bfloat16 cannot tell timestep 999 from 1000."""


class HalfPrecision(Method):
    """The denoiser's weights and what runs through it are ``dtype``; text encoder, scheduler and VAE are left as
    they are. The original weights are kept beside, and put back."""

    name = "half_precision"
    title = "Half precision"
    aliases = ("16 bit precision", "半精度")
    implied = {"bf16": {"dtype": "bfloat16"}, "fp16": {"dtype": "float16"}}  # noqa: RUF012
    summary = "computes the denoiser in 16 bits"
    paper = (
        "Kalamkar et al.: A Study of BFLOAT16 for Deep Learning Training. 2019, arXiv:1905.12322; Micikevicius et "
        "al.: Mixed Precision Training. ICLR 2018, arXiv:1710.03740"
    )
    order = 90
    denoisers = ("unet", "transformer")
    cuts_work = False
    by_default = False
    presence = 0.5

    def parameters(self, pipe: Any = None, steps: int | None = None) -> tuple[Parameter, ...]:
        return (named("dtype", DTYPES, "what the denoiser computes in"),)

    def unsupported(self, pipe: Any) -> str | None:
        denoiser = denoiser_of(pipe)
        dtype = str(getattr(denoiser, "dtype", None)).removeprefix("torch.")
        if reason := no_denoiser(pipe, self.title):
            return reason
        if dtype != "float32" and not is_installed(self.name, pipe):
            return f"the {type(denoiser).__name__} is {dtype}, not float32, so that nothing would be gained"
        return None

    def install(self, pipe: Any, parameters: Parameters, patches: Patches) -> None:
        import torch

        dtype = getattr(torch, str(parameters["dtype"]))
        full = tuple(getattr(patches.denoiser, "_keep_in_fp32_modules", None) or ())
        named_tensors = (*patches.denoiser.named_parameters(), *patches.denoiser.named_buffers())
        for name, tensor in named_tensors:
            if tensor.is_floating_point() and not set(full) & set(name.split(".")):
                patches.convert(self, tensor, partial(_converted, dtype))
        patches.wrap(self, patches.denoiser, _in(dtype))


def _converted(dtype: Any, data: Any) -> Any:
    return data.to(dtype)


def _in(dtype: Any) -> Wrapper:
    """The denoiser is called in ``dtype`` and answers in that of its sample."""
    from hasten.methods._guidance import with_noise

    def wrapper(call_next: Callable[..., Any], module: Any, *args: Any, **kwargs: Any) -> Any:
        given = [
            a if name in EXACT else _cast(a, dtype) for name, a in zip(arguments_of(module), args, strict=False)
        ]
        by_name = {name: a if name in EXACT else _cast(a, dtype) for name, a in kwargs.items()}
        output = call_next(*given, **by_name)
        return with_noise(output, output[0].to(sample_of(module, args, kwargs).dtype))

    return wrapper


def _cast(value: Any, dtype: Any) -> Any:
    """Every floating tensor in that dtype, also within dicts, lists and tuples."""
    if isinstance(value, dict):
        return {name: _cast(item, dtype) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_cast(item, dtype) for item in value)
    floating = getattr(value, "is_floating_point", None)
    return value.to(dtype) if floating is not None and floating() else value


METHOD = HalfPrecision()
