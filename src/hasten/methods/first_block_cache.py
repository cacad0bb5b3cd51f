"""First-block cache: while the first block's output hardly changes, the other blocks rest and their last output is
reused."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from hasten.denoisers import Stream, denoiser_of, no_stack, sample_of, stacked
from hasten.methods.base import Method, Parameter, Patching, State, Step
from hasten.plan import Parameters

if TYPE_CHECKING:
    from hasten.methods._patch import Current, Wrapper

PER_THRESHOLD = 5.0
"""A guess for the cost model: with a threshold of 0.2 every second step rests, with 0.4 two of three."""


class FirstBlockCache(Method):
    """Runs the first block at each step, and the other blocks only where the first one's output has changed.

    What the first block adds to its input is compared with what it added when all blocks ran last. Where the two
    differ by less than ``threshold``, the other blocks rest, and what they added then is added again. The
    difference is relative, of mean absolute values, and the largest of the batch's rows decides, so that no image
    takes a step that it could not do without. The image decides which steps rest.

    Example:
        >>> with hasten.accelerate(pipe, "first_block_cache(threshold=0.1)") as handle:
        ...     image = pipe("a strawberry").images[0]
        >>> handle.stats["first_block_cache"].reused  # the number of steps at which the blocks rested
    """

    name = "first_block_cache"
    title = "First-block cache"
    aliases = ("first block cache", "fbcache", "fbc", "首块缓存")
    summary = "reuses all transformer blocks but the first while that one hardly changes"
    paper = (
        "Cheng: First Block Cache, github.com/chengzeyi/ParaAttention, 2024; "
        "after Liu et al.: Timestep Embedding Tells (TeaCache). CVPR 2025, arXiv:2411.19108"
    )
    order = 20
    replaces = ("features",)
    denoisers = ("transformer",)
    adaptive = True
    log_speedup_sd = 0.3

    def parameters(self, pipe: Any = None, steps: int | None = None) -> tuple[Parameter, ...]:
        return (
            Parameter(
                "threshold",
                float,
                low=0.0,
                high=1.0,
                default=0.1,
                neutral=0.0,
                grid=(0.04, 0.06, 0.08, 0.1, 0.12, 0.16, 0.2, 0.25, 0.3, 0.4),
                meaning="the change of the first block's addition below which the others rest; 0 means never",
            ),
        )

    def unsupported(self, pipe: Any) -> str | None:
        return no_stack(pipe, self.title)

    def install(self, pipe: Any, parameters: Parameters, patches: Patching) -> None:
        from hasten.methods._stack import wrap_stacks

        threshold = float(parameters["threshold"])
        current = patches.listen(self, lambda: _State(threshold))
        wrap_stacks(patches, self, current, lambda gives: _decide(current, gives))

    def steps(
        self, pipe: Any, parameters: Parameters, steps: int, refreshes: Collection[int] = ()
    ) -> tuple[Step, ...]:
        """Returns a guess, because it is known only after a run which steps rest."""
        others = [name for name, _ in stacked(denoiser_of(pipe))][1:]
        resting = Step(blocks=dict.fromkeys(others, 0.0), resting=frozenset(others))
        period = 1 + PER_THRESHOLD * float(parameters["threshold"])
        whole = {number for number in range(steps) if int(number / period) != int((number - 1) / period)}
        return tuple(Step() if n in {0, *whole, *refreshes} else resting for n in range(steps))


class _Kept:
    """What the first block added and what the other blocks added when all ran last, each (batch, tokens,
    channels)."""

    def __init__(self, first: Any) -> None:
        self.first, self.others = first, None


class _State(State):
    """The stored additions of the blocks.

    ``resting``: all blocks but the first rest at this step. They never do where the call itself leaves out blocks,
    which may include the first or the last.
    """

    def __init__(self, threshold: float) -> None:
        self.resting = False
        self._threshold, self._whole = threshold, True
        self._kept: _Kept | None = None
        self._image: Any = None

    def start(self) -> None:
        self._kept = self._image = None

    def step(self, number: int) -> None:
        self.resting, self._image = False, None

    def begin(self, whole: bool) -> None:
        """Notes whether the call of the denoiser runs all of its blocks."""
        self._whole = whole

    def decide(self, before: Any, after: Any) -> None:
        """Decides whether the other blocks rest, after the first one turned ``before`` into ``after``."""
        if not (self._threshold and self._whole):
            return
        added, kept, self._image = after - before, self._kept, after
        self.resting = kept is not None and kept.others is not None and self._hardly(added, kept.first)
        self.did_reused = self.resting
        if not self.resting:
            self._kept = _Kept(added)

    def _hardly(self, added: Any, before: Any) -> bool:
        from hasten.methods._stack import change

        return change(added, before) < self._threshold

    def reused(self) -> Any:
        """Returns the image's tokens after all blocks, from the stored addition."""
        return self._image + self._kept.others  # type: ignore[union-attr]

    def keep(self, after: Any) -> None:
        """Stores what the other blocks added, which together turned the first one's output into ``after``."""
        if self._image is not None and self._kept is not None:
            self._kept.others = after - self._image
            self._image = None


def _decide(current: Current[_State], gives: tuple[Stream, ...]) -> Wrapper:
    from hasten.methods._stack import image_of

    def wrapper(call_next: Callable[..., Any], module: Any, *args: Any, **kwargs: Any) -> Any:
        output = call_next(*args, **kwargs)
        current().decide(sample_of(module, args, kwargs), image_of(output, gives))
        return output

    return wrapper


METHOD = FirstBlockCache()
