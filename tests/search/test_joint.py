"""One search over exact methods, fewer steps, another solver and all others, where a request leaves it open."""

from __future__ import annotations

import random
from functools import lru_cache
from typing import Any

import pytest
from tests.support.landscape import Landscape
from tests.support.marks import rarely

from hasten.language.parse import parse
from hasten.language.render import render
from hasten.methods import METHODS
from hasten.plan import Plan
from hasten.search import SearchOptions, SearchResult, run_search
from hasten.search.joint_spaces import choice_of
from hasten.task import Task
from hasten.testing.pipelines import tiny_sd

OPEN = ("scheduler DDIM: assumed", "steps 25: assumed", "methods any: none was named")
FEW = ("attention_backend", "channels_last", "deepcache", "fewer_steps", "guidance_cutoff", "solver", "tome")
OTHERS = tuple(name for name in METHODS.names() if name not in FEW)


@lru_cache
def pipe() -> Any:
    return tiny_sd()


def task(*named: str, **changes: Any) -> Task:
    """Of any of the few methods; what is named, of scheduler and steps and methods, is not assumed."""
    assumed = tuple(text for text in OPEN if text.split(" ")[0] not in named)
    known: dict[str, Any] = {"model": "landscape", "scheduler": "DDIM", "steps": 25, "methods": None}
    return Task(**{**known, "excluded": OTHERS, "assumptions": assumed, **changes})


class World:
    """Speeds and losses that multiply and add up over methods, drawn from a seed."""

    def __init__(self, seed: int) -> None:
        draw = random.Random(seed)
        self.step_share = draw.uniform(0.7, 0.98)
        self.step_loss, self.step_power = draw.uniform(0.0005, 0.01), draw.uniform(1, 2.5)
        self.solver = draw.choice([0.3, 0.6, 1.0, 1.6])
        self.gain = {name: draw.uniform(0.05, 0.9) for name in FEW}
        self.harm = {name: draw.uniform(0.001, 0.03) for name in FEW}
        self.exact = {"channels_last": draw.choice([0.95, 1.0, 1.2]), "attention_backend": draw.choice([0.9, 1.1])}

    def speedup(self, plan: Plan) -> float:
        found, steps = 1.0, self._steps(plan)
        for name, given in plan.parameters.items():
            if name in self.exact:
                found *= self.exact[name]
            elif not METHODS.get(name).plain:
                found *= 1 + self.gain[name] * self._strength(name, given)
        return found / (1 - self.step_share * (1 - steps / 25))

    def loss(self, plan: Plan) -> float:
        found = 0.0
        for name, given in plan.parameters.items():
            if name not in self.exact and not METHODS.get(name).plain:
                found += self.harm[name] * self._strength(name, given)
        weight = self.solver if "solver" in plan.methods else 1.0
        return found + weight * self.step_loss * (25 / self._steps(plan) - 1) ** self.step_power

    def _steps(self, plan: Plan) -> int:
        return int(plan.parameters.get("fewer_steps", {}).get("reduced_steps", 25))

    def _strength(self, name: str, given: Any) -> float:
        parameter = METHODS.get(name).parameters(pipe(), 25)[0]
        values = [float(v) for v in parameter.grid]
        span = (values[-1] - values[0]) or 1.0
        return 0.3 + 0.7 * (float(given[parameter.name]) - values[0]) / span


def found(world: World, asked: Task, **options: Any) -> SearchResult:
    bench = Landscape(world.speedup, world.loss, half_width=0.0002, pipe=pipe())
    return run_search(bench, asked, SearchOptions(**{"storage": "memory", "num_samples": 16, **options}))


def fastest_plainly(world: World, asked: Task) -> float:
    """The speedup of fewer steps, with or without another solver as far as the task allows, within the limit."""
    best = 1.0
    for solver in (False, True)[: 1 + asked.allows_other_solvers]:
        for steps in range(2, 25):
            given: dict[str, Any] = {"fewer_steps": {"reduced_steps": steps}}
            plan = Plan.of({**given, **({"solver": {"swap": "to_unipc"}} if solver else {})})
            if world.loss(plan) < 0.02:
                best = max(best, world.speedup(plan))
    return best


@pytest.mark.parametrize("seed", [pytest.param(seed, marks=rarely(seed != 2)) for seed in range(6)])
def test_the_answer_is_never_beaten_by_the_plain_pipeline(seed: int) -> None:
    world, asked = World(seed), task()
    result = found(world, asked)
    assert result.confirmed is not None
    exact = {name: given for name, given in result.confirmed.plan.parameters.items() if name in world.exact}
    plainly = fastest_plainly(world, asked) * world.speedup(Plan.of(exact))
    assert result.confirmed.speedup >= 0.93 * plainly, f"{result.confirmed.plan} against {plainly:.2f}x"


def test_exact_methods_that_are_faster_are_in_every_later_plan() -> None:
    world = World(0)
    world.exact = {"channels_last": 1.3, "attention_backend": 0.9}
    result = found(world, task(excluded=(*OTHERS, "guidance_cutoff", "tome")))
    assert result.confirmed is not None and "channels_last" in result.confirmed.plan.methods
    later = [t.plan for t in result.trials if not any(METHODS.get(m).exact for m in t.plan.methods)]
    assert not later and not any(
        "attention_backend" in t.plan.methods and len(t.plan.methods) > 1 for t in result.trials
    )


def test_what_is_named_is_kept_unless_any_is_said() -> None:
    def parts(*named: str, **changes: Any) -> tuple[bool, bool]:
        choice = choice_of(task(*named, **changes), pipe())
        return bool(choice.shorter), bool(choice.solvers)

    assert parts() == (True, True)
    assert parts("scheduler") == (True, False)
    assert parts("steps") == (False, True)
    assert parts("steps", "methods", "scheduler") == (True, False), "25 DDIM steps, any method"
    assert parts(excluded=(*OTHERS, "fewer_steps", "solver")) == (False, False)


def test_named_methods_are_searched_as_before() -> None:
    named = task(methods=("deepcache", "tome"), excluded=())
    auto, guided = (found(World(1), named, strategy=strategy) for strategy in ("auto", "guided"))
    assert [t.plan for t in auto.trials] == [t.plan for t in guided.trials] and auto.trials
    assert {t.plan.methods for t in auto.trials} == {("deepcache", "tome")}


def test_a_named_strategy_searches_as_before() -> None:
    result = found(World(1), task(), strategy="guided")
    assert not {m for t in result.trials for m in t.plan.methods} & {"fewer_steps", "solver", "channels_last"}


@pytest.mark.parametrize(
    ("words", "may"),
    [
        ("", (True, True)),
        (" with DDIM", (True, False)),
        (" with 25 steps", (False, True)),
        (" with 25 DDIM steps, any method", (True, False)),
        (" with exactly 25 steps, any method", (False, True)),
        (", keep the scheduler", (True, False)),
        (" without changing the sampler", (True, False)),
        (", keep the number of steps", (False, True)),
        ("，不要换采样器", (True, False)),
        ("，保持步数", (False, True)),
    ],
)
def test_sentences_say_what_is_kept_and_the_task_says_what_is_not(words: str, may: tuple[bool, bool]) -> None:
    asked = parse(f"Make emoji-sd as fast as possible{words}")
    assert (asked.allows_fewer_steps, asked.allows_other_solvers) == may
    also = [text for text in asked.assumptions if text.startswith("any method: also")]
    assert ["fewer steps" in text for text in also] == [may[0]] * any(may)
    assert ["another solver than DDIM" in text for text in also] == [may[1]] * any(may)
    assert Task.from_json(asked.to_json()) == asked
    assert parse(render(asked)).excluded == asked.excluded
