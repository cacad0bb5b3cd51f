"""Fewer steps: calls the same pipeline with a smaller number of steps than asked for."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from hasten.denoisers import no_denoiser
from hasten.methods._own_steps import refuse_own_steps
from hasten.methods.base import MAX_STEPS, Method, Parameter, Patching, Step, at_shares
from hasten.plan import Parameters

if TYPE_CHECKING:
    from hasten.methods._patch import Wrapper

SHARES = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2)
"""Shares of the number of steps that a search tries."""
DEFAULT_STEPS = 12
"""The default where the number of steps is not known: half of the usual 25."""
ASKED = "num_inference_steps"


class FewerSteps(Method):
    """Makes calls of the pipeline take ``reduced_steps`` steps where they ask for more.

    The scheduler spreads them over the whole range of noise. Alone, the method is the equal-time baseline that
    every other method is compared with.

    Example:
        >>> with hasten.accelerate(pipe, "fewer_steps(reduced_steps=12)"):
        ...     image = pipe("a strawberry", num_inference_steps=25).images[0]
    """

    name = "fewer_steps"
    title = "Fewer steps"
    aliases = ("step reduction", "fewer sampling steps", "更少的步数", "更少步数", "减少步数")
    summary = "takes fewer steps; alone it is the baseline that other methods are held against"
    paper = "Song et al.: Denoising Diffusion Implicit Models. ICLR 2021, arXiv:2010.02502 (section 4.2)"
    order = 100
    compilable = True
    replay = "always"
    denoisers = ("unet", "transformer")
    by_default = False
    plain = True
    shortens = True
    follows_calls = True

    def parameters(self, pipe: Any = None, steps: int | None = None) -> tuple[Parameter, ...]:
        most = steps or MAX_STEPS
        numbers = at_shares(SHARES, most)
        return (
            Parameter(
                "reduced_steps",
                int,
                low=1,
                high=most,
                default=max(1, steps // 2) if steps else DEFAULT_STEPS,
                neutral=most,
                grid=tuple(number for number in numbers if number < most),
                meaning="the number of steps that are taken; the full number leaves out none",
            ),
        )

    def unsupported(self, pipe: Any) -> str | None:
        if reason := no_denoiser(pipe, self.title):
            return reason
        if callable(pipe) and ASKED not in inspect.signature(type(pipe).__call__).parameters:
            return f"a {type(pipe).__name__} is not called with {ASKED}"
        return None

    def install(self, pipe: Any, parameters: Parameters, patches: Patching) -> None:
        most, leave_out = int(parameters["reduced_steps"]), patches.counts_left_out(self)
        patches.wrap_calls(self, pipe, _called_with(inspect.signature(type(pipe).__call__), most, leave_out))

    def steps(
        self, pipe: Any, parameters: Parameters, steps: int, refreshes: Collection[int] = ()
    ) -> tuple[Step, ...]:
        return (Step(),) * self.remaining_steps(parameters, steps)

    def remaining_steps(self, parameters: Parameters, steps: int) -> int:
        return min(int(parameters["reduced_steps"]), steps)


def _called_with(signature: inspect.Signature, most: int, leave_out: Callable[[int], None]) -> Wrapper:
    """Returns a wrapper of the pipeline's calls that takes at most ``most`` steps.

    Each call passes to ``leave_out`` the number of steps that it takes less than asked for.
    """

    def wrapper(call_next: Callable[..., Any], pipe: Any, *args: Any, **kwargs: Any) -> Any:
        given = signature.bind(pipe, *args, **kwargs)
        refuse_own_steps(METHOD.title, given.arguments)
        asked = given.arguments.get(ASKED, signature.parameters[ASKED].default)
        given.arguments[ASKED] = min(asked, most)
        leave_out(asked - given.arguments[ASKED])
        return call_next(*given.args[1:], **given.kwargs)

    return wrapper


METHOD = FewerSteps()
