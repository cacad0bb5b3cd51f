"""DeepCache: deep features change slowly from step to step, so that most steps can reuse the last ones."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from hasten.methods._branch import branch_parameter, copied, no_branch, partial_step, scales_in_place, skipped
from hasten.methods._parameter import cache_interval
from hasten.methods.base import Method, Parameter, Patching, State, Step
from hasten.plan import Parameters

if TYPE_CHECKING:
    from hasten.methods._patch import Current, Wrapper


class DeepCache(Method):
    """Runs the whole UNet at every ``cache_interval``-th step, and in between only the layers outside the skip
    branch.

    The other layers return the outputs that they had at the last full step.

    Example:
        >>> with hasten.accelerate(pipe, "deepcache(cache_interval=3,cache_branch_id=0)"):
        ...     image = pipe("a strawberry").images[0]
    """

    name = "deepcache"
    title = "DeepCache"
    aliases = ("deep cache",)
    summary = "reuses the UNet's deep features for several steps"
    paper = "Ma, Fang, Wang: DeepCache: Accelerating Diffusion Models for Free. CVPR 2024, arXiv:2312.00858"
    order = 20
    replaces = ("features",)
    compilable = True
    replay = "by_call"

    def parameters(self, pipe: Any = None, steps: int | None = None) -> tuple[Parameter, ...]:
        return (
            cache_interval("the whole UNet", steps),
            branch_parameter("cache_branch_id", pipe),
        )

    def unsupported(self, pipe: Any) -> str | None:
        return no_branch(pipe, self.title)

    def install(self, pipe: Any, parameters: Parameters, patches: Patching) -> None:
        interval, branch = int(parameters["cache_interval"]), int(parameters["cache_branch_id"])
        current = patches.listen(self, lambda: _State(interval, patches.denoiser))
        for _, module in skipped(patches.denoiser, branch) if interval > 1 else ():
            patches.wrap(self, module, _reuse(current))

    def steps(
        self, pipe: Any, parameters: Parameters, steps: int, refreshes: Collection[int] = ()
    ) -> tuple[Step, ...]:
        partial = partial_step(pipe, int(parameters["cache_branch_id"]))
        found, phase = [], 0
        for number in range(steps):
            phase = number if number in refreshes else phase
            found.append(partial if (number - phase) % int(parameters["cache_interval"]) else Step())
        return tuple(found)


class _State(State):
    """The outputs of the resting modules, and whether they rest at this step."""

    def __init__(self, interval: int, unet: Any) -> None:
        self.skips = self.copies = False
        self.outputs: dict[Any, Any] = {}
        self._interval, self._unet, self._phase = interval, unet, 0
        self._counted_from: int | None = None

    def start(self) -> None:
        self.outputs.clear()
        self._counted_from = None

    def step(self, number: int) -> None:
        if not self.outputs:
            self._phase = number
        self.skips = (number - self._phase) % self._interval != 0
        self.copies = scales_in_place(self._unet)
        # The outputs cannot tell this: while a CUDA graph is replayed, no wrapper stores any.
        self._counted_from = number if self._counted_from is None else self._counted_from
        self.did_reused = (number - self._counted_from) % self._interval != 0


def _reuse(current: Current[_State]) -> Wrapper:
    def wrapper(call_next: Callable[..., Any], module: Any, *args: Any, **kwargs: Any) -> Any:
        state = current()
        if not state.skips:
            state.outputs[module] = call_next(*args, **kwargs)
        output = state.outputs[module]
        return copied(output) if state.copies else output

    return wrapper


METHOD = DeepCache()
