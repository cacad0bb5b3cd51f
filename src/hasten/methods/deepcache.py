"""DeepCache: deep features change slowly from step to step, so most steps can do with the last ones."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from hasten.methods._branch import branch_parameter, copied, no_branch, partial_step, scales_in_place, skipped
from hasten.methods.base import MOST, Method, Parameter, State, Step
from hasten.plan import Parameters

if TYPE_CHECKING:
    from hasten.methods._patch import Current, Patches, Wrapper


class DeepCache(Method):
    """Runs the whole UNet every ``cache_interval`` steps; in between only the layers outside the branch."""

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
        most = steps or MOST
        return (
            Parameter(
                "cache_interval",
                int,
                low=1,
                high=most,
                default=min(3, most),
                neutral=1,
                grid=tuple(n for n in (2, 3, 4, 5) if n <= most),
                meaning="the whole UNet runs at every so many steps; 1 is always",
            ),
            branch_parameter("cache_branch_id", pipe),
        )

    def unsupported(self, pipe: Any) -> str | None:
        return no_branch(pipe, self.title)

    def install(self, pipe: Any, parameters: Parameters, patches: Patches) -> None:
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
        # Not by the outputs: beside a CUDA graph that is replayed, no wrapper of the modules stores any.
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
