"""Tasks at random, of all that a request can say; the same seed gives the same tasks."""

from __future__ import annotations

import math
from random import Random
from typing import Any

from hasten.errors import ParameterError
from hasten.methods import METHODS
from hasten.methods.base import Parameter
from hasten.metrics import METRICS
from hasten.models import model_names
from hasten.options.table import DTYPES
from hasten.plan import Parameters, Value, step_list
from hasten.schedulers import scheduler_names
from hasten.task import DEFAULT_MAX_LOSS, Target, Task

FOLDERS = ("./my-model", "/data/My Models/x", "org/Name_1.5", "it's/here", "~/sdxl", "./模型", "./SD1.5", "mine")
STEPS = (1, 2, 20, 25, 50, 1000)


def random_task(rng: Random) -> Task:
    """Any task that hasten can be asked for: half of its numbers are round, the others have every digit."""
    steps = rng.choice([*STEPS, rng.randint(1, 1000)])
    names = METHODS.names()
    methods = None if rng.random() < 0.25 else tuple(rng.sample(names, rng.randint(0, len(names))))
    limits = dict(DEFAULT_MAX_LOSS) if rng.random() < 0.25 else _limits(rng)
    given = {name: _parameters(rng, name, steps) for name in (names if methods is None else methods)}
    return Task(
        model=rng.choice(model_names() + FOLDERS),
        scheduler=rng.choice(scheduler_names()),
        steps=steps,
        methods=methods,
        parameters={name: values for name, values in given.items() if values},
        target=None if methods == () else _target(rng),
        max_loss=limits,
        two_sided=bool(limits) and rng.random() < 0.2,
        **_choice(rng, methods, given),
        **_setting(rng),
    )


def _choice(rng: Random, methods: tuple[str, ...] | None, given: dict[str, Parameters]) -> dict[str, Any]:
    """Alternatives, or of any method what is excluded, and no loss."""
    if methods is not None:
        return {"one_of": len(set(methods)) > 1 and rng.random() < 0.3}
    free = [name for name in METHODS.names() if not given[name]]
    excluded = rng.sample(free, rng.randint(0, min(3, len(free)))) if rng.random() < 0.5 else []
    return {"excluded": tuple(excluded), "lossless": rng.random() < 0.2}


def _setting(rng: Random) -> dict[str, Any]:
    """Half of the tasks say something of their setting."""
    if rng.random() < 0.5:
        return {}
    size = {"height": 8 * rng.randint(2, 2048), "width": 8 * rng.randint(2, 2048)}
    said = {
        "guidance_scale": _number(rng, 0, 1000),
        "batch_size": rng.randint(1, 1024),
        "device": rng.choice(("cpu", "cuda", "cuda:0", "cuda:3", "mps")),
        "dtype": rng.choice(DTYPES),
    }
    some = {name: value for name, value in said.items() if rng.random() < 0.5}
    return some | (size if rng.random() < 0.5 else {})


def _parameters(rng: Random, method: str, steps: int) -> Parameters:
    """Some of a method's parameters or none; drawn again until the method allows them together."""
    if rng.random() < 0.5:
        return {}
    drawn = {p.name: _value(rng, p) for p in METHODS.get(method).parameters(steps=steps) if rng.random() < 0.5}
    try:
        METHODS.get(method).check(drawn, steps=steps)
    except ParameterError:
        return _parameters(rng, method, steps)
    return drawn


def _value(rng: Random, parameter: Parameter) -> Value:
    if parameter.allowed:
        return rng.choice(parameter.allowed)
    if parameter.kind is str:
        return step_list([0, *(rng.randint(0, int(parameter.high)) for _ in range(rng.randint(0, 12)))])
    if parameter.kind is int:
        return rng.randint(int(parameter.low), int(parameter.high))
    return _number(rng, parameter.low, parameter.high)


def _target(rng: Random) -> Target | None:
    name, least, most = rng.choice(
        [("speedup", math.nextafter(1, 2), 1000), ("latency_s", math.ulp(0), 86_400), ("", 0, 0)]
    )
    return Target(**{name: _number(rng, least, most)}) if name else None


def _limits(rng: Random) -> dict[str, float]:
    names = METRICS.names()
    return {name: _number(rng, 0, 1) for name in rng.sample(names, rng.randint(0, len(names)))}


def _number(rng: Random, low: float, high: float) -> float:
    """From the ends of the range to its middle, from whole numbers to seventeen digits, from 1e-300 on."""
    drawn = (
        rng.uniform(low, high),
        round(rng.uniform(low, high), rng.randint(0, 4)),
        10 ** rng.uniform(-300, math.log10(high)),
        low + (high - low) * 10 ** rng.uniform(-8, 0),
        rng.choice([low, high, math.nextafter(low, high), math.nextafter(high, low)]),
        float(rng.randint(math.ceil(low), math.floor(high))),
    )
    return min(max(rng.choice(drawn), low), high)
