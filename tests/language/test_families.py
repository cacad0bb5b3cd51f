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
    ("sentence", "model", "steps", "scheduler"),
    [
        ("Generate a FLUX pipeline", "FLUX.1-dev", 50, "FlowMatchEuler"),
        ("生成FLUX.1-schnell流水线", "FLUX.1-schnell", 4, "FlowMatchEuler"),
        ("生成SD3.5流水线", "SD3.5-medium", 40, "FlowMatchEuler"),
        ("Generate a SDXL pipeline", "SDXL", 50, "Euler"),
        ("Generate a SD1.5 pipeline", "SD1.5", 50, "PNDM"),
        ("Generate a PixArt-Sigma pipeline", "PixArt-sigma", 20, "DPM-Solver++"),
        ("Generate an emoji-sd pipeline", "emoji-sd", 25, "DDIM"),
    ],
)
def test_scheduler_and_steps_that_are_not_named_are_those_of_the_own_pipeline(
    sentence: str, model: str, steps: int, scheduler: str
) -> None:
    task = parse(sentence)
    assert (task.model, task.steps, task.scheduler) == (model, steps, scheduler)
    assert f"scheduler {scheduler}: that of {model}'s own pipeline" in task.assumptions
    assert f"steps {steps}: the usual number for {model}" in task.assumptions


def test_a_folder_says_its_scheduler_by_its_files(tmp_path: Path) -> None:
    sentence = f'Generate a pipeline of the model "{tmp_path}"'
    (tmp_path / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    assert parse(sentence).scheduler == "FlowMatchEuler"
    (tmp_path / "model_index.json").write_text('{"_class_name": "StableDiffusionXLPipeline"}')
    task = parse(sentence)
    assert (task.scheduler, task.steps) == ("Euler", 50)
    assert "scheduler Euler: the usual one of Stable Diffusion XL" in task.assumptions
    (tmp_path / "scheduler").mkdir()
    own = tmp_path / "scheduler" / "scheduler_config.json"
    own.write_text('{"_class_name": "DPMSolverMultistepScheduler", "use_karras_sigmas": true}')
    task = parse(sentence)
    assert task.scheduler == "DPM-Solver++-Karras"
    assert "scheduler DPM-Solver++-Karras: the one that the folder has" in task.assumptions
    own.write_text("no configuration")
    (tmp_path / "model_index.json").write_text("no index")
    assert parse(sentence).scheduler == "DDIM"


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
