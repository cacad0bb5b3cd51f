"""Trials: what they hold, what they reuse, and what becomes of plans that fail."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.support.marks import rarely

from hasten.errors import InputError, MeasurementError
from hasten.measure.bench import Bench
from hasten.measure.contract import TrialSpec
from hasten.measure.quality import Losses
from hasten.metrics import ClipScorer
from hasten.plan import Plan
from hasten.records import FEW_PAIRS, Latency, Loss
from hasten.task import Setting
from hasten.testing.pipelines import tiny_sd

SIZE, STEPS = 64, 4
DEEPCACHE = Plan.parse("deepcache(cache_branch_id=0,cache_interval=2)")
NEUTRAL = Plan.parse("deepcache(cache_branch_id=0,cache_interval=1)")


def test_a_trial_holds_latency_losses_and_environment(bench: Bench) -> None:
    told: list[str] = []
    trial = bench.trial(Plan.parse("deepcache"), TrialSpec(samples=10, pairs=2), report=told.append)
    assert (trial.status, trial.steps, trial.split) == ("ok", STEPS, "search")
    assert set(trial.plan.parameters["deepcache"]) == {"cache_branch_id", "cache_interval"}
    assert trial.environment == bench.environment
    assert trial.latency is not None
    assert len(trial.latency.times_s) == len(trial.latency.denoiser_times_s) == 2
    assert {m: loss.samples for m, loss in trial.losses.items()} == {"clip_score": 10, "ssim": 10}
    assert trial.losses["ssim"].loss > 0
    assert {m: loss.version.split(", ")[-1].split()[0] for m, loss in trial.losses.items()} == {
        "clip_score": "transformers",
        "ssim": "torchmetrics",
    }
    drawing = "drawing the baseline"
    first = [drawing, "latency 1/2", "latency 2/2", "baseline drawn 8/10", "scored 8/10"]
    assert told == [*first, drawing, "baseline drawn 10/10", "scored 10/10"]
    told.clear()
    bench.quality(DEEPCACHE, samples=2, report=told.append)
    assert told == ["baseline drawn 2/2", "scored 2/2"]


def test_a_latency_tells_of_a_method_without_effect_once(scorer: ClipScorer, words: Path) -> None:
    bench = Bench.of(tiny_sd(), steps=3, height=64, width=64, guidance_scale=1.0, scorer=scorer, prompts=words)
    found = bench.latency(Plan.parse("guidance_cutoff(cutoff_step=1)+deepcache(cache_interval=2)"), pairs=2)
    assert [warning for warning in found.warnings if "no effect" in warning] == [
        "Guidance cutoff had no effect in a call of 3 steps: it was not guided, so that the batch has no second "
        "half (a low guidance scale, a distilled model)."
    ]


def test_a_trial_survives_json(bench: Bench) -> None:
    trial = bench.trial(DEEPCACHE, TrialSpec(samples=2, pairs=1))
    assert type(trial).model_validate_json(trial.model_dump_json()) == trial


def test_a_neutral_plan_loses_exactly_nothing(bench: Bench) -> None:
    trial = bench.trial(
        NEUTRAL, TrialSpec(samples=9, pairs=1, metrics=("clip_score", "clip_image", "ssim", "psnr"))
    )
    assert len(trial.losses) == 4
    for loss in trial.losses.values():
        assert loss.loss == 0
        assert loss.interval == (0, 0)
        assert loss.scores == loss.baseline_scores


def test_splits_have_their_own_images(bench: Bench) -> None:
    search, held_out = (bench.quality(DEEPCACHE, split=s, samples=2)["clip_score"] for s in ("search", "held-out"))
    assert search.baseline_scores != held_out.baseline_scores


def test_a_baseline_image_is_drawn_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[str, int]] = []
    original = bench.pipeline.draw

    def counted(plan: Plan, split: Any, indices: Any, steps: int | None = None) -> torch.Tensor:
        drawn.extend((split, i) for i in indices if not plan)
        return original(plan, split, indices, steps)

    monkeypatch.setattr(bench.pipeline, "draw", counted)
    bench.quality(DEEPCACHE, samples=3)
    bench.trial(DEEPCACHE, TrialSpec(samples=4, pairs=1))
    bench.images(Plan(), indices=[3, 1])
    assert sorted(drawn) == [("search", i) for i in range(4)]


def test_images_are_what_a_file_would_hold(bench: Bench) -> None:
    images = bench.images(DEEPCACHE, indices=[1, 0])
    assert images.shape == (2, 3, SIZE, SIZE)
    assert torch.equal(images, (images * 255).round() / 255)
    assert not torch.equal(images, bench.images(Plan(), indices=[1, 0]))
    assert torch.equal(bench.images(Plan(), indices=[1, 0]), bench.images(Plan(), indices=[0, 1]).flip(0))


def test_a_plan_not_worth_scoring_is_skipped(bench: Bench) -> None:
    asked: list[Latency] = []

    def slow(latency: Latency) -> str:
        asked.append(latency)
        return "slower than one that is known"

    trial = bench.trial(DEEPCACHE, TrialSpec(samples=4, pairs=1, worth_scoring=slow))
    assert (trial.status, trial.reason) == ("skipped", "slower than one that is known")
    assert trial.latency == asked[0]
    assert trial.losses == {}


@pytest.mark.parametrize(("worth", "pairs"), [pytest.param(True, 4, marks=rarely()), (False, FEW_PAIRS)])
def test_a_plan_not_worth_timing_is_scored_first_and_timed_in_few_pairs(
    bench: Bench, worth: bool, pairs: int
) -> None:
    asked: list[Losses] = []
    trial = bench.trial(
        DEEPCACHE, TrialSpec(samples=3, pairs=4, worth_timing=lambda losses: bool(asked.append(losses)) or worth)
    )
    assert trial.status == "ok" and trial.losses == asked[0] and len(asked) == 1
    assert trial.latency is not None and len(trial.latency.times_s) == pairs


def test_timing_stops_early_and_the_baseline_is_warmed_up_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []
    generate = bench.pipeline.generate

    def counted(*given: Any) -> None:
        calls.append(given)
        generate(*given)

    monkeypatch.setattr(bench.pipeline, "generate", counted)
    rows: list[tuple[int, int]] = []

    def enough(baseline_s: Sequence[float], plan_s: Sequence[float]) -> bool:
        rows.append((len(baseline_s), len(plan_s)))
        return True

    for expected in (4, 3):
        calls.clear()
        trial = bench.trial(
            DEEPCACHE, TrialSpec(samples=2, pairs=3, enough=enough, worth_scoring=lambda _: "slow")
        )
        assert trial.latency is not None and len(trial.latency.times_s) == 1
        assert len(calls) == expected
    calls.clear()
    bench.latency(DEEPCACHE, pairs=2)
    assert len(calls) == 2 + 4
    assert rows == [(1, 1), (1, 1)]


def test_an_offset_takes_the_images_from_there_on(bench: Bench) -> None:
    whole = bench.quality(DEEPCACHE, samples=6)["ssim"]
    trial = bench.trial(DEEPCACHE, TrialSpec(samples=2, pairs=1, offset=4))
    assert trial.offset == 4
    assert trial.losses["ssim"].scores == pytest.approx(whole.scores[4:], abs=1e-4)
    assert trial.losses["ssim"].scores != pytest.approx(whole.scores[:2], abs=1e-4)
    assert trial.latency is not None
    fewer = bench.equal_time(trial.latency, TrialSpec(samples=2, pairs=1, offset=4)).trial
    assert fewer.offset == 4
    assert fewer.losses["clip_score"].baseline_scores == trial.losses["clip_score"].baseline_scores


def test_scoring_stops_early(bench: Bench) -> None:
    asked: list[int] = []

    def enough(losses: dict[str, Loss]) -> bool:
        asked.append(losses["ssim"].samples)
        return len(asked) == 2

    trial = bench.trial(DEEPCACHE, TrialSpec(samples=30, pairs=1, stop_early=enough))
    assert asked == [8, 16]
    assert (trial.status, trial.losses["clip_score"].samples) == ("ok", 16)


FIRST = " for 'red dog' (search image 0)."


def raises(error: BaseException) -> Callable[..., None]:
    def hook(*_: Any) -> None:
        raise error

    return hook


@contextmanager
def spoiled(bench: Bench, monkeypatch: pytest.MonkeyPatch, module: torch.nn.Module, hook: Any) -> Iterator[None]:
    """Plans, but not the baseline, run with a hook on a module of the pipeline."""
    original = bench.pipeline.installed

    @contextmanager
    def installed(plan: Plan, *how: Any) -> Iterator[None]:
        with original(plan, *how):
            handle = module.register_forward_hook(hook) if plan else None
            try:
                yield
            finally:
                if handle:
                    handle.remove()

    with monkeypatch.context() as patch:
        patch.setattr(bench.pipeline, "installed", installed)
        yield


@pytest.mark.parametrize(
    ("part", "hook", "reason"),
    [
        ("vae.decoder", lambda *args: args[2] * torch.nan, f"NaN or infinite pixels{FIRST}"),
        pytest.param("vae.decoder", lambda *args: args[2] * 0 - 1, f"A black image{FIRST}", marks=rarely()),
        pytest.param(
            "vae.decoder", lambda *args: args[2] * 0, f"An image of a single colour{FIRST}", marks=rarely()
        ),
        pytest.param(
            "unet",
            raises(torch.OutOfMemoryError("CUDA has none.\nmore")),
            "Out of memory: CUDA has none.",
            marks=rarely(),
        ),
        pytest.param(
            "unet",
            raises(RuntimeError("can't allocate memory")),
            "Out of memory: can't allocate memory",
            marks=rarely(),
        ),
        pytest.param("unet", raises(MemoryError()), "Out of memory", marks=rarely()),
        ("unet", raises(ValueError("shapes differ")), "ValueError: shapes differ"),
    ],
)
def test_a_plan_that_fails_is_a_failed_trial(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, part: str, hook: Any, reason: str
) -> None:
    before = bench.images(Plan(), indices=[5])
    with spoiled(bench, monkeypatch, _part(bench, part), hook):
        trial = bench.trial(DEEPCACHE, TrialSpec(samples=2, pairs=1))
        with pytest.raises(MeasurementError):
            bench.quality(DEEPCACHE, samples=2)
    assert (trial.status, trial.reason) == ("failed", reason)
    assert trial.losses == {}
    assert bench.trial(DEEPCACHE, TrialSpec(samples=2, pairs=1)).status == "ok"
    assert torch.equal(before, bench.pipeline.draw(Plan(), "search", [5]).float() / 255)


@contextmanager
def nan_after(scorer: ClipScorer, calls: int) -> Iterator[None]:
    """The scorer gives NaN for images, from so many calls on."""
    seen: list[object] = []

    def spoil(module: torch.nn.Module, given: Any, found: torch.Tensor) -> torch.Tensor:
        seen.append(module)
        return found * torch.nan if len(seen) > calls else found

    handle = scorer.model.visual_projection.register_forward_hook(spoil)
    try:
        yield
    finally:
        handle.remove()


def test_a_baseline_that_is_scored_with_nan_is_an_error(bench: Bench, scorer: ClipScorer) -> None:
    with (
        nan_after(scorer, 0),
        pytest.raises(MeasurementError, match="CLIP score gave nan for the image of 'red dog'"),
    ):
        bench.trial(DEEPCACHE, TrialSpec(samples=2, pairs=1))


def test_a_plan_that_is_scored_with_nan_is_a_failed_trial(bench: Bench, scorer: ClipScorer) -> None:
    """The baseline is scored first, so only the plan's images meet the fault."""
    with nan_after(scorer, 1):
        trial = bench.trial(DEEPCACHE, TrialSpec(samples=2, pairs=1))
    assert (trial.status, trial.reason) == ("failed", "CLIP score gave nan for the image of 'red dog'")


def test_a_trial_that_runs_out_of_memory_leaves_none_behind(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[weakref.ref[torch.Tensor]] = []

    def hook(*_: Any) -> None:
        big = torch.zeros(2**20)
        held.append(weakref.ref(big))
        big.new_empty(2**50)

    before = bench.trial(DEEPCACHE, TrialSpec(samples=2, pairs=1))
    with spoiled(bench, monkeypatch, bench.pipe.unet, hook):
        failed = bench.trial(DEEPCACHE, TrialSpec(samples=2, pairs=1))
    assert failed.status == "failed"
    assert failed.reason.startswith("Out of memory: ")
    assert held and not any(tensor() is not None for tensor in held)
    after = bench.trial(DEEPCACHE, TrialSpec(samples=2, pairs=1))
    assert (after.status, after.losses) == ("ok", before.losses)


def _part(bench: Bench, path: str) -> torch.nn.Module:
    root, _, rest = path.partition(".")
    module: torch.nn.Module = getattr(bench.pipe, root)
    return module.get_submodule(rest)


def test_interrupts_pass_through(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        spoiled(bench, monkeypatch, bench.pipe.unet, raises(KeyboardInterrupt())),
        pytest.raises(KeyboardInterrupt),
    ):
        bench.trial(DEEPCACHE, TrialSpec(samples=2, pairs=1))


def test_errors_of_the_callers_own_functions_pass_through(bench: Bench) -> None:
    with pytest.raises(ZeroDivisionError):
        bench.trial(DEEPCACHE, TrialSpec(samples=2, pairs=1, worth_scoring=lambda _: str(1 // 0)))
    with pytest.raises(ZeroDivisionError):
        bench.trial(DEEPCACHE, TrialSpec(samples=2, pairs=1), report=lambda _: str(1 // 0))


@pytest.mark.parametrize(
    "call",
    [
        lambda bench: bench.trial(Plan.parse("deepcache(cache_interval=0)")),
        lambda bench: bench.trial(Plan.parse("warp(factor=9)")),
        lambda bench: bench.trial(DEEPCACHE, TrialSpec(metrics=("beauty",))),
        lambda bench: bench.trial(DEEPCACHE, TrialSpec(samples=1)),
        lambda bench: bench.trial(DEEPCACHE, TrialSpec(samples=2, offset=-1)),
        lambda bench: bench.trial(DEEPCACHE, TrialSpec(pairs=0, samples=2)),
        lambda bench: bench.trial(DEEPCACHE, steps=0),
    ],
)
def test_wrong_input_is_no_failed_trial(bench: Bench, call: Callable[[Bench], object]) -> None:
    with pytest.raises(InputError):
        call(bench)


def test_a_baseline_that_fails_is_no_plans_fault(bench: Bench) -> None:
    bench.pipe.vae.decoder.register_forward_hook(lambda *args: args[2] * torch.nan)
    with pytest.raises(MeasurementError, match="The baseline itself fails: NaN"):
        bench.trial(DEEPCACHE, TrialSpec(samples=2, pairs=1))


def test_other_processes_wait_for_a_trial(bench: Bench) -> None:
    attempt = "from hasten.measure.lock import device_lock\nwith device_lock('cpu', wait=False): pass"
    codes: list[int] = []

    def during(_: Latency) -> str:
        done = subprocess.run([sys.executable, "-c", attempt], capture_output=True, check=False)
        codes.append(done.returncode)
        return "asked"

    bench.trial(DEEPCACHE, TrialSpec(samples=2, pairs=1, worth_scoring=during))
    codes.append(subprocess.run([sys.executable, "-c", attempt], check=False).returncode)
    assert codes == [1, 0]


def test_a_second_bench_takes_the_baseline_from_the_cache(
    scorer: ClipScorer, words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(**changes: Any) -> Bench:
        size = {"height": SIZE, "width": SIZE, "scorer": scorer, "prompts": words}
        return Bench.of(tiny_sd(), steps=STEPS, cache_dir=tmp_path, model_name="tiny", **size, **changes)

    images = opened().images(Plan(), indices=[0, 1])
    broken = next(tmp_path.glob("*/search-4-steps-1.png"))
    second = opened()
    with monkeypatch.context() as patch:
        patch.setattr(second.pipeline, "draw", raises(AssertionError("drawn again")))
        assert torch.equal(second.images(Plan(), indices=[0, 1]), images)
    broken.write_bytes(broken.read_bytes()[:100])
    redrawn = opened().images(Plan(), indices=[0, 1])  # alone now: batches differ in the last bit
    assert torch.allclose(redrawn, images, atol=1.1 / 255)
    assert not torch.allclose(opened(seed=1).images(Plan(), indices=[0, 1]), images, atol=0.1)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_cache_folder_that_cannot_be_written_is_a_warning(
    bench: Bench, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The images are drawn all the same; it is told once."""
    (tmp_path / "file").touch()
    without = Bench(bench.pipeline, "any", tmp_path / "file")
    assert torch.equal(without.images(Plan(), indices=[0]), bench.images(Plan(), indices=[0]))
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith("The baseline's images are not kept for later: ") and "cannot be written" in told


def test_a_cache_that_fills_up_is_a_warning(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No space left after the second file: what was drawn is no worse for it, and no draft is left."""
    written = []

    def full(handle: int) -> None:
        written.append(handle)
        if len(written) > 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("hasten.files.os.fsync", full)
    filling = Bench(bench.pipeline, "any", tmp_path)
    assert torch.equal(filling.images(Plan(), indices=[0, 1, 2]), bench.images(Plan(), indices=[0, 1, 2]))
    assert [record.getMessage() for record in caplog.records if "No space left" in record.getMessage()]
    assert sorted(path.name for path in tmp_path.glob("*/*")) == ["key.json", "search-4-steps-0.png"]
    assert len(written) == 3, "nothing more is tried"


@pytest.mark.full  # test_identity.py has what does
def test_identity_tells_apart_what_cannot_be_compared(words: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(seed_of_weights: int = 0, **changes: Any) -> dict[str, str]:
        return Bench.of(tiny_sd(seed_of_weights), steps=STEPS, model_name="tiny", scorer="a", **changes).identity

    assert opened() == opened()
    for other in (opened(seed_of_weights=1), opened(seed=1), opened(prompts=words)):
        assert other != opened()
    before = opened()
    monkeypatch.setenv("HASTEN_DINOV2", "some/dino")
    assert opened() != before


def test_opened_by_folder_and_scheduler(scorer: ClipScorer, words: Path, tmp_path: Path) -> None:
    tiny_sd().save_pretrained(tmp_path)
    setting = Setting(str(tmp_path), "UniPC", 3, SIZE, SIZE, 5.0)
    bench = Bench.open(setting, scorer=scorer, prompts=words)
    assert bench.setting == setting
    assert type(bench.pipe.scheduler).__name__ == "UniPCMultistepScheduler"
    assert bench.images(Plan(), indices=[0]).shape == (1, 3, SIZE, SIZE)
