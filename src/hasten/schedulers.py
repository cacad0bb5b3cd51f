"""The diffusion schedulers by their canonical names. Importing this imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hasten.errors import UnknownNameError, simplify


@dataclass(frozen=True)
class Scheduler:
    """A scheduler: diffusers' class and the settings that make it this one."""

    name: str
    class_name: str
    aliases: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)

    def answers_to(self, name: str) -> bool:
        return simplify(name) in {simplify(n) for n in (self.name, self.class_name, *self.aliases)}

    def build(self, config: Any) -> Any:
        """The diffusers scheduler, from the configuration of the pipeline's own."""
        import diffusers

        return getattr(diffusers, self.class_name).from_config(config, **self.settings)


SCHEDULERS = (
    Scheduler("DDIM", "DDIMScheduler", ("ddim scheduler",)),
    Scheduler(
        "DPM-Solver++",
        "DPMSolverMultistepScheduler",
        ("dpmsolver++", "dpm++", "dpmpp", "dpm++ 2m", "dpm solver multistep", "dpmsolver"),
        {"algorithm_type": "dpmsolver++"},
    ),
    Scheduler("UniPC", "UniPCMultistepScheduler", ("unipc multistep", "uni-pc")),
    Scheduler("Euler", "EulerDiscreteScheduler", ("euler discrete",)),
    Scheduler(
        "Euler-a",
        "EulerAncestralDiscreteScheduler",
        ("euler a", "euler ancestral", "euler ancestral discrete"),
    ),
    Scheduler("PNDM", "PNDMScheduler", ("plms",)),
    Scheduler("Heun", "HeunDiscreteScheduler", ("heun discrete",)),
    Scheduler("LCM", "LCMScheduler"),
)


def scheduler_names() -> tuple[str, ...]:
    """The canonical names."""
    return tuple(s.name for s in SCHEDULERS)


def find_scheduler(name: str) -> Scheduler:
    """The scheduler of that name, alias or diffusers class. Raises UnknownNameError."""
    for scheduler in SCHEDULERS:
        if scheduler.answers_to(name):
            return scheduler
    raise UnknownNameError("scheduler", name, scheduler_names())
