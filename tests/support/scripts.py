"""The scripts of made-up answers: those recorded, one for each branch of a skeleton, and all the others."""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

from tests.support.examples import ENVIRONMENT, PARAMETERS, answer_of, model_of, setting_of

from hasten.language.render import render
from hasten.models import find_model
from hasten.plan import Plan
from hasten.script.claim import Runtime
from hasten.script.write import render_script

TRANSFORMERS = {"hasten": {"tgate", "tome"}, "upstream": {"tgate"}}
"""By runtime, the methods that can be used on PixArt."""
SETTINGS = {
    "SD1.5": ("DDIM", 50),
    "SDXL": ("DPM-Solver++", 20),
    "PixArt-alpha": ("DPM-Solver++", 20),
    "PixArt-sigma": ("DPM-Solver++", 20),
    "SD3": ("FlowMatchEuler", 28),
    "SD3.5-medium": ("FlowMatchHeun", 40),
    "FLUX.1-dev": ("FlowMatchEuler", 50),
    "FLUX.1-schnell": ("FlowMatchEuler", 4),
    "emoji-sd": ("UniPC", 25),
    "emoji-sdxl": ("DDIM", 25),
    "emoji-pixart": ("DDIM", 25),
    "emoji-sd3": ("FlowMatchEuler", 25),
}
PLANS = {**PARAMETERS, "fewer_steps": {"reduced_steps": 20}, "solver": {"swap": "to_unipc"}}


class Case(NamedTuple):
    """A script: its model, runtime and methods, how many images it draws at once, and what threads it sets."""

    model: str
    runtime: Runtime
    methods: tuple[str, ...] = ()
    batch_size: int = 1
    threads: int = 0

    @property
    def file(self) -> str:
        batch = f"_batch{self.batch_size}" if self.batch_size > 1 else ""
        threads = f"_threads{self.threads}" if self.threads else ""
        return f"{self.model}_{self.runtime}_{'-'.join(self.methods) or 'plain'}{batch}{threads}.py"

    @property
    def environment(self) -> dict[str, str]:
        """That of the measurement: torch's own number of threads is that of ``ENVIRONMENT``."""
        own = ENVIRONMENT["threads"]
        return {**ENVIRONMENT, "threads": str(self.threads), "torch_threads": own} if self.threads else ENVIRONMENT


RECORDED = (
    Case("SD1.5", "hasten"),
    Case("SD1.5", "hasten", ("deepcache", "tgate", "tome")),
    Case("SD1.5", "hasten", ("deepcache",), 2),
    Case("SD1.5", "upstream", ("deepcache",)),
    Case("SD1.5", "upstream", ("deepcache", "fewer_steps")),
    Case("SD1.5", "upstream", ("fewer_steps", "solver")),
    Case("SD1.5", "upstream", ("deepcache", "tgate")),
    Case("SD1.5", "upstream", ("tgate",)),
    Case("SD1.5", "upstream", ("tgate", "tome")),
    Case("SD1.5", "upstream", ("tome",)),
    Case("SDXL", "hasten"),
    Case("SDXL", "upstream", ("deepcache", "tgate")),
    Case("SDXL", "upstream", ("tgate",)),
    Case("PixArt-alpha", "upstream", ("tgate",)),
    Case("PixArt-sigma", "hasten"),
    Case("PixArt-sigma", "hasten", ("tgate", "tome")),
    Case("PixArt-sigma", "upstream", ("tgate",)),
    Case("SD3", "hasten"),
    Case("FLUX.1-dev", "hasten"),
    Case("FLUX.1-schnell", "hasten"),
    Case("emoji-sd", "hasten", ("deepcache",)),
    Case("emoji-sd", "hasten", ("deepcache",), threads=1),
    Case("emoji-sd3", "hasten"),
)
"""One for each branch of a skeleton, and for each loader and family."""


def _can(model: str, runtime: str, methods: tuple[str, ...]) -> bool:
    if SETTINGS[model][0].startswith("FlowMatch"):  # none of these methods knows its transformer
        return not methods
    return "PixArt" not in _pipeline(model) or TRANSFORMERS[runtime] >= set(methods)


def _pipeline(model: str) -> str:
    return find_model(model)[0].pipeline


CASES = tuple(
    Case(model, runtime, methods)
    for model in SETTINGS
    for runtime in ("hasten", "upstream")
    for n in range(4)
    for methods in combinations(PARAMETERS, n)
    if (methods or runtime == "hasten") and _can(model, runtime, methods)
)
"""Every model with every set of the methods that both runtimes have."""


def rendered(case: Case) -> str:
    """The source of the script."""
    scheduler, steps = SETTINGS[case.model]
    answer = answer_of(_plan(case), case.model, scheduler, steps)
    request = render(answer.task)
    return render_script(
        answer,
        setting_of(model_of(case.model), scheduler, steps, batch_size=case.batch_size),
        model_of(case.model),
        runtime=case.runtime,
        command=f'hasten run "{request}" --runtime {case.runtime}',
        environment=case.environment,
        request=request,
        allow_known_wrong={"tgate", "tome"} <= set(case.methods),
    )


def _plan(case: Case) -> Plan:
    plan = {name: PLANS[name] for name in case.methods}
    if "tome" in plan and "PixArt" in _pipeline(case.model):  # whose tokens are on one grid
        plan["tome"] = {**plan["tome"], "max_downsample": 1}
    return Plan.of(plan)
