"""Another solver: calls of the same pipeline follow another scheduler of the same training."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hasten.denoisers import no_denoiser
from hasten.methods._own_steps import refuse_own_steps
from hasten.methods.base import Method, Parameter, Patching
from hasten.plan import Parameters
from hasten.schedulers import SCHEDULERS, Scheduler, scheduler_of

if TYPE_CHECKING:
    from hasten.methods._patch import Wrapper

DIFFUSION = tuple(s for s in SCHEDULERS if not s.flow_matching)
"""The schedulers that undo the noise of a diffusion. Each goes with any model that was trained for one of them."""
BY_WORD = {f"to_{s.name.lower().replace('+', 'p').replace('-', '_')}": s for s in DIFFUSION}
"""The schedulers by the names that plans give them. In sentences these are no names of schedulers."""
DEFAULT = "to_dpm_solverpp"


class Solver(Method):
    """Makes calls of the pipeline follow another scheduler, built from the configuration of its own.

    Betas, prediction type and spacing of timesteps are those of the pipeline's own scheduler. A solver of higher
    order needs fewer steps for the same image, so that the method is meant to be used beside ``fewer_steps``.
    Alone it leaves out no work. Only while a call is under way does the pipeline have the other scheduler.

    Example:
        >>> with hasten.accelerate(pipe, "fewer_steps(reduced_steps=10)+solver(swap=to_unipc)"):
        ...     image = pipe("a strawberry", num_inference_steps=25).images[0]
    """

    name = "solver"
    title = "Another solver"
    aliases = ("other solver", "solver swap", "scheduler swap", "换求解器", "更换求解器")
    summary = "follows another scheduler of the same training, which needs fewer steps"
    paper = "Lu et al.: DPM-Solver++. 2022, arXiv:2211.01095; Zhao et al.: UniPC. NeurIPS 2023, arXiv:2302.04867"
    order = 101
    compilable = True
    replay = "always"
    denoisers = ("unet", "transformer")
    by_default = False
    plain = True
    cuts_work = False
    follows_calls = True

    def parameters(self, pipe: Any = None, steps: int | None = None) -> tuple[Parameter, ...]:
        own = own_scheduler(pipe)
        tried = tuple(word for word, s in BY_WORD.items() if s.tried and s != own)
        return (
            Parameter(
                "swap",
                str,
                0,
                0,
                default=DEFAULT if DEFAULT in tried else tried[0],
                neutral=next((word for word, s in BY_WORD.items() if s == own), None),
                grid=tried,
                meaning="the scheduler in the place of the pipeline's own, whose name leaves it as it is",
                allowed=tuple(BY_WORD),
                ordered=False,
            ),
        )

    def unsupported(self, pipe: Any) -> str | None:
        if reason := no_denoiser(pipe, self.title):
            return reason
        kind, flow = type(pipe.scheduler).__name__, f"the {type(pipe).__name__} was trained by flow matching"
        if "FlowMatch" in kind:
            return f"{flow}, and its schedulers are all of first order"
        config = pipe.scheduler.config
        if config.get("prediction_type") == "flow_prediction":
            return f"{flow}, and its schedulers are all of first order"
        if "num_train_timesteps" not in config:
            return f"the configuration of a {kind} does not tell what the model was trained for"
        return None

    def install(self, pipe: Any, parameters: Parameters, patches: Patching) -> None:
        other = BY_WORD[str(parameters["swap"])]
        if not other.is_that_of(pipe.scheduler):
            _built(other, pipe.scheduler)  # raises now what the first call would raise
            patches.wrap_calls(self, pipe, _following(inspect.signature(type(pipe).__call__), other))

    def scheduler(self, parameters: Parameters) -> str:
        return BY_WORD[str(parameters["swap"])].name


def own_scheduler(pipe: Any) -> Scheduler | None:
    """Returns the scheduler of the pipeline by its name, or None where there is no pipeline or no such name."""
    own = getattr(pipe, "scheduler", None)
    return None if own is None else scheduler_of(type(own).__name__, own.config)


def _built(other: Scheduler, own: Any) -> Any:
    """Returns the other scheduler, with every setting of the pipeline's own that it has as well.

    diffusers alone would leave out those that are the defaults of the one class, and may be others in the next.
    """
    return other.build({name: value for name, value in own.config.items() if name != "_use_default_values"})


def _following(signature: inspect.Signature, other: Scheduler) -> Wrapper:
    """Returns a wrapper of the pipeline's calls that gives it the other scheduler while a call is under way.

    The scheduler is built once for each one that the pipeline has of its own, so that it may be exchanged between
    calls.
    """
    built: list[tuple[Any, Any]] = []

    def wrapper(call_next: Callable[..., Any], pipe: Any, *args: Any, **kwargs: Any) -> Any:
        refuse_own_steps(METHOD.title, signature.bind(pipe, *args, **kwargs).arguments)
        own = pipe.scheduler
        if not built or built[0][0] is not own:
            built[:] = [(own, _built(other, own))]
        # The pipeline's own way of setting a component would enter the class into what it saves.
        vars(pipe)["scheduler"] = built[0][1]
        try:
            return call_next(*args, **kwargs)
        finally:
            vars(pipe)["scheduler"] = own

    return wrapper


METHOD = Solver()
