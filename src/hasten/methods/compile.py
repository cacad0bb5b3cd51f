"""Compile: torch.compile fuses the operations between the matrix products of the denoiser's repeated blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from hasten.denoisers import denoiser_of, no_denoiser
from hasten.errors import MeasurementError
from hasten.methods.base import Method, Parameter, Patching, named
from hasten.plan import Parameters

if TYPE_CHECKING:
    from hasten.methods._patch import Wrapper

MODES = ("default", "max-autotune-no-cudagraphs")
"""The modes of torch.compile without CUDA graphs, whose replay overwrites outputs that other methods store."""

RECOMPILATIONS = 64
"""The limit on compilations of one kind of block in a process, one for each shape. By default torch goes on
uncompiled after 8, without a warning."""


class Compile(Method):
    """Compiles the blocks that diffusers declares as repeated, or the whole denoiser where it declares none.

    One compilation serves all blocks of a kind and shape. The first call compiles, which takes long.

    Example:
        >>> with hasten.accelerate(pipe, "compile(mode=default)"):
        ...     image = pipe("a strawberry").images[0]
    """

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
    log_speedup_sd = 0.5

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

    def install(self, pipe: Any, parameters: Parameters, patches: Patching) -> None:
        for module in _regions(patches.denoiser):
            patches.wrap(self, module, _compiled(str(parameters["mode"])))
        patches.wrap(self, patches.denoiser, _never_given_up())


def _regions(denoiser: Any) -> Iterator[Any]:
    """Yields the repeated blocks, or the denoiser itself where it has none."""
    kinds = tuple(getattr(denoiser, "_repeated_blocks", None) or ())
    found = [module for module in denoiser.modules() if type(module).__name__ in kinds]
    yield from found or [denoiser]


def _compiled(mode: str) -> Wrapper:
    import torch

    compiled: dict[Any, Callable[..., Any]] = {}

    def wrapper(call_next: Callable[..., Any], module: Any, *args: Any, **kwargs: Any) -> Any:
        if module not in compiled:  # torch itself finds what it compiled for an equal block
            compiled[module] = torch.compile(call_next, mode=mode)
        return compiled[module](*args, **kwargs)

    return wrapper


def _never_given_up() -> Wrapper:
    """Returns a wrapper around the compiled denoiser that raises an error where torch would give up compiling."""
    from torch._dynamo import config, exc

    # Older versions of torch name the class and the settings after the cache. New ones accept those settings, too.
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
