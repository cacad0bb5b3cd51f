"""Attention backend: computes the same attention by another of the kernels that diffusers can call."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from hasten.denoisers import declaration_of, denoiser_of, no_denoiser
from hasten.errors import UnsupportedError
from hasten.methods.base import Method, Parameter, Patching, named
from hasten.plan import Parameters

BACKENDS = (
    "native",
    "_native_flash",
    "_native_efficient",
    "_native_cudnn",
    "_native_math",
    "flash",
    "_flash_3",
    "sage",
    "xformers",
    "flex",
)
"""The members of diffusers' AttentionBackendName that download no code."""
QUANTISED = ("sage",)
"""The kernels that compute in 8 bits, which changes the images by more than rounding."""
CHOICE = "_attention_backend"


class AttentionBackend(Method):
    """Runs the denoiser's attentions on ``backend`` of diffusers' dispatcher; ``native`` is torch's own choice.

    Example:
        >>> with hasten.accelerate(pipe, "attention_backend(backend=_native_cudnn)"):
        ...     image = pipe("a strawberry").images[0]
    """

    name = "attention_backend"
    title = "Attention backend"
    aliases = ("attention kernel", "注意力后端")
    summary = "computes attention by another kernel"
    paper = (
        "Dao et al.: FlashAttention: Fast and Memory-Efficient Exact Attention with IO-Awareness. NeurIPS 2022, "
        "arXiv:2205.14135"
    )
    order = 1
    compilable = True
    replay = "always"
    denoisers = ("transformer",)
    cuts_work = False
    exact = True
    by_default = False
    log_speedup_sd = 0.2

    def parameters(self, pipe: Any = None, steps: int | None = None) -> tuple[Parameter, ...]:
        return (named("backend", BACKENDS, "diffusers' name of the kernel", neutral="native", lossy=QUANTISED),)

    def unsupported(self, pipe: Any) -> str | None:
        denoiser = denoiser_of(pipe)
        if reason := no_denoiser(pipe, self.title):
            return reason
        # The class comes first, because a model that is only listed has no modules to look at.
        declared = declaration_of(denoiser)
        if (declared is not None and not declared.dispatched) or not any(_processors(denoiser)):
            name = type(denoiser).__name__
            return (
                f"the attention of the {name} does not go through diffusers' dispatcher, which alone has backends"
            )
        return None

    def install(self, pipe: Any, parameters: Parameters, patches: Patching) -> None:
        from diffusers.models.attention_dispatch import _AttentionBackendRegistry as Dispatcher

        active, backend = Dispatcher.get_active_backend()[0], str(parameters["backend"])
        for processor in _processors(patches.denoiser):
            patches.undo(self, partial(_restore, processor, vars(processor).get(CHOICE)))
        try:
            patches.denoiser.set_attention_backend(backend)
        except (RuntimeError, ValueError) as error:
            raise UnsupportedError(f"{self.title} {backend} cannot be used here: {error}") from error
        finally:
            Dispatcher.set_active_backend(active)  # diffusers has changed it for all other models as well


def _processors(denoiser: Any) -> Iterator[Any]:
    """Yields the attention processors that take a backend."""
    found = (getattr(module, "processor", None) for module in denoiser.modules())
    return (processor for processor in found if hasattr(processor, CHOICE))


def _restore(processor: Any, before: Any) -> None:
    if before is None:
        vars(processor).pop(CHOICE, None)
    else:
        setattr(processor, CHOICE, before)


METHOD = AttentionBackend()
