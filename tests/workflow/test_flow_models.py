"""Plain requests with SD3 and FLUX from a local folder: opened, measured, written, and verified by the script."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.marks import rarely

import hasten
import hasten.api
from hasten.errors import UnsupportedError
from hasten.models import family_named
from hasten.script.claim import read_claim
from hasten.script.verify import verify
from hasten.task import Task
from hasten.testing.pipelines import tiny_flux, tiny_pixart, tiny_sd3
from hasten.workflow.opening import device_of, usual_dtype
from hasten.workflow.place import Place

MAKERS = {"sd3": tiny_sd3, "flux": tiny_flux}


@pytest.fixture(scope="module", params=["sd3", pytest.param("flux", marks=rarely())])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("models") / request.param
    MAKERS[request.param]().save_pretrained(path)
    return str(path)


@pytest.fixture
def how(tmp_path: Path) -> dict[str, Any]:
    words = tmp_path / "words.txt"
    words.write_text("a cat\na dog\na red fox\na blue bird\n", encoding="utf-8")
    size = {"height": 64, "width": 64, "prompts": str(words), "device": "cpu"}
    return {"storage": "memory", "num_samples": 8, "pairs": 1, **size}


@pytest.mark.full  # as test_api.py has of SD, and test_recorded_run.py draws with SD3
def test_a_plain_request_is_answered_with_a_script_that_holds(
    folder: str, how: dict[str, Any], tmp_path: Path
) -> None:
    task = Task(model=folder, scheduler="FlowMatchEuler", steps=2, max_loss={"ssim": 1.0})
    answer = hasten.run(task, out=tmp_path / "out", verify=False, **how)
    assert answer.status == "met" and answer.latency_s
    script = Path(answer.script)
    claim = read_claim(script)
    assert (claim.scheduler, claim.height, claim.plan) == ("FlowMatchEuler", 64, "baseline")
    found = verify(script, samples=2, pairs=1)
    assert found.holds, found.reasons


def test_a_profile_tells_where_the_time_goes(folder: str, how: dict[str, Any]) -> None:
    del how["storage"], how["num_samples"]
    task = Task(model=folder, scheduler="FlowMatchEuler", steps=2)
    found = hasten.api.profile(task, batch_sizes=[1], fresh=0, **how).batch_sizes[0].baseline
    assert found is not None
    assert set(found.parts) == {"text_encoding", "denoiser", "decoding", "rest"}
    assert all(part.seconds > 0 for part in found.parts.values())


def test_a_scheduler_of_diffusion_is_refused_before_anything_is_read(
    folder: str, how: dict[str, Any], tmp_path: Path
) -> None:
    task = Task(model=folder, scheduler="DDIM", steps=2)
    with pytest.raises(UnsupportedError, match="flow matching"):
        hasten.run(task, out=tmp_path / "out", **how)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("make", [tiny_sd3, tiny_flux])
def test_so_is_one_that_is_on_a_pipeline(make: Callable[[], Any], how: dict[str, Any]) -> None:
    pipe = make()
    pipe.scheduler = tiny_pixart().scheduler
    with pytest.raises(UnsupportedError, match=r"cannot be used with the scheduler DPM-Solver\+\+"):
        hasten.tune(pipe, steps=2, **{**how, "device": None})


@pytest.mark.parametrize(
    ("model", "dtype"),
    [("FLUX.1-dev", "bfloat16"), ("SD3", "bfloat16"), ("SDXL", "float16"), ("PixArt-sigma", "float16")],
)
def test_the_dtype_on_a_gpu_is_the_one_the_family_advises(model: str, dtype: str) -> None:
    family = family_named(model)
    assert usual_dtype("cuda:0", family) == dtype
    assert usual_dtype("cpu", family) == "float32"
    assert device_of(Place(device="cuda"), family) == ("cuda", dtype)
    assert device_of(Place(device="cuda", dtype="float32"), family) == ("cuda", "float32")
