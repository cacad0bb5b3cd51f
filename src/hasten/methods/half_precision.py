"""Half precision: the denoiser computes in 16 bits, where products take less time and memory traffic."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from hasten.denoisers import arguments_of, denoiser_of, no_denoiser, sample_of, weights_in_other_hands
from hasten.errors import CallError
from hasten.methods.base import Method, Parameter, Patching, named
from hasten.plan import Parameters

if TYPE_CHECKING:
    from hasten.methods._conversion import Place
    from hasten.methods._patch import Wrapper

DTYPES = ("bfloat16", "float16")
EXACT = ("timestep", "guidance")
"""Arguments of the denoiser that stay in full precision, because bfloat16 cannot tell timestep 999 from 1000."""


class HalfPrecision(Method):
    """Lets the denoiser compute with weights and activations of ``dtype``. Text encoder, scheduler and VAE stay as
    they are.

    The original weights stay in memory, and outside of its calls the denoiser has them.

    Example:
        >>> with hasten.accelerate(pipe, "half_precision(dtype=bfloat16)"):
        ...     image = pipe("a strawberry").images[0]
    """

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
    replaces = ("weights",)
    compilable = True
    denoisers = ("unet", "transformer")
    cuts_work = False
    converts = True
    by_default = False
    log_speedup_sd = 0.5

    def parameters(self, pipe: Any = None, steps: int | None = None) -> tuple[Parameter, ...]:
        return (named("dtype", DTYPES, "what the denoiser computes in"),)

    def unsupported(self, pipe: Any) -> str | None:
        return no_denoiser(pipe, self.title) or _unfit(denoiser_of(pipe))

    def install(self, pipe: Any, parameters: Parameters, patches: Patching) -> None:
        import torch

        from hasten.methods._conversion import Conversion

        dtype, denoiser = getattr(torch, str(parameters["dtype"])), patches.denoiser
        half = Conversion(_chosen, partial(_converted, dtype), partial(_refuse_changed, denoiser))
        patches.convert(self, denoiser, half)
        patches.wrap(self, denoiser, _in(dtype))


def _unfit(denoiser: Any) -> str | None:
    """Returns why the denoiser's weights cannot be converted, as a sentence without its full stop."""
    dtype = str(getattr(denoiser, "dtype", None)).removeprefix("torch.")
    if dtype != "float32":
        return f"the {type(denoiser).__name__} is {dtype}, not float32, so that nothing would be gained"
    others = weights_in_other_hands(denoiser)
    return f"{others}, which undoes their conversion" if others else None


def _refuse_changed(denoiser: Any) -> None:
    if reason := _unfit(denoiser):
        raise CallError(
            f"{METHOD.title} is applied, and meanwhile {reason}: remove the method, or load the model anew and "
            "leave that off."
        )


def _chosen(denoiser: Any) -> Iterator[Place]:
    """Yields the places of all weights but those that the class of the denoiser keeps in full."""
    from hasten.methods._weights import places

    full = set(getattr(denoiser, "_keep_in_fp32_modules", None) or ())
    kept = {id(t) for path, t in _named_tensors(denoiser) if full & set(path.split("."))} if full else set()
    return (place for place in places(denoiser) if id(place[0][place[1]]) not in kept)


def _named_tensors(denoiser: Any) -> Iterator[tuple[str, Any]]:
    yield from denoiser.named_parameters()
    yield from denoiser.named_buffers()


def _converted(dtype: Any, data: Any) -> Any:
    return data.to(dtype)


def _in(dtype: Any) -> Wrapper:
    """Returns a wrapper that calls the denoiser in ``dtype`` and returns its output in the sample's dtype."""
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
    """Returns the value with every floating-point tensor in that dtype, also inside dicts, lists and tuples."""
    if isinstance(value, dict):
        return {name: _cast(item, dtype) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_cast(item, dtype) for item in value)
    floating = getattr(value, "is_floating_point", None)
    return value.to(dtype) if floating is not None and floating() else value


METHOD = HalfPrecision()
