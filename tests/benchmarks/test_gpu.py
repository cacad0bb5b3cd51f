"""The benchmark of true-size models: their configurations, and a dry run of the same structures, small."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
import torch
from benchmarks.gpu.__main__ import BUILDERS, main
from benchmarks.gpu.sections import Stage, _compiled
from benchmarks.gpu.subjects import Maker, Subject
from benchmarks.lines import Lines, lines_of
from diffusers import UNet2DConditionModel

from hasten.methods import METHODS
from hasten.plan import Plan
from hasten.task import Setting
from hasten.testing.pipelines import tiny_sd

WEIGHTS = {
    "SD1.5": {"unet": 859_520_964, "text_encoder": 123_060_480, "vae": 83_653_863},
    "SD2.1": {"unet": 865_910_724, "text_encoder": 340_387_840, "vae": 83_653_863},
    "SDXL": {
        "unet": 2_567_463_684,
        "text_encoder": 123_060_480,
        "text_encoder_2": 694_659_840,
        "vae": 83_653_863,
    },
    "FLUX.1-dev": {"transformer": 11_901_408_320, "vae": 83_819_683},
}
"""As published."""
OTHERS = ("guidance_cutoff", "taylorseer", "channels_last")
"""The methods of a UNet that are measured alone only."""
ROUGHLY = {"PixArt-sigma": 0.61e9, "SD3.5-medium": 2.24e9}


def made(name: str) -> Subject:
    return BUILDERS[name](Maker("cpu", torch.float32, tiny=True))


@pytest.mark.parametrize("name", BUILDERS)
def test_true_models_have_as_many_weights_as_the_published_ones(name: str) -> None:
    subject = BUILDERS[name](Maker("meta", torch.float16))
    parts = {n: part for n, part in subject.pipe.components.items() if isinstance(part, torch.nn.Module)}
    counts = {n: sum(p.numel() for p in part.parameters()) for n, part in parts.items()}
    if name in WEIGHTS:
        assert counts == WEIGHTS[name]
    else:
        assert counts["transformer"] == pytest.approx(ROUGHLY[name], rel=0.01)
    assert {p.dtype for part in parts.values() for p in part.parameters()} == {torch.float16}
    assert subject.side == {"SD1.5": 512, "SD2.1": 768}.get(name, 1024)


def small_unet() -> UNet2DConditionModel:
    """Two levels: it is traced soon."""
    return UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(16, 16),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        norm_num_groups=8,
        cross_attention_dim=32,
        attention_head_dim=2,
    ).eval()


def run(out: Path, *arguments: str) -> int:
    few = ("--pairs", "1", "--neutral-calls", "1", "--rounds", "2", "--repeats", "1", "--plans", "5")
    return main(["--tiny", "--device", "cpu", "--steps", "3", *few, "--out", str(out), *arguments])


def named(out: Path, beginning: str) -> Sequence[str]:
    return [line["name"] for line in lines_of(out) if line["name"].startswith(beginning)]


@pytest.mark.full  # parts of it are below
def test_a_dry_run_of_a_unet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "gpu.jsonl"
    assert run(out, "--models", "SD1.5") == 0
    shown = capsys.readouterr().out
    for title in ("Baseline", "limit", "Methods", "Overhead", "beside the packages", "Cost model"):
        assert title in shown, title
    assert "Failed" not in shown
    assert f"torch {torch.__version__}" in shown and "--models SD1.5" in shown
    assert len(named(out, "plan ")) == 7 + len(OTHERS) and len(named(out, "call 1 deepcache(")) == 5
    idle = [m.name for m in METHODS.all() if "unet" in m.denoisers and m.neutral(tiny_sd()) is not None]
    assert named(out, "neutral ") == [f"neutral {name}" for name in (*idle, "baseline")]
    compared = [set(Plan.parse(name.removeprefix("upstream ")).methods) for name in named(out, "upstream ")]
    assert compared.pop(0) == {"none"}, "the control"
    assert len(compared) == 5 and not any({"tgate", "tome"} <= methods for methods in compared)
    before = out.read_bytes()
    out.write_bytes(before + b'{"key": "cut off')
    assert run(out, "--models", "SD1.5") == 0  # nothing is left to do
    assert out.read_bytes() == before
    capsys.readouterr()
    assert main(["--show", "--out", str(out)]) == 0
    assert capsys.readouterr().out == shown


@pytest.mark.full
def test_a_dry_run_of_the_transformers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "gpu.jsonl"
    models = [name for name in BUILDERS if name not in ("SD1.5", "SD2.1", "SDXL")]
    assert run(out, "--models", *models, "--batches", "2") == 0
    shown = capsys.readouterr().out
    assert len(named(out, "baseline")) == len(named(out, "denoiser")) == len(models) == 3
    assert "Failed" not in shown
    assert any("tgate" in plan and "tome" in plan for plan in named(out, "plan ")), "PixArt's, together"
    assert all(f"{name} 128², 3 steps, batch 2" in shown for name in models)


def test_only_plans_that_have_a_method(tmp_path: Path) -> None:
    out = tmp_path / "gpu.jsonl"
    assert run(out, "--models", "SD1.5", "--only", "methods", "--having", "deepcache", "tgate") == 0
    assert [set(Plan.parse(name.removeprefix("plan ")).methods) for name in named(out, "plan ")] == [
        {"deepcache", "tgate"},
        {"deepcache", "tgate", "tome"},
    ]


def test_the_work_of_a_denoiser_is_that_of_its_products(tmp_path: Path) -> None:
    """Twice the batch is twice the work, and a run with guidance calls the denoiser once a step."""
    out = tmp_path / "gpu.jsonl"
    assert run(out, "--models", "SD1.5", "--only", "baseline", "--batches", "1", "2") == 0
    one, two = (line for line in lines_of(out) if line["name"] == "denoiser")
    assert two["flops"] == 2 * one["flops"] > 1e6
    assert one["calls"] == two["calls"] == 3
    unet = made("SD1.5").pipe.unet
    assert one["weights_bytes"] == 4 * sum(p.numel() for p in unet.parameters())


def test_no_measurement_begins_after_the_limit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "gpu.jsonl"
    assert run(out, "--limit-s", "0") == 0
    assert not out.exists()
    assert "goes on from here" in capsys.readouterr().err
    assert main(["--show", "--out", str(out)]) == 2
    assert "measure first" in capsys.readouterr().err


def test_compiled_with_a_method_on_top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs are traced as ever, and run as they are: to compile them takes a CPU minutes."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    subject = made("SD1.5")
    subject.pipe.unet = small_unet()
    bench = subject.bench(steps=2, batch_size=1)
    lines = Lines(tmp_path / "gpu.jsonl", bench.setting, bench.environment)
    stage = Stage(bench, lines, argparse.Namespace(pairs=1), float("inf"))
    found = _compiled(stage, Plan.parse("compile(mode=default)+deepcache(cache_branch_id=0,cache_interval=2)"))
    assert found["graphs"] >= 1 and found["recompiled"] == 0
    assert found["cold_s"] > 0 and [len(calls) for calls in found["second"]] == [3]


def test_settings_do_not_share_lines(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    one, two = (Setting("a", "DDIM", steps, 8, 8, 1.0) for steps in (1, 2))
    Lines(path, one, {}).add("x", value=1)
    assert Lines(path, one, {}).found["x"]["value"] == 1
    assert not Lines(path, two, {}).found and not Lines(path, one, {"gpu": "other"}).found
    assert json.loads(path.read_text())["name"] == "x"
