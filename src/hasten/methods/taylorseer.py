"""TaylorSeer: the denoiser's output changes smoothly from step to step, so that some steps can be forecast."""

from __future__ import annotations

from collections.abc import Callable, Collection
from math import factorial
from typing import TYPE_CHECKING, Any, NamedTuple

from hasten.denoisers import blocks_of, denoiser_of, not_declared
from hasten.methods._parameter import cache_interval
from hasten.methods.base import MAX_STEPS, Method, Parameter, Patching, State, Step
from hasten.plan import Parameters

if TYPE_CHECKING:
    from hasten.methods._patch import Current, Wrapper


class TaylorSeer(Method):
    """Runs the denoiser at some steps, and forecasts its output at the others by a Taylor series.

    It runs at the steps before ``disable_cache_before_step`` and then at every ``cache_interval``-th. The series
    has order ``max_order`` at most, with finite differences for derivatives. This is the variant that diffusers
    calls lite, which stores no features of inner layers.

    Example:
        >>> with hasten.accelerate(pipe, "taylorseer(cache_interval=3,max_order=1)"):
        ...     image = pipe("a strawberry").images[0]
    """

    name = "taylorseer"
    title = "TaylorSeer"
    aliases = ("taylor seer", "taylorseers")
    summary = "forecasts the denoiser's output at some steps from those before"
    paper = (
        "Liu et al.: From Reusing to Forecasting. Accelerating Diffusion Models with TaylorSeers. "
        "ICCV 2025, arXiv:2503.06923"
    )
    order = 22
    replaces = ("features",)
    compilable = True
    replay = "always"
    denoisers = ("unet", "transformer")

    def parameters(self, pipe: Any = None, steps: int | None = None) -> tuple[Parameter, ...]:
        most = steps or MAX_STEPS
        return (
            cache_interval("the denoiser", steps),
            Parameter(
                "max_order",
                int,
                low=0,
                high=2,
                default=1,
                neutral=1,
                grid=(1, 2, 0),
                meaning="the highest order of the Taylor series; 0 returns the last output again",
                ordered=False,
            ),
            Parameter(
                "disable_cache_before_step",
                int,
                low=1,
                high=most,
                default=min(3, most),
                neutral=min(3, most),
                grid=tuple(n for n in (6, 4, 3, 2) if n <= most),
                meaning="the number of first steps that all run",
            ),
        )

    def unsupported(self, pipe: Any) -> str | None:
        return not_declared(pipe, self.title)

    def install(self, pipe: Any, parameters: Parameters, patches: Patching) -> None:
        current = patches.listen(self, lambda: _State(parameters))
        patches.wrap(self, patches.denoiser, _forecast(current))

    def steps(
        self, pipe: Any, parameters: Parameters, steps: int, refreshes: Collection[int] = ()
    ) -> tuple[Step, ...]:
        blocks = blocks_of(denoiser_of(pipe))
        forecast = f"order {parameters['max_order']}"
        resting = Step(blocks=dict.fromkeys(blocks, 0.0), resting=frozenset(blocks), variant=forecast)
        return tuple(
            Step() if number in {0, *refreshes} or _runs(parameters, number) else resting
            for number in range(steps)
        )


def _runs(parameters: Parameters, step: int) -> bool:
    """Returns whether the denoiser runs at the step. As diffusers counts, the first step that may rest does
    rest."""
    before = int(parameters["disable_cache_before_step"])
    return step < before or (step - before - 1) % int(parameters["cache_interval"]) == 0


class _Outputs(NamedTuple):
    """The last computed output, its step, and its series: the noise and its derivatives by steps, each (batch,
    channels, height, width) or (batch, tokens, channels)."""

    output: Any
    step: int
    series: tuple[Any, ...]

    def noise_at(self, step: int) -> Any:
        """Returns the value of the series at a later step."""
        import torch

        found = torch.zeros_like(self.series[0])
        for order, factor in enumerate(self.series):
            found = found + factor * ((step - self.step) ** order / factorial(order))
        return found


class _State(State):
    """The output that was computed last."""

    def __init__(self, parameters: Parameters) -> None:
        self._parameters, self._most = parameters, int(parameters["max_order"])
        self._computed: _Outputs | None = None
        self.number = 0

    def start(self) -> None:
        self._computed = None

    def step(self, number: int) -> None:
        self.number = number

    def computed(self) -> _Outputs | None:
        """Returns the outputs to forecast this step from, or None where the denoiser has to run."""
        return None if _runs(self._parameters, self.number) else self._computed

    def keep(self, output: Any) -> None:
        """Stores an output of the denoiser and updates the series."""
        last, series = self._computed, [output[0]]
        if last is not None:
            for before in last.series[: self._most]:
                series.append((series[-1] - before) / (self.number - last.step))
        self._computed = _Outputs(output, self.number, tuple(series))


def _forecast(current: Current[_State]) -> Wrapper:
    from hasten.methods._guidance import with_noise

    def wrapper(call_next: Callable[..., Any], module: Any, *args: Any, **kwargs: Any) -> Any:
        state = current()
        computed = state.computed()
        if computed is not None:
            state.did_forecast = True
            return with_noise(computed.output, computed.noise_at(state.number))
        output = call_next(*args, **kwargs)
        state.keep(output)
        return output

    return wrapper


METHOD = TaylorSeer()
