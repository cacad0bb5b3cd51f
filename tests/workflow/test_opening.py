"""What a request says of its setting is what is measured."""

from __future__ import annotations

import pytest

from hasten.errors import InputError
from hasten.methods import apply
from hasten.task import Task
from hasten.testing.pipelines import tiny_sd
from hasten.workflow.opening import model_of, open_bench, pipeline_in, placed
from hasten.workflow.place import Place

PLAIN = {"model": "emoji-sd", "scheduler": "DDIM", "steps": 2}


def test_the_setting_of_the_request_is_opened() -> None:
    said = {
        "height": 64,
        "width": 48,
        "guidance_scale": 3.5,
        "batch_size": 2,
        "device": "cpu",
        "dtype": "bfloat16",
    }
    task = Task.model_validate({**PLAIN, **said})
    with open_bench(task, model_of(task, Place()), Place()) as bench:
        assert {name: getattr(bench.setting, name) for name in said} == said


@pytest.mark.parametrize(
    ("said", "given"),
    [
        ({"batch_size": 4}, {"batch_size": 2}),
        ({"device": "cpu"}, {"device": "cuda:1"}),
        ({"height": 64}, {"height": 32}),
    ],
)
def test_a_request_and_a_flag_that_differ_are_refused(said: dict, given: dict) -> None:
    with pytest.raises(
        InputError, match=r"The request asks for .*, and beside it .* is given: give one of them\."
    ):
        model_of(Task.model_validate({**PLAIN, **said}), Place(**given))


def test_any_gpu_is_cuda() -> None:
    task = Task.model_validate({**PLAIN, "device": "cuda"})
    assert placed(task, Place(device="cuda:3")).device == "cuda:3"
    assert placed(task, Place()).device == "cuda"
    assert placed(Task.model_validate(PLAIN), Place(device="cpu", batch_size=3)) == Place(
        device="cpu", batch_size=3
    )


def test_a_pipeline_with_a_plan_on_is_not_measured_and_the_plan_is_to_be_removed_first() -> None:
    pipe = tiny_sd()
    handle = apply(pipe, "deepcache(cache_interval=2)")
    with pytest.raises(InputError, match=r"already has a plan of hasten's \(DeepCache\).*first call remove\(\)"):
        pipeline_in(pipe, 4, Place())
    for plan in ("deepcache(cache_interval=3)", "taylorseer()"):
        with pytest.raises(InputError, match=r"DeepCache is already applied .*first call remove\(\)"):
            apply(pipe, plan)
    handle.remove()
    apply(pipe, "deepcache(cache_interval=3)").remove()
