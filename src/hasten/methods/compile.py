"""Compile: torch.compile fuses what runs between the products of the denoiser's repeated blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from hasten.denoisers import denoiser_of, no_denoiser
from hasten.errors import MeasurementError
from hasten.methods.base import Method, Parameter, named
from hasten.plan import Parameters

if TYPE_CHECKING:
    from hasten.methods._patch import Patches, Wrapper

MODES = ("default", "max-autotune-no-cudagraphs")
"""Not those with CUDA graphs: a replay overwrites the outputs of the last one, which other methods store."""

RECOMPILATIONS = 64
"""How often the blocks of a kind may be compiled in a process, once for each of their shapes. After 8 torch itself
goes on without compiling, and without a word."""


class Compile(Method):
    """Compiles the blocks that diffusers names as repeated (one compilation serves all of a kind and shape); where
    it names none, the denoiser. The first call compiles, which takes long; those after it are fast."""

    name = "compile"
    title = "Compile"
    aliases = ("torch.compile", "torch compile", "compilation", "编译")
    summary = "compiles the denoiser's repeated blocks; the first call takes long"
    paper = (
        "Ansel et al.: PyTorch 2: Faster Machine Learning Through Dynamic Python Bytecode Transformation and "
        "Graph Compilation. ASPLOS 2024, doi:10.1145/3620665.3640366"
    )
    order = 0
    compiles = True
    replay = "always"
    denoisers = ("unet", "transformer")
    cuts_work = False
    exact = True
    by_default = False
    presence = 0.5

    def parameters(self, pipe: Any = None, steps: int | None = None) -> tuple[Parameter, ...]:
        return (named("mode", MODES, "how torch.compile looks for fast kernels"),)

    def unsupported(self, pipe: Any) -> str | None:
        denoiser = denoiser_of(pipe)
        if reason := no_denoiser(pipe, self.title):
            return reason
        shell = denoiser is not getattr(pipe, "unet", None) and denoiser is not getattr(pipe, "transformer", None)
        if shell or any(getattr(m, "_compiled_call_impl", None) is not None for m in denoiser.modules()):
            return f"the {type(denoiser).__name__} is compiled already"
        return None

    def install(self, pipe: Any, parameters: Parameters, patches: Patches) -> None:
        for module in _regions(patches.denoiser):
            patches.wrap(self, module, _compiled(str(parameters["mode"])))
        patches.wrap(self, patches.denoiser, _never_given_up())


def _regions(denoiser: Any) -> Iterator[Any]:
    """The repeated blocks, or the denoiser itself."""
    kinds = tuple(getattr(denoiser, "_repeated_blocks", None) or ())
    found = [module for module in denoiser.modules() if type(module).__name__ in kinds]
    yield from found or [denoiser]


def _compiled(mode: str) -> Wrapper:
    import torch

    known: dict[Any, Callable[..., Any]] = {}

    def wrapper(call_next: Callable[..., Any], module: Any, *args: Any, **kwargs: Any) -> Any:
        if module not in known:  # what was compiled for an equal block before is found by torch itself
            known[module] = torch.compile(call_next, mode=mode)
        return known[module](*args, **kwargs)

    return wrapper


def _never_given_up() -> Wrapper:
    """Outside of what is compiled: too many compilations are an error."""
    from torch._dynamo import config, exc

    # Older versions of torch call class and settings after the cache; the settings have that name as well still.
    names = ("FailOnRecompileLimitHit", "FailOnCacheLimitHit")
    too_many = next(getattr(exc, name) for name in names if hasattr(exc, name))

    def wrapper(call_next: Callable[..., Any], module: Any, *args: Any, **kwargs: Any) -> Any:
        with config.patch(cache_size_limit=RECOMPILATIONS, fail_on_cache_limit_hit=True):
            try:
                return call_next(*args, **kwargs)
            except too_many as error:
                raise MeasurementError(
                    f"Compile: the blocks of the {type(module).__name__} had to be compiled more than "
                    f"{RECOMPILATIONS} times, once for each of their shapes. Call the pipeline with fewer "
                    "resolutions and batch sizes, forget what was compiled (torch.compiler.reset()), or remove it."
                ) from error

    return wrapper


METHOD = Compile()
