"""Guidance cutoff: guidance decides early what is drawn, so that the last steps can do without its unconditional
half."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from hasten.denoisers import no_guided_batch, sample_of
from hasten.methods.base import MAX_STEPS, Method, Parameter, Patching, State, Step, at_shares
from hasten.plan import Parameters

if TYPE_CHECKING:
    from hasten.methods._patch import Current, Wrapper

SHARES = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2)
"""Shares of the number of steps at which a search cuts guidance off."""


class GuidanceCutoff(Method):
    """Runs both halves of guidance before ``cutoff_step``, and from that step on the conditional half alone,
    unguided.

    Example:
        >>> with hasten.accelerate(pipe, "guidance_cutoff(cutoff_step=15)"):
        ...     image = pipe("a strawberry", num_inference_steps=25).images[0]
    """

    name = "guidance_cutoff"
    title = "Guidance cutoff"
    aliases = ("cfg cutoff", "cutoff of guidance", "引导截断", "提前停止引导")
    summary = "stops guidance after a step, so that half of the batch is left"
    paper = (
        "Kynkäänniemi et al.: Applying Guidance in a Limited Interval Improves Sample and Distribution Quality in "
        "Diffusion Models. NeurIPS 2024, arXiv:2404.07724"
    )
    order = 28
    replaces = ("guidance",)
    compilable = True
    replay = "always"
    denoisers = ("unet", "transformer")

    def parameters(self, pipe: Any = None, steps: int | None = None) -> tuple[Parameter, ...]:
        most = steps or MAX_STEPS
        cutoffs = at_shares(SHARES, most)
        return (
            Parameter(
                "cutoff_step",
                int,
                low=1,
                high=most,
                default=10 if most > 10 else max(1, most // 2),
                neutral=most,
                grid=tuple(step for step in cutoffs if step < most),
                meaning="the first step without guidance; the number of steps means never",
            ),
        )

    def unsupported(self, pipe: Any) -> str | None:
        return no_guided_batch(pipe, self.title)

    def install(self, pipe: Any, parameters: Parameters, patches: Patching) -> None:
        current = patches.listen(self, lambda: _State(int(parameters["cutoff_step"])))
        patches.wrap(self, patches.denoiser, _cut(current))

    def steps(
        self, pipe: Any, parameters: Parameters, steps: int, refreshes: Collection[int] = ()
    ) -> tuple[Step, ...]:
        return tuple(Step(guidance=number < int(parameters["cutoff_step"])) for number in range(steps))

    def refreshes(self, parameters: Parameters, steps: int) -> tuple[int, ...]:
        cutoff = int(parameters["cutoff_step"])
        return (cutoff,) if cutoff < steps else ()


class _State(State):
    """Whether guidance has ended, and whether the batch is a guided one at all."""

    def __init__(self, cutoff: int) -> None:
        self._cutoff = cutoff
        self._ended = False
        self._is_guided: bool | None = None

    def start(self) -> None:
        self._is_guided = None

    def step(self, number: int) -> None:
        self._ended = number >= self._cutoff
        if number == self._cutoff:
            self.lane.refresh(by=self)

    def halves(self, sample: Any) -> bool:
        """Returns whether only one half of this sample (batch, channels, height, width) is computed.

        It asks whether the batch is guided only when guidance ends, when equal seeds no longer look guided.
        """
        if self._ended and self._is_guided is None:
            from hasten.methods._guidance import is_guided

            self._is_guided = is_guided(sample)
        return self._ended and bool(self._is_guided)


def _cut(current: Current[_State]) -> Wrapper:
    from hasten.methods._guidance import CONDITIONAL, doubled, run_half

    def wrapper(call_next: Callable[..., Any], module: Any, *args: Any, **kwargs: Any) -> Any:
        state, sample = current(), sample_of(module, args, kwargs)
        if not state.halves(sample):
            return call_next(*args, **kwargs)
        state.did_guidance_dropped = True
        return doubled(run_half(call_next, args, kwargs, sample.shape[0], CONDITIONAL))

    return wrapper


METHOD = GuidanceCutoff()
