"""The sections of the benchmark: what each measures of one setting, kept a line a measurement."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any

import torch

from hasten.errors import HastenError, MeasurementError, UnsupportedError
from hasten.measure.bench import Bench
from hasten.measure.failures import plan_failures
from hasten.measure.lock import device_lock
from hasten.measure.pipeline import Pipeline
from hasten.measure.profile import profile as profiled
from hasten.measure.profile import side_of
from hasten.measure.timing import take_turns
from hasten.methods import METHODS, check_plan, clash
from hasten.plan import Parameters, Plan, Value
from hasten.predict.cost_model import CostModel
from hasten.script.upstream import upstream_calls

from ..cost_model import drawn, profile, row
from ..lines import Lines
from ..rounds import Rounds
from ..steps import in_turn
from .machine import work_of
from .packages import beside_package, missing
from .subjects import Encoded
from .tables import NOTHING
from .twins import beside_twin

GATE = 0.4
"""T-GATE's, of the steps: 10 of 25."""
LEARNED = (0, 4, 16)
"""Numbers of plans that the cost model learns from before it is compared with the others."""


@dataclass(frozen=True)
class Stage:
    """A setting's bench and lines. No measurement begins when ``time.monotonic()`` has reached ``deadline_s``."""

    bench: Bench
    lines: Lines
    options: argparse.Namespace
    deadline_s: float

    @property
    def late(self) -> bool:
        return time.monotonic() >= self.deadline_s

    def measure(self, name: str, call: Callable[[], dict[str, Any]]) -> None:
        """Keeps what the call measures under that name, or why it failed; nothing where that is kept already."""
        if name in self.lines.found or self.late:
            return
        told = self.bench.setting
        said(f"{told.model} {told.width}² {told.steps} steps, batch {told.batch_size}: {name}")
        try:
            self.lines.add(name, **call())
        except MeasurementError as error:
            said(f"  failed: {error}")
            self.lines.add(name, failed=str(error))

    def typical(self) -> dict[str, Parameters]:
        """The methods that the pipeline takes, at parameters that people use."""
        steps = self.bench.setting.steps
        given: dict[str, Parameters] = {
            "deepcache": {"cache_interval": 3, "cache_branch_id": 0},
            "tgate": {"gate_step": max(1, round(GATE * steps)), "sp_interval": 5, "fi_interval": 1, "warm_up": 2},
            "tome": {"ratio": 0.5},  # at its default max_downsample: the finest level with attention
        }
        return self._fitting(given)

    def others(self) -> dict[str, Parameters]:
        """The methods beyond those three whose speed does not depend on the image, likewise."""
        steps = self.bench.setting.steps
        given: dict[str, Parameters] = {
            "guidance_cutoff": {"cutoff_step": max(1, round(GATE * steps))},
            "taylorseer": {},
            "channels_last": {},
        }
        if self.bench.setting.device.startswith("cuda"):
            given["attention_backend"] = {"backend": "_native_cudnn"}
            given["cuda_graph"] = {}
        return self._fitting(given)

    def _fitting(self, given: dict[str, Parameters]) -> dict[str, Parameters]:
        pipe = self.bench.pipe
        return {name: found for name, found in given.items() if METHODS.get(name).unsupported(pipe) is None}

    def plans(self) -> Iterator[Plan]:
        """The typical methods alone and together, completed."""
        given = self.typical()
        for size in range(1, len(given) + 1):
            for names in combinations(given, size):
                yield self.complete({name: given[name] for name in names})

    def complete(self, given: dict[str, Parameters]) -> Plan:
        return check_plan(Plan.of(given), self.bench.pipe, self.bench.setting.steps)


def said(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def baseline(stage: Stage) -> None:
    """Latency and its parts; the denoiser's work."""
    bench = stage.bench
    sizes = (bench.setting.batch_size,)

    def found() -> dict[str, Any]:
        (only,) = profiled(bench, batch_sizes=sizes, pairs=stage.options.pairs).batch_sizes
        return {"row": only.model_dump(mode="json")}

    stage.measure("baseline", found)
    stage.measure("denoiser", partial(work_of, bench))


def methods(stage: Stage) -> None:
    """The typical plans, the other methods alone, and those that go with CUDA graphs beside them."""
    others = (stage.complete({name: given}) for name, given in stage.others().items())
    wanted = set(stage.options.having)
    for plan in (*stage.plans(), *others, *_graphed(stage)):
        if wanted <= set(plan.methods):
            stage.measure(f"plan {plan}", partial(_beside, stage.bench, plan, stage.options.pairs))


def _graphed(stage: Stage) -> Iterator[Plan]:
    given = {**stage.typical(), **stage.others()}
    for name in given if "cuda_graph" in given else ():
        if name != "cuda_graph" and not clash(map(METHODS.get, ("cuda_graph", name))):
            yield stage.complete({n: given[n] for n in ("cuda_graph", name)})


def neutral(stage: Stage) -> None:
    """All methods at parameters with which they do nothing, and the baseline beside itself."""
    bench, calls = stage.bench, stage.options.neutral_calls
    asked = stage.options.having or METHODS.names()
    usable = [METHODS.get(name) for name in asked if METHODS.get(name).unsupported(bench.pipe) is None]
    for method in usable:
        idle = method.neutral(bench.pipe, bench.setting.steps)
        if idle is not None:
            plan = stage.complete({method.name: idle})
            stage.measure(f"neutral {method.name}", partial(beside_twin, bench, plan, calls))
    if usable:
        stage.measure("neutral baseline", partial(beside_twin, bench, Plan(), calls))


def _beside(bench: Bench, plan: Plan, pairs: int) -> dict[str, Any]:
    """The baseline and a plan."""
    setting = bench.setting
    sides = [side_of(bench.pipeline, which, setting.batch_size) for which in (Plan(), plan)]
    return in_turn(*sides, pairs, setting.device, [bench.pipeline.denoiser])


def upstream(stage: Stage) -> None:
    """hasten's methods beside the packages', where there is one that is not known to be wrong."""
    bench, pairs = stage.bench, stage.options.pairs
    if isinstance(bench.pipeline, Encoded):
        said("not compared: the packages are called with prompts, and the text encoders are left out")
        return
    stage.measure(f"upstream {NOTHING}", partial(beside_package, bench, Plan(), None, pairs))
    for plan in stage.plans():
        try:
            loader = upstream_calls(plan, bench.setting, bench.pipeline.family.name).loader
        except UnsupportedError as reason:
            said(f"not compared: {reason}")
            continue
        if absent := missing(plan):
            said(f"not compared: {plan}: {', '.join(absent)} cannot be imported")
            continue
        stage.measure(f"upstream {plan}", partial(beside_package, bench, plan, loader, pairs))


def cost(stage: Stage) -> None:
    """The cost model's predictions beside measurements, for plans drawn from the grid of all typical methods."""
    bench, options = stage.bench, stage.options
    names = sorted(stage.typical())
    if stage.late or not names:
        return
    said(f"{bench.setting.model}: profile, then {options.plans} plans")
    found = profile(bench, stage.lines, repeats=options.repeats)
    plans = drawn(bench, names, options.plans, seed=0)
    rounds = Rounds(bench, stage.lines, plans, options.rounds, stage.deadline_s)
    rounds.run()
    known = list(rounds.trials())
    model = CostModel(bench.pipe, found, bench.setting.steps)
    rows = [list(row(model, ",".join(names), known, count)) for count in LEARNED if count < len(known)]
    if rows != stage.lines.found.get("cost", {}).get("rows"):
        stage.lines.add("cost", rows=rows)


def compiled(stage: Stage) -> None:
    """The method ``compile`` alone and with each other that it goes with, beside the plain baseline."""
    given = {"compile": dict[str, Value](), **stage.typical(), **stage.others()}
    for name in given:
        names = dict.fromkeys(("compile", name))
        try:
            plan = stage.complete({n: given[n] for n in names})
        except HastenError as reason:
            said(f"not compiled: {reason}")
            continue
        stage.measure(f"compile {plan}", partial(_compiled, stage, plan))


def _compiled(stage: Stage, plan: Plan) -> dict[str, Any]:
    """The first call (cold), the first one again with the compiler's cache on disk (warm), and those after it."""
    from torch._dynamo.utils import counters
    from torch._inductor.utils import fresh_cache

    bench, setting = stage.bench, stage.bench.setting
    with device_lock(setting.device), plan_failures(), fresh_cache():
        first = [_first_call(bench.pipeline, plan) for _ in range(2)]
        before = counters["stats"]["unique_graphs"]
        found = _beside(bench, plan, stage.options.pairs)
    return {
        "cold_s": first[0],
        "warm_s": first[1],
        "graphs": before,
        "recompiled": counters["stats"]["unique_graphs"] - before,
        **found,
    }


def _first_call(pipeline: Pipeline, plan: Plan) -> float:
    """Seconds of a call after all that was compiled is forgotten, but for what lies on the disk."""
    from torch._dynamo.utils import counters
    from torch._inductor.utils import clear_caches

    torch.compiler.reset()
    clear_caches()
    counters.clear()
    side = side_of(pipeline, plan, pipeline.setting.batch_size)
    for _ in take_turns([side], 1, pipeline.setting.device, dict):
        pass
    return side.times[0]


SECTIONS: dict[str, Callable[[Stage], None]] = {
    "baseline": baseline,
    "methods": methods,
    "neutral": neutral,
    "upstream": upstream,
    "cost": cost,
    "compile": compiled,
}
