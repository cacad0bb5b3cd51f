"""DeepCache: deep features change slowly from step to step, so most steps can do with the last ones."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from hasten.methods._unet import denoiser_of, no_unet
from hasten.methods.base import Method, Parameter, State, Step
from hasten.plan import Parameters

if TYPE_CHECKING:
    from hasten.methods._patch import Patches, Wrapper

MOST = 1000  # the upper end of ranges that the number of steps would limit, where it is not known
LAYERS = 3  # a branch id counts three layers a block, whatever the UNet has: the method's published numbering


class Skipped(NamedTuple):
    """A module that rests on most steps, and the UNet's block that it belongs to or is."""

    block: str
    module: Any


class DeepCache(Method):
    """Runs the whole UNet every ``cache_interval`` steps; in between only the layers outside the branch."""

    name = "deepcache"
    title = "DeepCache"
    aliases = ("deep cache",)
    summary = "reuses the UNet's deep features for several steps"
    paper = "Ma, Fang, Wang: DeepCache: Accelerating Diffusion Models for Free. CVPR 2024, arXiv:2312.00858"
    order = 20

    def parameters(self, pipe: Any = None, steps: int | None = None) -> tuple[Parameter, ...]:
        most = steps or MOST
        branches = _branches(denoiser_of(pipe)) if pipe is not None else tuple(range(8 * LAYERS))
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
            Parameter(
                "cache_branch_id",
                int,
                low=0,
                high=branches[-1],
                default=0,
                neutral=0,
                grid=tuple(b for b in (3, 2, 1, 0) if b in branches),
                meaning="how deep the skip branch is that always runs: three a block, 0 is the outermost",
                allowed=branches if pipe is not None else None,
            ),
        )

    def unsupported(self, pipe: Any) -> str | None:
        reason = no_unet(pipe, self.title)
        if reason is None and denoiser_of(pipe).mid_block is None:
            return f"the unet of {type(pipe).__name__} has no mid block: {self.title} has no deep features to keep"
        return reason

    def install(self, pipe: Any, parameters: Parameters, patches: Patches) -> None:
        state = _State(int(parameters["cache_interval"]), patches.denoiser)
        for _, module in _skipped(patches.denoiser, int(parameters["cache_branch_id"])):
            patches.wrap(self, module, _reuse(state))
        patches.listen(self, state, pipe)

    def steps(
        self, pipe: Any, parameters: Parameters, steps: int, refreshes: Collection[int] = ()
    ) -> tuple[Step, ...]:
        unet = denoiser_of(pipe)
        branch = int(parameters["cache_branch_id"])
        partial = Step(blocks=_shares(unet, branch), resting=_resting(unet, branch))
        found, phase = [], 0
        for number in range(steps):
            phase = number if number in refreshes else phase
            found.append(partial if (number - phase) % int(parameters["cache_interval"]) else Step())
        return tuple(found)


class _State(State):
    """The outputs of the resting modules, and whether they rest at this step.

    ``copies``: FreeU scales what up blocks receive in place, so that it must not get the stored tensors.
    """

    def __init__(self, interval: int, unet: Any) -> None:
        self.skips = self.copies = False
        self.outputs: dict[Any, Any] = {}
        self._interval, self._unet, self._phase = interval, unet, 0

    def start(self) -> None:
        self.outputs.clear()

    def step(self, number: int) -> None:
        if not self.outputs:
            self._phase = number
        self.skips = (number - self._phase) % self._interval != 0
        self.copies = any(getattr(block, "b1", None) for block in self._unet.up_blocks)


def _reuse(state: _State) -> Wrapper:
    def wrapper(call_next: Callable[..., Any], module: Any, *args: Any, **kwargs: Any) -> Any:
        if not state.skips:
            state.outputs[module] = call_next(*args, **kwargs)
        output = state.outputs[module]
        return _copied(output) if state.copies else output

    return wrapper


def _copied(output: Any) -> Any:
    return tuple(map(_copied, output)) if isinstance(output, tuple) else output.clone()


def _branches(unet: Any) -> tuple[int, ...]:
    """The branch ids that this UNet has: a down block has its resnets and the way down as layers."""
    return tuple(
        LAYERS * number + layer
        for number, block in enumerate(unet.down_blocks)
        for layer in range(min(LAYERS, len(block.resnets) + 1))
    )


def _skipped(unet: Any, branch: int) -> Iterator[Skipped]:
    """What rests when the branch runs alone: all blocks beyond it, and the inner layers of its own block.

    The outputs of the up blocks beyond depend on nothing else, so the branch sees what it would see.
    """
    at, layer = divmod(branch, LAYERS)
    for number, block in enumerate(unet.down_blocks):
        if number > at or (number == at and layer == 0):
            yield Skipped(f"down_blocks.{number}", block)
        elif number == at:
            inner = (*_from(block, "resnets", layer), *_from(block, "attentions", layer))
            down = _from(block, "downsamplers", 0)
            yield from (Skipped(f"down_blocks.{number}", module) for module in (*inner, *down))
    yield Skipped("mid_block", unet.mid_block)
    for number, block in enumerate(unet.up_blocks):
        mirrored = len(unet.up_blocks) - 1 - number
        rest = max(0, len(block.resnets) - 1 - layer)
        if mirrored > at:
            yield Skipped(f"up_blocks.{number}", block)
        elif mirrored == at:
            inner = (*_to(block, "resnets", rest), *_to(block, "attentions", rest))
            yield from (Skipped(f"up_blocks.{number}", module) for module in inner)


def _from(block: Any, kind: str, start: int) -> tuple[Any, ...]:
    return tuple(getattr(block, kind, None) or ())[start:]


def _to(block: Any, kind: str, stop: int) -> tuple[Any, ...]:
    return tuple(getattr(block, kind, None) or ())[:stop]


def _shares(unet: Any, branch: int) -> dict[str, float]:
    """The share of each block's resnets and attentions that runs when the branch runs alone."""
    resting: dict[str, int] = {}
    for block, module in _skipped(unet, branch):
        resting[block] = resting.get(block, 0) + len(_layers(module) or (module,))
    return {name: 1 - count / len(_layers(unet.get_submodule(name))) for name, count in resting.items()}


def _resting(unet: Any, branch: int) -> frozenset[str]:
    """The names of the modules that rest when the branch runs alone."""
    names = {module: name for name, module in unet.named_modules()}
    return frozenset(names[module] for _, module in _skipped(unet, branch))


def _layers(block: Any) -> tuple[Any, ...]:
    kinds = ("resnets", "attentions", "downsamplers", "upsamplers")
    return tuple(layer for kind in kinds for layer in _from(block, kind, 0))


METHOD = DeepCache()
