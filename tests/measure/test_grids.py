"""What a method measures for its grid: of the step schedule, what reuse costs, which is what it costs."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from diffusers import EulerDiscreteScheduler
from tests.support.marks import rarely

from hasten.errors import InputError, MeasurementError
from hasten.measure.bench import Bench
from hasten.measure.grids import MeasuredGrid, measure_grid
from hasten.measure.pipeline import Pipeline
from hasten.methods import apply
from hasten.methods.schedule import METHOD
from hasten.plan import Plan, step_list
from hasten.store import Store

STEPS = 5


@pytest.fixture
def pipeline(bench: Bench) -> Pipeline:
    return Pipeline(bench.pipe, replace(bench.setting, steps=STEPS), bench.pipeline.prompts)


def error(pipeline: Pipeline, samples: int, **lists: list[int]) -> float:
    """The mean squared error of the final latents of a schedule."""
    plain = pipeline.latents("search", range(samples))
    plan = Plan.of({"schedule": {name: step_list(steps) for name, steps in lists.items()}})
    with apply(pipeline.pipe, plan, STEPS):
        return float(((pipeline.latents("search", range(samples)) - plain) ** 2).mean())


OFTEN = [("full_steps", "DDIM"), ("guided_steps", "Euler")]


@pytest.mark.parametrize(
    ("kind", "scheduler"),
    [
        pytest.param(*c, marks=rarely(c not in OFTEN))
        for c in product(("full_steps", "guided_steps"), ("DDIM", "Euler"))
    ],
)
def test_costs_are_the_errors_of_such_schedules(pipeline: Pipeline, kind: str, scheduler: str) -> None:
    if scheduler == "Euler":  # it scales what the denoiser receives
        pipeline.pipe.scheduler = EulerDiscreteScheduler.from_config(pipeline.pipe.scheduler.config)
    found = measure_grid(pipeline, METHOD, samples=2)
    costs = found.found[kind]
    assert (found.samples, found.steps) == (2, STEPS)
    assert [len(row) for row in costs] == [5, 4, 3, 2, 1]
    assert all(row[0] == 0 for row in costs)
    for step in range(STEPS - 1):  # reuse to the end: nothing in it is interpolated
        assert costs[step][-1] == pytest.approx(error(pipeline, 2, **{kind: list(range(step + 1))}), rel=1e-3)
    for step in (0, 1):  # followed to the end in full
        kept = [s for s in range(STEPS) if s not in (step + 1, step + 2)]
        assert costs[step][2] == pytest.approx(error(pipeline, 2, **{kind: kept}), rel=1e-3)
    assert all(cost > 0 for row in costs for cost in row[1:])


def test_the_pipeline_stays_as_it_was(pipeline: Pipeline) -> None:
    before, known = pipeline.latents("search", range(2)), set(vars(pipeline.denoiser))
    words: list[str] = []
    found = measure_grid(pipeline, METHOD, samples=1, report=words.append)
    assert set(vars(pipeline.denoiser)) == known
    assert torch.equal(pipeline.latents("search", range(2)), before)
    assert words[0] == "what reuse of deep features costs: step 1/5"
    assert measure_grid(pipeline, METHOD, samples=1) == found


def test_guidance_costs_nothing_where_there_is_none(pipeline: Pipeline) -> None:
    plain = Pipeline(pipeline.pipe, replace(pipeline.setting, guidance_scale=1.0), pipeline.prompts)
    found = measure_grid(plain, METHOD, samples=1)
    assert not any(map(any, found.found["guided_steps"]))
    assert found.found["full_steps"][0][1] > 0


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_few_steps(pipeline: Pipeline, steps: int) -> None:
    found = measure_grid(
        Pipeline(pipeline.pipe, replace(pipeline.setting, steps=steps), pipeline.prompts), METHOD, samples=1
    )
    assert [len(row) for row in found.found["full_steps"]] == list(range(steps, 0, -1))


def test_no_more_images_than_are_drawn_at_once(pipeline: Pipeline) -> None:
    assert measure_grid(pipeline, METHOD, samples=100).samples == 8


def test_what_cannot_be_measured(pipeline: Pipeline) -> None:
    with pytest.raises(InputError, match="number of samples is 0"):
        measure_grid(pipeline, METHOD, samples=0)
    with pytest.raises(MeasurementError, match="longer to measure than there was time"):
        measure_grid(pipeline, METHOD, samples=1, limit_s=0)
    pipeline.pipe.scheduler.set_timesteps = lambda *args, **given: None
    pipeline.pipe.scheduler.timesteps = SimpleNamespace()
    with pytest.raises(MeasurementError):
        measure_grid(pipeline, METHOD, samples=1)


def test_it_is_kept_with_its_setting(bench: Bench, pipeline: Pipeline, tmp_path: Path) -> None:
    found = measure_grid(pipeline, METHOD, samples=1)
    assert MeasuredGrid.model_validate_json(found.model_dump_json()) == found
    storage = str(tmp_path / "trials.db")
    with Store(storage, pipeline.setting, bench.identity) as store:
        assert store.measured(METHOD.kept_as) is None
        store.keep_measured(METHOD.kept_as, found)
    with Store(storage, pipeline.setting, bench.identity) as store:
        assert store.measured(METHOD.kept_as) == found
    with Store(storage, bench.setting, bench.identity) as store:
        assert store.measured(METHOD.kept_as) is None
