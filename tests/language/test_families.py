"""Requests and the model families: which scheduler is meant, and which one where none is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from hasten.errors import RequestError
from hasten.language.parse import parse


@pytest.mark.parametrize(
    ("written", "scheduler"),
    [
        ("DPM++ 2M SDE", "DPM-Solver++-SDE"),
        ("DPM-Solver++ SDE", "DPM-Solver++-SDE"),
        ("DPM++ 2M Karras", "DPM-Solver++-Karras"),
        ("DPM-Solver++ SDE Karras", "DPM-Solver++-SDE-Karras"),
        ("DPMSolverMultistepScheduler", "DPM-Solver++"),
        ("flow matching Euler", "FlowMatchEuler"),
        ("FlowMatchHeunDiscreteScheduler", "FlowMatchHeun"),
    ],
)
def test_schedulers_of_one_class_are_told_apart(written: str, scheduler: str) -> None:
    assert parse(f"SD1.5 with the {written} sampler, 20 steps").scheduler == scheduler
    assert parse(f"用{written}采样器、20步生成SD1.5流水线").scheduler == scheduler


@pytest.mark.parametrize(
    ("sentence", "model", "steps", "scheduler", "why"),
    [
        ("Generate a FLUX pipeline", "FLUX.1-dev", 50, "FlowMatchEuler", "the usual one of FLUX.1"),
        ("生成FLUX.1-schnell流水线", "FLUX.1-schnell", 4, "FlowMatchEuler", "the usual one of FLUX.1"),
        ("生成SD3.5流水线", "SD3.5-medium", 40, "FlowMatchEuler", "the usual one of Stable Diffusion 3"),
        ("Generate a SDXL pipeline", "SDXL", 50, "DDIM", "the default"),
    ],
)
def test_the_usual_scheduler_is_that_of_the_family(
    sentence: str, model: str, steps: int, scheduler: str, why: str
) -> None:
    task = parse(sentence)
    assert (task.model, task.steps, task.scheduler) == (model, steps, scheduler)
    assert f"scheduler {scheduler}: {why}" in task.assumptions


def test_a_folder_says_its_family_by_its_index(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    assert parse(f'Generate a pipeline of the model "{tmp_path}"').scheduler == "FlowMatchEuler"
    (tmp_path / "model_index.json").write_text("no index")
    assert parse(f'Generate a pipeline of the model "{tmp_path}"').scheduler == "DDIM"


@pytest.mark.parametrize(
    "sentence", ["Make FLUX 1.5x faster with ToMe", "Make flux 1.5 times faster", "让FLUX 1.5倍加速"]
)
def test_a_speedup_behind_a_name_is_no_part_of_it(sentence: str) -> None:
    task = parse(sentence)
    assert task.model == "FLUX.1-dev" and task.target is not None and task.target.speedup == 1.5


def test_a_name_is_not_cut_off_a_number() -> None:
    """SD 3 at 0.5x would be another request."""
    with pytest.raises(RequestError, match="could not place 'SD'"):
        parse("Make SD 3.5x faster")
