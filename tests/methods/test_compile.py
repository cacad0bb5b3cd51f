"""Compilation: compiled once however often it is put on, beside what it goes with, and gone without a trace."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from tests.contracts.expected import EXPECTED
from tests.support.marks import rarely
from torch._dynamo.utils import counters

from hasten.errors import InputError, MeasurementError, ParameterError, UnsupportedError
from hasten.language.parse import parse
from hasten.methods import METHODS, apply
from hasten.methods import compile as compile_method
from hasten.plan import Plan
from hasten.testing.generating import attributes, counting, fresh, latents, shared

TAYLORSEER = "taylorseer(cache_interval=2,disable_cache_before_step=2)"
DEEPCACHE = "deepcache(cache_branch_id=0,cache_interval=2)"


@pytest.fixture(autouse=True)
def counted_anew() -> None:
    """What other tests of this process compiled does not count."""
    torch._dynamo.reset()
    counters.clear()


def small() -> Any:
    """Stable Diffusion with transformer blocks of one shape: one compilation serves them all."""
    pipe = fresh("sd")
    torch.manual_seed(3)
    config = {
        **pipe.unet.config,
        "block_out_channels": (32, 32),
        "layers_per_block": 1,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "mid_block_type": "UNetMidBlock2D",
    }
    pipe.unet = UNet2DConditionModel.from_config(config).eval()
    return pipe


@pytest.fixture(params=["eager", pytest.param("inductor", marks=rarely())])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """``make test`` traces the graphs and runs them as they are: to compile them takes a CPU most of a minute."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=request.param))


@pytest.mark.usefixtures("backend")
def test_blocks_are_compiled_once_and_the_pipeline_comes_back() -> None:
    pipe = small()
    before, baseline = attributes(pipe), latents(pipe)
    with apply(pipe, DEEPCACHE):
        plain = latents(pipe)
    with apply(pipe, f"compile+{DEEPCACHE}", 4):
        first = latents(pipe)
        graphs = counters["stats"]["unique_graphs"]
        assert torch.equal(latents(pipe), first)
    assert graphs and not counters["graph_break"]
    tolerance = EXPECTED["compile"]["tolerance"]
    assert (first - plain).norm() <= tolerance * plain.norm(), "compiled, it caches as it did"
    assert attributes(pipe) == before, "something is left on the denoiser"
    assert torch.equal(latents(pipe), baseline)
    with apply(pipe, f"compile+{DEEPCACHE}", 4):
        assert torch.equal(latents(pipe), first)
    with apply(pipe, TAYLORSEER, 4):
        plain = latents(pipe)
    with apply(pipe, f"compile+{TAYLORSEER}", 4), counting(pipe.unet) as counts:
        forecast = latents(pipe)
        assert torch.equal(latents(pipe), forecast)
    assert counts["calls"] == 8 and counts["resnets"] == 2 * 3 * len(list(_of(pipe, "ResnetBlock2D")))
    assert (forecast - plain).norm() <= tolerance * plain.norm(), "compiled, it forecasts as it did"
    assert counters["stats"]["unique_graphs"] == graphs, "compiled anew"


def _of(pipe: Any, kind: str) -> Iterator[Any]:
    return (module for module in pipe.unet.modules() if type(module).__name__ == kind)


@pytest.mark.usefixtures("backend")
def test_where_torch_would_give_up_compiling_it_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks have two shapes here, of 256 tokens and of 64."""
    monkeypatch.setattr(compile_method, "RECOMPILATIONS", 1)
    pipe, limit = small(), torch._dynamo.config.recompile_limit
    before, baseline = attributes(pipe), latents(pipe, num_inference_steps=1)
    told = "UNet2DConditionModel had to be compiled more than 1 times"
    with apply(pipe, "compile"), pytest.raises(MeasurementError, match=told):
        latents(pipe, num_inference_steps=1)
    assert attributes(pipe) == before and torch.equal(latents(pipe, num_inference_steps=1), baseline)
    assert torch._dynamo.config.recompile_limit == limit
    assert not torch._dynamo.config.fail_on_recompile_limit_hit


@pytest.mark.parametrize(("family", "other"), [("sd", "tgate"), ("sd", "tome"), ("pixart", "first_block_cache")])
def test_what_changes_inside_the_blocks_is_refused_beside_it(family: str, other: str) -> None:
    pipe = shared(family)
    before, reason = attributes(pipe), "is inside the blocks that the other compiles: use one of them"
    with pytest.raises(InputError, match=reason):
        apply(pipe, f"compile+{other}", 4)
    with (
        apply(pipe, other),
        pytest.raises(InputError, match=f"{METHODS.get(other).title} is already applied .* {reason}"),
    ):
        apply(pipe, "compile")
    assert attributes(pipe) == before


def test_what_is_compiled_already_is_refused() -> None:
    whole, part = small(), small()
    whole.unet = torch.compile(whole.unet)
    part.unet.compile_repeated_blocks()
    for pipe in (whole, part):
        with pytest.raises(UnsupportedError, match="the UNet2DConditionModel is compiled already"):
            apply(pipe, "compile")


def test_its_line_is_kept_to() -> None:
    pipe = shared("sd")
    for plan in EXPECTED["compile"]["illegal"]:
        with pytest.raises(ParameterError, match="Compile"):
            apply(pipe, plan, 4)
    with apply(pipe, EXPECTED["compile"]["effective"], 4), pytest.raises(InputError, match="already applied"):
        apply(pipe, "compile")
    assert METHODS.get("compile").neutral(pipe, 4) is None


@pytest.mark.parametrize(
    "words",
    ["Make SD1.5 faster with torch.compile (mode default)", "编译并加速SD1.5流水线，mode=default"],
)
def test_requests_name_it(words: str) -> None:
    task = parse(words)
    assert task.methods == ("compile",)
    assert str(Plan.of(task.parameters)) == "compile(mode=default)"
