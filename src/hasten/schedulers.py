"""The diffusion schedulers by their canonical names. Importing this module imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hasten.errors import UnknownNameError, simplify


@dataclass(frozen=True)
class Scheduler:
    """A scheduler: a class of diffusers, and the settings that distinguish it.

    ``variant``: the class's name alone means another scheduler. ``flow_matching``: the scheduler follows the path
    of a model that was trained by flow matching; the others undo the noise of a diffusion. ``tried``: searches try
    it in the place of a pipeline's own. These are of second order with one call of the denoiser a step. Those that
    draw noise at each step change every image much, and DDIM and Euler are the same method of first order.
    """

    name: str
    class_name: str
    aliases: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    variant: bool = False
    flow_matching: bool = False
    tried: bool = False

    @property
    def identifier(self) -> str:
        """The name in files: the class of diffusers, or the canonical name where the class means another one."""
        return self.name if self.variant else self.class_name

    @property
    def spellings(self) -> tuple[str, ...]:
        """All names of the scheduler."""
        return (self.name, self.identifier, *self.aliases)

    def answers_to(self, name: str) -> bool:
        return simplify(name) in {simplify(n) for n in self.spellings}

    def is_that_of(self, scheduler: Any) -> bool:
        """Returns whether a diffusers scheduler is this one, by its class and its settings."""
        return self.describes(type(scheduler).__name__, scheduler.config)

    def describes(self, class_name: str, config: Mapping[str, Any]) -> bool:
        """Returns whether a class with such a configuration is this scheduler. Missing settings count as equal."""
        set_alike = all(config.get(name, value) == value for name, value in self.settings.items())
        return class_name == self.class_name and set_alike

    def build(self, config: Any) -> Any:
        """Returns the diffusers scheduler, made from the configuration of the pipeline's own scheduler."""
        import diffusers

        return getattr(diffusers, self.class_name).from_config(config, **self.settings)


SCHEDULERS = (
    Scheduler("DDIM", "DDIMScheduler", ("ddim scheduler",)),
    Scheduler(
        "DPM-Solver++",
        "DPMSolverMultistepScheduler",
        ("dpmsolver++", "dpm++", "dpmpp", "dpm++ 2m", "dpm solver multistep", "dpmsolver"),
        {"algorithm_type": "dpmsolver++", "use_karras_sigmas": False},
        tried=True,
    ),
    Scheduler(
        "DPM-Solver++-SDE",
        "DPMSolverMultistepScheduler",
        ("dpm++ 2m sde", "dpmsolver++ sde", "sde dpmsolver++"),
        {"algorithm_type": "sde-dpmsolver++", "use_karras_sigmas": False},
        variant=True,
    ),
    Scheduler(
        "DPM-Solver++-Karras",
        "DPMSolverMultistepScheduler",
        ("dpm++ 2m karras", "dpm++ karras", "dpmsolver++ karras"),
        {"algorithm_type": "dpmsolver++", "use_karras_sigmas": True},
        variant=True,
    ),
    Scheduler(
        "DPM-Solver++-SDE-Karras",
        "DPMSolverMultistepScheduler",
        ("dpm++ 2m sde karras", "dpmsolver++ sde karras"),
        {"algorithm_type": "sde-dpmsolver++", "use_karras_sigmas": True},
        variant=True,
    ),
    Scheduler("UniPC", "UniPCMultistepScheduler", ("unipc multistep", "uni-pc"), tried=True),
    Scheduler("Euler", "EulerDiscreteScheduler", ("euler discrete",)),
    Scheduler(
        "Euler-a",
        "EulerAncestralDiscreteScheduler",
        ("euler a", "euler ancestral", "euler ancestral discrete"),
    ),
    Scheduler("PNDM", "PNDMScheduler", ("plms",)),
    Scheduler("Heun", "HeunDiscreteScheduler", ("heun discrete",)),
    Scheduler("LCM", "LCMScheduler"),
    Scheduler(
        "FlowMatchEuler",
        "FlowMatchEulerDiscreteScheduler",
        ("flow match euler", "flow matching euler", "flow match euler discrete"),
        flow_matching=True,
    ),
    Scheduler(
        "FlowMatchHeun",
        "FlowMatchHeunDiscreteScheduler",
        ("flow match heun", "flow matching heun", "flow match heun discrete"),
        flow_matching=True,
    ),
)


def scheduler_names() -> tuple[str, ...]:
    """Returns the canonical names."""
    return tuple(s.name for s in SCHEDULERS)


def find_scheduler(name: str) -> Scheduler:
    """Returns the scheduler of that name, alias or diffusers class. Raises UnknownNameError."""
    for scheduler in SCHEDULERS:
        if scheduler.answers_to(name):
            return scheduler
    raise UnknownNameError("scheduler", name, scheduler_names())


def scheduler_of(class_name: str, config: Mapping[str, Any]) -> Scheduler | None:
    """Returns the scheduler of a diffusers class with such a configuration, or None where hasten has none."""
    return next((s for s in SCHEDULERS if s.describes(class_name, config)), None)


def step_numbers(scheduler: Any) -> list[int]:
    """Returns the step that each of ``scheduler.timesteps`` belongs to, counted from 0."""
    count, order = len(scheduler.timesteps), getattr(scheduler, "order", 1)
    extra = count - (getattr(scheduler, "num_inference_steps", None) or count) * order
    if extra <= 0:
        return [place // order for place in range(count)]
    # Only PNDM has more timesteps than steps. It begins with one step of two calls, or with three Runge-Kutta
    # steps of four calls. After that each call is a step.
    return [max(place - extra, place // 4) for place in range(count)]
