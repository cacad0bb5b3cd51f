"""Loss limits as the flags give them."""

from __future__ import annotations

import pytest

from hasten.cli.values import limit_cells, loss_limits, plain_task, task_of_flags
from hasten.errors import InputError, UnknownNameError
from hasten.language.parse import parse


@pytest.mark.parametrize(
    ("given", "loss", "expected"),
    [
        ((), None, {"clip_score": 0.02}),
        ((), 0.05, {"clip_score": 0.05}),
        (("0.03",), None, {"clip_score": 0.03}),
        (("clip_score=0.02", "ssim=0.2"), None, {"clip_score": 0.02, "ssim": 0.2}),
        (("CLIP-score = 0.02, ms-ssim=0.1",), None, {"clip_score": 0.02, "ms_ssim": 0.1}),
        (("ssim=0.2",), None, {"ssim": 0.2}),
        (("ssim=0.2",), 0.05, {"clip_score": 0.05, "ssim": 0.2}),
        (("clip_score=0.05",), 0.05, {"clip_score": 0.05}),
    ],
)
def test_limits_hold_together(given: tuple[str, ...], loss: float | None, expected: dict[str, float]) -> None:
    assert loss_limits(given, loss) == expected
    given = (*given, *([str(loss)] if loss is not None else []))
    task = task_of_flags(model="SD1.5", methods=("deepcache",), max_loss=given)
    assert task.max_loss == expected


@pytest.mark.parametrize(
    "text", ["ssim=", "ssim=two", "ssim=1.5", "ssim=-0.1", "nan", "ssim=inf", "", "ssim=±0.2"]
)
def test_what_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="write metric=number, 0 to 1"):
        loss_limits([text])


@pytest.mark.parametrize("speedup", [1.0, 0.9, 0.0, -2.0])
def test_a_speedup_that_is_none_is_refused(speedup: float) -> None:
    with pytest.raises(InputError, match=f"The target is {speedup:g}x, which the plain pipeline has already"):
        task_of_flags(model="SD1.5", methods=("deepcache",), speedup=speedup)


def test_an_unknown_metric_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'psnr'"):
        loss_limits(["psrn=0.2"])


def test_two_limits_of_one_metric_are_refused() -> None:
    with pytest.raises(InputError, match=r"clip_score has two limits, 0.05 and 0.02"):
        loss_limits(["clip_score=0.02"], 0.05)


def test_plain_numbers_are_a_cell_each_and_named_limits_one_together() -> None:
    assert limit_cells(["0.01,0.02"]) == [0.01, 0.02]
    assert limit_cells(["clip_score=0.02,ssim=0.2", "0.03"]) == [{"clip_score": 0.02, "ssim": 0.2}, 0.03]


@pytest.mark.parametrize(
    "model", ["SD1.5", "SDXL", "StableDiffusionXLPipeline", "SD3.5", "emoji-sd", "FluxPipeline"]
)
def test_flags_and_sentences_assume_the_same_scheduler_and_steps(model: str) -> None:
    """The same for ``search``, ``compare`` and ``profile``, and what was assumed is said."""
    searched = task_of_flags(model=model, methods=("deepcache",))
    plain = plain_task(model, None, None)
    said = parse(f"Generate a {searched.model} pipeline")
    assert plain == said and {"scheduler", "steps"} == {text.split()[0] for text in said.assumptions}
    assert (searched.scheduler, searched.steps) == (said.scheduler, said.steps)
    assert searched.assumptions == said.assumptions


def test_what_flags_name_is_not_assumed() -> None:
    task = plain_task("sdxl", "ddim", 30)
    assert (task.model, task.scheduler, task.steps, task.assumptions) == ("SDXL", "DDIM", 30, ())
