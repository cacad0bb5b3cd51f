"""Where the time goes: the parts, that they add up, and that nothing is left on the pipeline."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DModel

from hasten.errors import InputError, UnsupportedError
from hasten.measure import _runs, blocks
from hasten.measure._halves import hook_cost_s, ratios_of
from hasten.measure._part_times import DECODE, DENOISER, TEXT, Run, _Recorder, outside_s, parts_s
from hasten.measure._runs import Runs
from hasten.measure.bench import Bench
from hasten.measure.blocks import BlockProfile, Merged, Part, profile_blocks
from hasten.measure.merging import merged_share
from hasten.measure.pipeline import Pipeline
from hasten.metrics import ClipScorer
from hasten.plan import Plan
from hasten.testing.pipelines import tiny_pixart

LEVELS = (
    "down_blocks.0",
    "down_blocks.1",
    "down_blocks.2",
    "mid_block",
    "up_blocks.1",
    "up_blocks.2",
    "up_blocks.3",
)


def hooks(pipe: Any) -> Counter[str]:
    return Counter(
        name
        for part in (pipe.unet, pipe.vae, pipe.text_encoder)
        for module in part.modules()
        for name in ("_forward_hooks", "_forward_pre_hooks")
        for _ in getattr(module, name)
    )


def test_the_parts_add_up_to_the_plain_latency(bench: Bench) -> None:
    before = hooks(bench.pipe)
    profile = profile_blocks(bench.pipeline, repeats=1)
    assert hooks(bench.pipe) == before
    assert (profile.calls, profile.steps, profile.guided) == (4, 4, True)
    call_s = profile.between_s + sum(part.full_s for part in profile.parts)
    whole_s = profile.text_s + profile.decode_s + profile.rest_s + profile.calls * call_s
    assert whole_s == pytest.approx(profile.latency_s)
    assert all(part.full_s >= 0 and part.half_s >= 0 for part in profile.parts)
    assert min(profile.text_s, profile.decode_s, profile.half_latency_s) > 0
    assert BlockProfile.model_validate_json(profile.model_dump_json()) == profile

    by_block = profile.by_block()
    assert set(by_block) == {"", "down_blocks.3", "up_blocks.0", *LEVELS}
    assert {name for name, kinds in by_block.items() if "self_attention" in kinds} == set(LEVELS)
    assert all("resnet" in kinds and "block" in kinds for name, kinds in by_block.items() if name)
    assert set(by_block[""]) == {"denoiser"}
    assert sum(sum(kinds.values()) for kinds in by_block.values()) == pytest.approx(call_s - profile.between_s)

    attentions = [part for part in profile.parts if part.kind == "self_attention"]
    tokens = {part.block: part.tokens for part in attentions}  # 8×8 latents
    assert tokens == dict(zip(LEVELS, (64, 16, 4, 1, 4, 16, 64), strict=True))
    shares = {part.tokens: [merged.share for merged in part.merged] for part in attentions}
    assert shares == {64: [6 / 64, 0.5, 0.75], 16: [1 / 16, 0.5, 0.75], 4: [0.5, 0.75], 1: []}


def test_without_guidance_both_halves_are_one(bench: Bench) -> None:
    pipeline = bench.pipeline
    alone = Pipeline(bench.pipe, replace(bench.setting, guidance_scale=1.0, steps=1), pipeline.prompts)
    profile = profile_blocks(alone, repeats=1, warmup=0)
    assert not profile.guided
    assert profile.half_latency_s == profile.latency_s
    assert all(part.half_s == part.full_s for part in profile.parts)
    assert profile.between_s == 0


def test_other_work_beside_the_runs_with_hooks_leaves_something_of_the_parts() -> None:
    block = ("down_blocks.0", "block")
    disturbed = Run(
        gaps_s=[0.0] * 5,
        calls_s=[{DENOISER: 0.01, block: 0.01}] * 3 + [{DENOISER: 9.0, block: 9.0}],
        modules=Counter({DENOISER: 4, block: 4}),
        inside=Counter({DENOISER: 4}),
    )
    hook_s = hook_cost_s([disturbed], plain_s=0.02)
    assert sum(parts_s([disturbed], hook_s).values()) == pytest.approx(0.01)  # half of what they take
    assert hook_cost_s([disturbed], plain_s=18.06 - 8 * 0.001) == pytest.approx(0.001)
    assert hook_cost_s([disturbed], plain_s=20.0) == 0.0


def test_what_cannot_be_profiled_is_an_error_before_anything_runs(bench: Bench) -> None:
    setting, prompts, unet = bench.setting, bench.pipeline.prompts, bench.pipe.unet
    with pytest.raises(UnsupportedError, match="device is 'mps'"):
        profile_blocks(Pipeline(bench.pipe, replace(setting, device="mps"), prompts))
    with pytest.raises(InputError, match="0 repeats"):
        profile_blocks(bench.pipeline, repeats=0)
    with pytest.raises(InputError, match="of 0 steps"):
        profile_blocks(bench.pipeline, steps=0)
    bench.pipe.unet = torch.compile(unet)
    with pytest.raises(UnsupportedError, match="compiled"):
        profile_blocks(bench.pipeline)
    bench.pipe.unet = UNet2DModel(
        sample_size=8, block_out_channels=(32, 32), norm_num_groups=8, layers_per_block=1,
        down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2,
    )  # fmt: skip
    with pytest.raises(UnsupportedError, match="is a UNet2DModel: the cost model needs a UNet2DConditionModel"):
        profile_blocks(bench.pipeline)


def test_a_transformer_is_profiled_by_its_blocks(scorer: ClipScorer, words: Path) -> None:
    bench = Bench.of(tiny_pixart(), steps=2, height=64, width=64, scorer=scorer, prompts=words)
    profile = profile_blocks(bench.pipeline, repeats=1, warmup=0)
    assert (profile.calls, profile.guided) == (2, True)
    call_s = profile.between_s + sum(part.full_s for part in profile.parts)
    whole_s = profile.text_s + profile.decode_s + profile.rest_s + profile.calls * call_s
    assert whole_s == pytest.approx(profile.latency_s)
    attentions = [part for part in profile.parts if part.kind == "self_attention"]
    assert {part.module: part.tokens for part in attentions} == {f"transformer_blocks.{n}": 16 for n in (0, 1)}
    assert all([merged.share for merged in part.merged] == [1 / 16, 0.5, 0.75] for part in attentions)


def test_a_part_has_its_own_seconds_only() -> None:
    clock = iter([0.0, *(1, 3), *(4, 5, 6, 9, 10, 14), *(20, 21, 22, 28, 30, 31), *(33, 35), 40])
    recorder = _Recorder(lambda: next(clock))
    block, resnet = ("mid_block", "block"), ("mid_block.resnets.0", "resnet")
    start = recorder._mark()
    call = [DENOISER, block, resnet, None, None, None]
    for key in [TEXT, None, *call, *call, DECODE, None]:
        recorder._marks.append((key, recorder._mark()))  # type: ignore[arg-type]
    run = recorder.read(start, recorder._mark(), lambda a, b: b - a)
    assert run.calls_s == [{DENOISER: 5, block: 2, resnet: 3}, {DENOISER: 2, block: 3, resnet: 6}]
    assert run.gaps_s == [4, 6, 9]
    assert run.pieces_s == [4, 16, 20]
    assert run.once_s == {TEXT: 2, DECODE: 2}
    assert parts_s([run], 0) == {DENOISER: 2.75, block: 2.25, resnet: 3.75}
    assert outside_s([run], 0) == {"text": 2, "decode": 2, "between": 6, "rest": 40 - 2 - 2 - 21 - 12}
    # Half of a hook's cost is inside its module, half around it.
    assert parts_s([run], 1) == {DENOISER: 1.75, block: 1.25, resnet: 3.25}
    assert outside_s([run], 1)["between"] == 5


def test_a_part_never_takes_less_than_nothing() -> None:
    run = Run(calls_s=[{DENOISER: 1.0}], modules=Counter({DENOISER: 1}))
    assert parts_s([run], 100.0) == {DENOISER: 0.0}


def test_merged_tokens_are_whole_ones_and_times_lie_on_a_curve() -> None:
    inside = {
        "down_blocks.1.attentions.0.transformer_blocks.0": 0.3,
        "mid_block.attentions.0.transformer_blocks.0": 1,
    }
    assert merged_share("down_blocks.1.attentions.0", 16, inside) == 4 / 16
    assert merged_share("down_blocks.1.attentions.0", 3, inside) == 0
    assert merged_share("down_blocks.1.attentions.01", 16, inside) == 0
    merged = tuple(Merged(share=s, full_s=2 + (1 - s) ** 2, half_s=1 - s) for s in (0.1, 0.5, 0.75))
    part = Part(module="x", kind="self_attention", full_s=1.5, half_s=0.5, tokens=16, merged=merged)
    assert part.seconds() == 1.5
    assert part.seconds(guidance=False) == 0.5
    assert part.seconds(share=0.25) == pytest.approx(2 + 0.75**2)
    assert part.seconds(share=0.25, guidance=False) == pytest.approx(0.75)
    assert part.seconds(share=1.0, guidance=False) == pytest.approx(0, abs=1e-9)
    with pytest.raises(InputError, match="profile it anew"):
        Part(module="x", kind="self_attention", full_s=1, half_s=1, tokens=16).seconds(share=0.5)


@pytest.mark.full  # on a CPU they do so as well
def test_on_a_gpu_the_parts_at_a_probe_add_up_to_its_own_plain_latency(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There what hooks cost in a run at a probe cannot be told from what they cost in the baseline."""
    monkeypatch.setattr(_runs, "hides_hook_cost", lambda _: True)
    runs = Runs(bench.pipeline)
    runs.take()
    for (
        half,
        plan,
    ) in runs.plain:  # as a quiet machine times them: by a busy one a probe may be faster than nothing
        runs.plain[half, plan] = [[(1.05 if plan else 1.0) * piece for piece in runs.plain[half, Plan()][0]]]
    profile = blocks._profile(runs, 1)
    once_s = profile.text_s + profile.decode_s + profile.rest_s
    assert len(runs.probes) == 3
    for probe in runs.probes:
        shares = {part: merged_share(part.module, part.tokens, ratios_of(runs, probe)) for part in profile.parts}
        call_s = profile.between_s + sum(part.seconds(share=share) for part, share in shares.items())
        assert once_s + profile.calls * call_s == pytest.approx(sum(runs.plain["full", probe][0]))
