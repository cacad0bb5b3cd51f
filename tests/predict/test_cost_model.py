"""The cost model: what it predicts is what runs, for one plan and for whole grids, and it learns."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from diffusers import HeunDiscreteScheduler
from tests.contracts.expected import COMBINATIONS, LARGEST, SUPPORTED, declared, effective, neutral
from tests.support.marks import rarely
from tests.support.profiles import Seconds, profile_of, random_profile, tokens_of

from hasten.denoisers import denoiser_of
from hasten.errors import InputError, ParameterError
from hasten.methods import apply, check_plan
from hasten.plan import Plan
from hasten.predict.cost_model import CostModel, calls_of
from hasten.predict.space import Space
from hasten.records import Latency, Trial
from hasten.testing.generating import UNETS, counting, fresh, latents, shared


def runs(module: str, kind: str) -> bool:
    """Whether it is what a batch's rows are counted at."""
    return kind == "resnet" or (kind == "feed_forward" and module.startswith("transformer_blocks."))


COUNTS: dict[str, Seconds] = {
    "self_attention": lambda module, kind, rows, left: kind == "self_attention",
    "cross_attention": lambda module, kind, rows, left: kind == "cross_attention",
    "resnets": lambda module, kind, rows, left: kind == "resnet",
    "rows": lambda module, kind, rows, left: rows * runs(module, kind),
    "blocks": lambda module, kind, rows, left: runs(module, kind) and kind != "resnet",
    "layers": lambda module, kind, rows, left: kind in ("resnet", "transformer", "sampler"),
    "calls": lambda module, kind, rows, left: kind == "denoiser",
}
MISALIGNED = (
    "deepcache(cache_branch_id=0,cache_interval=3)+tgate(fi_interval=1,gate_step=9,sp_interval=5,warm_up=2)",
    "deepcache(cache_branch_id=2,cache_interval=4)+tgate(fi_interval=3,gate_step=7,sp_interval=3,warm_up=1)",
    "deepcache(cache_branch_id=4,cache_interval=2)+tgate(fi_interval=2,gate_step=10,sp_interval=9,warm_up=3)"
    "+tome(max_downsample=2,ratio=0.4)",
    "tgate(fi_interval=4,gate_step=1,sp_interval=2,warm_up=0)",
)


ONE = {(name,) for name in SUPPORTED["sdxl"]}
CASES = [
    pytest.param(f, str(effective(names)), 5, marks=rarely(f == "sdxl" or names not in (*LARGEST["sd"], *ONE)))
    for f in ("sd", "sdxl", "pixart")
    for names in filter(declared, COMBINATIONS[f])
]
LONG = [pytest.param(f, p, 10, marks=rarely(f == "sdxl")) for f in UNETS for p in MISALIGNED]
LONG += [pytest.param("pixart", MISALIGNED[3], 10)]


@pytest.mark.parametrize(("family", "plan", "steps"), [*LONG, *CASES])
def test_what_is_predicted_to_run_is_what_runs(family: str, plan: str, steps: int) -> None:
    """With seconds that count, the latency is the count: stored outputs that are not there are computed."""
    pipe = shared(family)
    with apply(pipe, plan, steps), counting(denoiser_of(pipe)) as counts:
        latents(pipe, num_inference_steps=steps)
    found = {name: _steps_s(pipe, seconds, plan, steps) for name, seconds in COUNTS.items()}
    assert found == pytest.approx({name: counts[name] for name in COUNTS})
    of_layer = tokens_of(denoiser_of(pipe))
    through = _steps_s(
        pipe,
        lambda module, kind, rows, left: rows * left * of_layer[module] if kind == "self_attention" else 0,
        plan,
        steps,
    )
    assert through == pytest.approx(counts["tokens"])


def test_schedulers_that_call_twice_a_step() -> None:
    pipe = fresh("sd")
    pipe.scheduler = HeunDiscreteScheduler.from_config(pipe.scheduler.config)
    assert calls_of(pipe.scheduler, 5) == [2, 2, 2, 2, 1]
    plan = MISALIGNED[0]
    with apply(pipe, plan, 10), counting(pipe.unet) as counts:
        latents(pipe, num_inference_steps=10)
    found = {name: _steps_s(pipe, seconds, plan, 10) for name, seconds in COUNTS.items()}
    assert found == pytest.approx({name: counts[name] for name in COUNTS})


def _steps_s(pipe: Any, seconds: Seconds, plan: str, steps: int) -> float:
    """What the model predicts for the steps alone: a little that runs once keeps the logarithms finite."""
    return CostModel(pipe, profile_of(pipe, seconds, once_s=1e-3), steps).predict(Plan.parse(plan)) - 1e-3


@pytest.fixture(scope="module")
def pipe() -> Any:
    return shared("sd")


@pytest.fixture
def model(pipe: Any) -> CostModel:
    return CostModel(pipe, random_profile(pipe), 12)


@pytest.mark.parametrize("names", COMBINATIONS["sd"], ids="+".join)
def test_neutral_parameters_change_nothing(pipe: Any, model: CostModel, names: tuple[str, ...]) -> None:
    assert model.speedup(neutral(names, pipe, 12)) == 1
    assert model.speedup(Plan()) == 1
    assert model.predict(Plan()) == model.baseline_s


def test_the_baseline_is_the_profile_at_its_number_of_steps(pipe: Any, model: CostModel) -> None:
    call_s = 1.5 + sum(part.full_s for part in model.profile.parts)
    assert model.baseline_s == pytest.approx(20 + 12 * call_s)
    assert CostModel(pipe, model.profile, 50).baseline_s == pytest.approx(20 + 50 * call_s)


def test_stronger_is_faster(model: CostModel) -> None:
    def speedups(text: str, values: tuple[float, ...]) -> list[float]:
        return [model.speedup(Plan.parse(text.format(value))) for value in values]

    for found in (
        speedups("deepcache(cache_interval={})", (1, 2, 3, 4, 6, 12)),
        speedups("deepcache(cache_interval=3,cache_branch_id={})", (9, 6, 4, 2, 1, 0)),
        speedups("tgate(gate_step={},sp_interval=1)", (12, 10, 8, 5, 1)),
        speedups("tome(max_downsample=1,ratio={})", (0.2, 0.4, 0.6, 0.75)),
    ):
        assert all(a < b for a, b in pairwise(found)), found


@pytest.mark.parametrize(
    ("methods", "steps"), [(["deepcache", "tome"], 6), (["deepcache", "tgate"], 6), (["tome"], 12)]
)
def test_a_grid_is_predicted_as_its_plans_are(pipe: Any, methods: list[str], steps: int) -> None:
    model = CostModel(pipe, random_profile(pipe), steps)
    few: dict[str, Any] = {"deepcache": {"cache_interval": 3}, "tome": {"max_downsample": 2}}
    space = Space(methods, pipe, steps, few if methods == ["deepcache", "tome"] else None)
    found = model.speedups(space)
    assert found.shape == space.open.shape
    assert np.array_equal(np.isnan(found), ~space.cells)
    assert np.array_equal(np.isnan(model.deviations(space)), ~space.cells)
    for index in map(tuple, np.argwhere(space.cells)):
        assert found[index] == pytest.approx(model.speedup(space.plan(index)), rel=1e-9), space.plan(index)


def test_a_big_grid_is_predicted_as_its_plans_are(pipe: Any) -> None:
    model, space = CostModel(pipe, random_profile(pipe), 20), Space(["deepcache", "tgate", "tome"], pipe, 20)
    assert len(space) > 400_000
    for learned in (False, True):
        if learned:
            model.learn(
                [trial("deepcache(cache_interval=2)+tome(ratio=0.5)", 1.7), trial("tgate(gate_step=9)", 2)]
            )
        found, deviations = model.speedups(space), model.deviations(space)
        cells = np.argwhere(space.cells)
        for index in map(tuple, cells[np.random.default_rng(0).choice(len(cells), 200, replace=False)]):
            plan = space.plan(index)
            assert found[index] == pytest.approx(model.speedup(plan), rel=1e-9), plan
            assert deviations[index] == pytest.approx(model.deviation(plan), rel=1e-9), plan


def trial(plan: str, speedup: float, steps: int = 20, **more: Any) -> Trial:
    times = {"baseline_times_s": (speedup,), "times_s": (1.0,), "baseline_s": speedup, "plan_s": 1.0}
    return Trial(
        plan=plan, steps=steps, latency=Latency(speedup=speedup, interval=(speedup,) * 2, **times), **more
    )


def test_learning_brings_the_predictions_nearer(pipe: Any, model: CostModel) -> None:
    """The true speedups: DeepCache gives nine tenths of what is predicted, T-GATE costs something by itself."""
    space = Space(["deepcache", "tgate"], pipe, 12)
    plans = [space.plan(tuple(i)) for i in np.random.default_rng(1).permutation(np.argwhere(space.cells))[:40]]
    noise = np.random.default_rng(2).normal(0, 0.005, len(plans))
    pure = CostModel(pipe, model.profile, 12)

    def true(plan: Plan, i: int) -> float:
        deepcache = pure.speedup(Plan.of({"deepcache": plan.parameters["deepcache"]}))
        return float(pure.speedup(plan) * deepcache**-0.1 * np.exp(noise[i] - 0.05))

    def errors() -> list[float]:
        return [abs(np.log(model.speedup(p) / true(p, i + 20))) for i, p in enumerate(plans[20:])]

    before, unsure = errors(), model.deviation(plans[-1])
    medians = [np.median(before)]
    for count in (4, 20):
        done = [trial(str(plan), true(plan, i), 12) for i, plan in enumerate(plans[:count])]
        assert model.learn(done) == count
        medians.append(np.median(errors()))
    assert medians[0] > 0.05 > medians[1] > medians[2]
    assert medians[2] < 0.01
    assert model.deviation(plans[-1]) < unsure / 2
    z = [error / model.deviation(p) for error, p in zip(errors(), plans[20:], strict=True)]
    assert max(z) < 4
    assert model.learn([]) == 0
    assert errors() == before


def test_what_tells_nothing_is_not_learned_from(model: CostModel) -> None:
    plan = Plan.parse("deepcache(cache_interval=2)")
    before = model.speedup(plan)
    failed = Trial(plan=str(plan), steps=12, status="failed", reason="NaN")
    assert model.learn([failed, trial(str(plan), 5.0, steps=11), trial("baseline", 1.1, steps=12)]) == 0
    assert model.speedup(plan) == before
    assert model.learn([trial(str(plan), 5.0, steps=12, status="skipped")]) == 1
    assert model.speedup(plan) > before


def test_mistakes_are_errors(pipe: Any, model: CostModel) -> None:
    with pytest.raises(InputError, match="steps is 0"):
        CostModel(pipe, model.profile, 0)
    with pytest.raises(InputError, match="another denoiser: this one has no down_blocks"):
        CostModel(shared("sdxl"), model.profile, 12)
    with pytest.raises(ParameterError):
        model.predict(Plan.parse("deepcache(cache_interval=13)"))
    assert check_plan(Plan.parse("deepcache(cache_interval=12)"), pipe, 12)
