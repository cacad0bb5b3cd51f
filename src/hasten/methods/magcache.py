"""MagCache: the size of what the blocks add changes evenly, which tells for how long it can be added again."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from hasten.denoisers import Stream, denoiser_of, no_stack, sample_of, stacked
from hasten.methods.base import MAX_STEPS, USUAL_STEPS, Method, Parameter, Patching, State, Step, at_shares
from hasten.plan import Parameters

if TYPE_CHECKING:
    from hasten.methods._patch import Current, Wrapper

SHARES = (0.4, 0.3, 0.2, 0.1)
"""Shares of the number of steps at which a search lets the blocks begin to rest."""
SHRINKS = 0.02
"""A guess for the cost model: the relative decrease of the blocks' addition from one step to the next."""


class MagCache(Method):
    """Lets all blocks rest and adds again what they added last, while the error of this is at most ``threshold``.

    They rest for up to ``max_skip_steps`` steps in a row, from ``first_step`` on. For each of these steps, the
    ratio of the true addition to the reused one is estimated; the error is the sum of the ratios' distances from
    1.

    The paper measures beforehand, for each model, how that ratio changes from step to step. Here it is taken from
    the last two steps of the same run at which the blocks ran, so that no calibration is needed and equal calls
    draw equal images. The largest error of the batch's rows decides.

    Example:
        >>> with hasten.accelerate(pipe, "magcache(threshold=0.06,max_skip_steps=3)"):
        ...     image = pipe("a strawberry").images[0]
    """

    name = "magcache"
    title = "MagCache"
    aliases = ("mag cache", "magnitude cache", "magnitude-aware cache", "幅值缓存")
    summary = "reuses what all transformer blocks add while its size hardly changes"
    paper = "Ma et al.: MagCache: Fast Video Generation with Magnitude-Aware Cache. NeurIPS 2025, arXiv:2506.09045"
    order = 21
    replaces = ("features",)
    denoisers = ("transformer",)
    adaptive = True
    log_speedup_sd = 0.3
    by_default = False

    def parameters(self, pipe: Any = None, steps: int | None = None) -> tuple[Parameter, ...]:
        first = at_shares(SHARES, steps or USUAL_STEPS, least=2)
        return (
            Parameter(
                "threshold",
                float,
                low=0.0,
                high=1.0,
                default=0.06,
                neutral=0.0,
                grid=(0.02, 0.04, 0.06, 0.09, 0.12, 0.18, 0.24),
                meaning="the largest error at which the blocks rest; 0 means never",
            ),
            Parameter(
                "max_skip_steps",
                int,
                low=1,
                high=MAX_STEPS,
                default=3,
                neutral=3,
                grid=(1, 2, 3, 5),
                meaning="the most steps in a row at which the blocks rest",
            ),
            Parameter(
                "first_step",
                int,
                low=2,
                high=max(2, steps or MAX_STEPS),
                default=max(2, round(0.2 * (steps or USUAL_STEPS))),
                neutral=2,
                grid=first,
                meaning="the first step at which the blocks may rest",
            ),
        )

    def unsupported(self, pipe: Any) -> str | None:
        return no_stack(pipe, self.title)

    def install(self, pipe: Any, parameters: Parameters, patches: Patching) -> None:
        from hasten.methods._stack import wrap_stacks

        current = patches.listen(self, lambda: _State(parameters))
        wrap_stacks(patches, self, current, lambda gives: _enter(current, gives))

    def steps(
        self, pipe: Any, parameters: Parameters, steps: int, refreshes: Collection[int] = ()
    ) -> tuple[Step, ...]:
        """Returns a guess, because it is known only after a run which steps rest."""
        blocks = [name for name, _ in stacked(denoiser_of(pipe))]
        resting = Step(blocks=dict.fromkeys(blocks, 0.0), resting=frozenset(blocks))
        first, row = int(parameters["first_step"]), _guessed_row(parameters)
        after = {number + 1 for number in refreshes}  # the blocks must run twice to show how the ratio changes
        return tuple(
            Step() if n in {*refreshes, *after} or n < first or (n - first) % (row + 1) == row else resting
            for n in range(steps)
        )


def _guessed_row(parameters: Parameters) -> int:
    """Returns how many steps in a row would rest if the additions shrank as guessed."""
    ratio, error, row = 1.0, 0.0, 0
    while row < int(parameters["max_skip_steps"]):
        ratio *= 1 - SHRINKS
        error += 1 - ratio
        if error > float(parameters["threshold"]):
            break
        row += 1
    return row


class _Kept:
    """What the blocks added when they ran last, (batch, tokens, channels), and at which step.

    It also has the ratio of that addition to the one a step before, for each row of the batch; None where the
    blocks had not run before.
    """

    def __init__(self, added: Any, step: int, before: _Kept | None) -> None:
        self.added, self._step, self.rested = added, step, 0
        self._by_step = _ratios(added, before.added, step - before._step) if before is not None else None
        self._ratios = [1.0] * added.shape[0]
        self._errors = [0.0] * added.shape[0]

    def errors(self) -> list[float] | None:
        """Returns the errors of adding it again for one more step, by row, or None where they cannot be
        estimated."""
        if self._by_step is None:
            return None
        self.rested += 1
        self._ratios = [a * b for a, b in zip(self._ratios, self._by_step, strict=True)]
        self._errors = [error + abs(1 - ratio) for error, ratio in zip(self._errors, self._ratios, strict=True)]
        return self._errors


def _ratios(now: Any, before: Any, steps: int) -> list[float]:
    """Returns the mean ratio of the tokens' lengths for each row of the batch, as the ratio for one of ``steps``
    steps."""
    ratios = now.float().norm(dim=-1) / before.float().norm(dim=-1)
    found: list[float] = (ratios.mean(dim=-1) ** (1 / steps)).tolist()
    return found


class _State(State):
    """The stored addition of the blocks.

    ``resting``: the blocks rest at this step. They never do where the call itself leaves out blocks, which may
    include the first or the last.
    """

    def __init__(self, parameters: Parameters) -> None:
        self.resting = False
        self._threshold, self._most = float(parameters["threshold"]), int(parameters["max_skip_steps"])
        self._first, self._number = int(parameters["first_step"]), 0
        self._kept: _Kept | None = None
        self._whole = True
        self._image: Any = None

    def start(self) -> None:
        self._kept = self._image = None

    def step(self, number: int) -> None:
        self._number = number

    def begin(self, whole: bool) -> None:
        """Decides whether the blocks rest in this call of the denoiser. ``whole`` tells whether it runs all of its
        blocks."""
        kept, self._whole, self._image = self._kept, whole, None
        may = whole and self._threshold > 0 and self._number >= self._first
        errors = kept.errors() if may and kept is not None else None
        self.resting = errors is not None and kept is not None and self._are_small(errors, kept.rested)
        self.did_reused = self.resting

    def _are_small(self, errors: list[float], rested: int) -> bool:
        return rested <= self._most and all(error <= self._threshold for error in errors)

    def enter(self, image: Any) -> None:
        """Takes the tokens with which the first block is called."""
        self._image = image

    def reused(self) -> Any:
        """Returns the image's tokens after all blocks, from the stored addition."""
        image, self._image = self._image, None
        return image + self._kept.added  # type: ignore[union-attr]

    def keep(self, after: Any) -> None:
        """Stores what the blocks added, which together turned the first one's input into ``after``."""
        if self._threshold and self._whole:
            self._kept = _Kept(after - self._image, self._number, self._kept)
        self._image = None


def _enter(current: Current[_State], gives: tuple[Stream, ...]) -> Wrapper:
    from hasten.methods._stack import resting

    rest = resting(current, gives)

    def wrapper(call_next: Callable[..., Any], module: Any, *args: Any, **kwargs: Any) -> Any:
        current().enter(sample_of(module, args, kwargs))
        return rest(call_next, module, *args, **kwargs)

    return wrapper


METHOD = MagCache()
