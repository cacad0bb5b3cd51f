"""Half precision: the denoiser computes in 16 bits, where products take less time and memory traffic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from hasten.denoisers import arguments_of, denoiser_of, no_denoiser, sample_of, weights_in_other_hands
from hasten.errors import InputError
from hasten.methods._installed import is_installed
from hasten.methods.base import Method, Parameter, State, named
from hasten.plan import Parameters

if TYPE_CHECKING:
    from hasten.methods._patch import Patches, Wrapper

DTYPES = ("bfloat16", "float16")
FUSED = {
    "to_qkv": ("to_q", "to_k", "to_v"),
    "to_kv": ("to_k", "to_v"),
    "to_added_qkv": ("add_q_proj", "add_k_proj", "add_v_proj"),
}
"""The projections that diffusers creates when it fuses an attention's projections, and the names of their
parts."""
EXACT = ("timestep", "guidance")
"""Arguments of the denoiser that stay in full precision, because bfloat16 cannot tell timestep 999 from 1000."""


class HalfPrecision(Method):
    """Converts the denoiser's weights and activations to ``dtype``. Text encoder, scheduler and VAE stay as they
    are.

    The original weights stay in memory, and removal puts them back.

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
    by_default = False
    log_speedup_sd = 0.5

    def parameters(self, pipe: Any = None, steps: int | None = None) -> tuple[Parameter, ...]:
        return (named("dtype", DTYPES, "what the denoiser computes in"),)

    def unsupported(self, pipe: Any) -> str | None:
        denoiser = denoiser_of(pipe)
        dtype = str(getattr(denoiser, "dtype", None)).removeprefix("torch.")
        if reason := no_denoiser(pipe, self.title):
            return reason
        if dtype != "float32" and not is_installed(self.name, pipe):
            return f"the {type(denoiser).__name__} is {dtype}, not float32, so that nothing would be gained"
        if others := weights_in_other_hands(denoiser):
            return f"{others}, which undoes their conversion"
        return None

    def install(self, pipe: Any, parameters: Parameters, patches: Patches) -> None:
        import torch

        dtype = getattr(torch, str(parameters["dtype"]))
        full = tuple(getattr(patches.denoiser, "_keep_in_fp32_modules", None) or ())
        named_tensors = (*patches.denoiser.named_parameters(), *patches.denoiser.named_buffers())
        before = [tensor for _, tensor in named_tensors]
        patches.undo(self, partial(_convert_back, patches.denoiser, dtype, before))
        for name, tensor in named_tensors:
            if tensor.is_floating_point() and not set(full) & set(name.split(".")):
                patches.convert(self, tensor, partial(_converted, dtype))
        patches.wrap(self, patches.denoiser, _in(dtype))
        patches.listen(self, lambda: _State(patches.denoiser), run_wide=True)


class _State(State):
    """Checks at the beginning of each run that nobody else has taken over the weights. It stores nothing."""

    def __init__(self, denoiser: Any) -> None:
        self._denoiser, self._begins = denoiser, True

    def start(self) -> None:
        self._begins = True

    def step(self, number: int) -> None:
        if self._begins and (others := weights_in_other_hands(self._denoiser)):
            raise InputError(
                f"{METHOD.title} is applied, and meanwhile {others}, which undoes their conversion: remove the "
                "method, or load the model anew and leave that off."
            )
        self._begins = False


def _converted(dtype: Any, data: Any) -> Any:
    return data.to(dtype)


def _convert_back(denoiser: Any, dtype: Any, before: Sequence[Any]) -> None:
    """Restores tensors that others have made from converted weights.

    They become float32 again, and fused projections are fused again from the restored parts.
    """
    own = set(map(id, before))
    for tensor in (*denoiser.parameters(), *denoiser.buffers()):
        if tensor.dtype == dtype and id(tensor) not in own:
            tensor.data = tensor.data.float()
    for module in denoiser.modules():
        for fused, parts in FUSED.items():
            linear = vars(module).get("_modules", {}).get(fused)
            if linear is not None and id(linear.weight) not in own:
                _fuse(linear, [getattr(module, part) for part in parts])


def _fuse(fused: Any, parts: Sequence[Any]) -> None:
    import torch

    fused.weight.data = torch.cat([part.weight.data for part in parts])
    if fused.bias is not None:
        fused.bias.data = torch.cat([part.bias.data for part in parts])


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
