"""Where a call's time goes: parts that add up, batch sizes, running out of memory, and fresh processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import torch

from hasten import api
from hasten.errors import InputError, MeasurementError
from hasten.measure import first_call
from hasten.measure.bench import Bench
from hasten.measure.first_call import first_calls
from hasten.measure.profile import Calls, Profile, modules_of, profile
from hasten.measure.threads import using_threads
from hasten.measure.timing import MOST_TIMES, module_timer
from hasten.metrics import ClipScorer
from hasten.models import load_pipeline
from hasten.plan import Plan
from hasten.testing.pipelines import tiny_pixart, tiny_sd, tiny_sdxl
from hasten.workflow import profiling

DEEPCACHE = Plan.parse("deepcache(cache_branch_id=0,cache_interval=2)")
PARTS = ["text_encoding", "denoiser", "decoding", "rest"]


def is_whole(calls: Calls, batch_size: int) -> None:
    """The parts make up each call, and the figures are those of the raw times."""
    assert list(calls.parts) == list(calls.parts_times_s) == PARTS
    assert all(part.share > 0 for part in calls.parts.values())
    assert sum(part.share for part in calls.parts.values()) == pytest.approx(1)
    assert sum(part.seconds for part in calls.parts.values()) == pytest.approx(calls.latency_s)
    for call in zip(calls.times_s, *calls.parts_times_s.values(), strict=True):
        assert sum(call[1:]) == pytest.approx(call[0])
    assert calls.latency_s == pytest.approx(median(calls.times_s))
    assert calls.images_per_s == pytest.approx(batch_size / calls.latency_s)
    assert calls.peak_memory_bytes is None, "only CUDA says what it allocated"


def hooks(bench: Bench) -> list[int]:
    timed = [module for modules in modules_of(bench.pipeline).values() for module in modules]
    return [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in timed]


def test_baseline_and_plan_stand_beside_each_other(bench: Bench) -> None:
    told: list[str] = []
    found = profile(bench, DEEPCACHE, batch_sizes=(2, 1, 2), pairs=2, report=told.append)
    assert (found.plan, found.setting, found.environment) == (str(DEEPCACHE), bench.setting, bench.environment)
    assert [row.batch_size for row in found.batch_sizes] == [1, 2]
    for row in found.batch_sizes:
        assert row.baseline and row.plan and row.speedup and row.speedup_interval
        is_whole(row.baseline, row.batch_size)
        is_whole(row.plan, row.batch_size)
        assert 2 <= len(row.baseline.times_s) == len(row.plan.times_s) <= 2 * MOST_TIMES
        assert row.speedup == pytest.approx(row.baseline.latency_s / row.plan.latency_s)
        assert row.speedup_interval[0] <= row.speedup <= row.speedup_interval[1]
        assert row.reason == ""
    first, second = (row.peak_resident_bytes for row in found.batch_sizes)
    assert first and second and 10**7 < first <= second
    assert told[:2] == ["batch size 1: latency 1/8", "batch size 1: latency 2/8"]
    assert hooks(bench) == [0, 0, 0]
    assert Profile.model_validate_json(found.model_dump_json()) == found


def test_the_baseline_alone(bench: Bench) -> None:
    found = profile(bench, batch_sizes=[2], pairs=3)
    (row,) = found.batch_sizes
    assert found.plan == "baseline"
    assert row.baseline and len(row.baseline.times_s) == 3
    is_whole(row.baseline, 2)
    assert (row.plan, row.speedup, row.speedup_interval) == (None, None, None)


@pytest.mark.parametrize(("make", "encoders"), [(tiny_sdxl, 2), (tiny_pixart, 1)])
def test_all_text_encoders_are_one_part(
    make: Callable[[], Any], encoders: int, scorer: ClipScorer, words: Path
) -> None:
    bench = Bench.of(make(), steps=2, height=64, width=64, scorer=scorer, prompts=words)
    assert {name: len(found) for name, found in modules_of(bench.pipeline).items()} == {
        "text_encoding": encoders,
        "denoiser": 1,
        "decoding": 1,
    }
    (row,) = profile(bench, batch_sizes=[1], pairs=1).batch_sizes
    assert row.baseline
    is_whole(row.baseline, 1)


def test_modules_of_a_part_are_summed_and_asking_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])

    class Spends(torch.nn.Module):
        def __init__(self, seconds: float) -> None:
            super().__init__()
            self.seconds = seconds

        def forward(self) -> None:
            clock[0] += self.seconds

    one, two, other, untimed = Spends(1), Spends(2), Spends(10), Spends(100)
    with module_timer({"both": [one, two], "other": [other]}, "cpu") as seconds:
        for module in (one, untimed, two, one, other, untimed):
            module()
        assert seconds() == {"both": 4.0, "other": 10.0}
        assert seconds() == {"both": 0.0, "other": 0.0}
        two()
        assert seconds() == {"both": 2.0, "other": 0.0}
    with module_timer({"both": [one]}, "meta") as seconds:
        one()
        assert seconds() == {}, "a device without clock or events"


def before_decoding(bench: Bench, happen: Callable[[int], object]) -> None:
    """``happen`` is called with the batch size before each decoding."""

    def hook(module: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        happen(len(inputs[0]))

    bench.pipe.vae.decoder.register_forward_pre_hook(hook)


def more_than_there_is() -> torch.Tensor:
    return torch.empty(2**60, dtype=torch.uint8)


def test_larger_batches_are_not_tried_after_one_that_ran_out_of_memory(bench: Bench) -> None:
    seen: list[int] = []

    def happen(size: int) -> None:
        seen.append(size)
        if size >= 2:
            more_than_there_is()

    before_decoding(bench, happen)
    found = profile(bench, DEEPCACHE, batch_sizes=(1, 2, 3, 5), pairs=1)
    fine, full, *untried = found.batch_sizes
    assert fine.baseline and fine.plan and fine.reason == ""
    assert full.reason.startswith("baseline: Out of memory: ") and full.baseline is None
    assert [row.reason for row in untried] == ["Not tried: 2 already ran out of memory."] * 2
    assert set(seen) == {1, 2} and seen.count(2) == 1
    assert hooks(bench) == [0, 0, 1], "the test's own"


def test_a_plan_that_runs_out_of_memory_is_named(bench: Bench) -> None:
    def accelerated() -> bool:
        return any("forward" in vars(module) for module in bench.pipe.unet.modules())

    before_decoding(bench, lambda _: accelerated() and more_than_there_is())
    (row,) = profile(bench, DEEPCACHE, batch_sizes=[1], pairs=1).batch_sizes
    assert row.reason.startswith(f"{DEEPCACHE}: Out of memory: ")
    assert not accelerated()


def test_any_other_failure_ends_the_profile(bench: Bench) -> None:
    def happen(_: int) -> None:
        raise ValueError("the decoder is broken")

    before_decoding(bench, happen)
    with pytest.raises(MeasurementError, match="baseline: ValueError: the decoder is broken"):
        profile(bench, batch_sizes=[1], pairs=1)


@pytest.mark.parametrize(
    ("sizes", "pairs", "plan", "part"),
    [
        ((), 3, "", "batch sizes"),
        ((1, 0), 3, "", "batch sizes"),
        ((1,), 0, "", "number of pairs is 0"),
        ((1,), 3, "deepcache(cache_interval=0)", "cache_interval is 0"),
        ((1,), 3, "deepcahe", "Did you mean 'deepcache'"),
    ],
)
def test_what_cannot_be_is_said_before_anything_runs(
    bench: Bench, sizes: Sequence[int], pairs: int, plan: str, part: str
) -> None:
    before_decoding(bench, lambda _: pytest.fail("something ran"))
    with pytest.raises(InputError, match=part):
        profile(bench, Plan.parse(plan), batch_sizes=sizes, pairs=pairs)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny"
    tiny_sd().save_pretrained(path)
    return path


@pytest.mark.full  # what is asked of the process is below
def test_first_calls_in_processes_of_their_own(folder: Path, bench: Bench) -> None:
    setting, told = replace(bench.setting, model=str(folder), batch_size=2), list[str]()
    prompts = bench.pipeline.prompts
    found = list(first_calls(setting, [Plan(), DEEPCACHE], prompts, report=told.append))
    assert [one.plan for one in found] == ["baseline", str(DEEPCACHE)]
    for one in found:
        assert one.batch_size == 2
        assert one.import_s > 0 and one.load_s > 0
        assert list(one.parts_s) == PARTS[:-1]
        assert 0 < sum(one.parts_s.values()) < one.call_s
    assert told[-1] == f"first call in a fresh process: {DEEPCACHE}, 1 of 1"


def test_first_calls_are_made_with_the_threads_of_the_profile(
    folder: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here without the process: what it is given, and what it does with that."""
    used = list[int]()

    def loading(*given: Any) -> Any:
        used.append(torch.get_num_threads())
        return load_pipeline(*given)

    monkeypatch.setattr(first_call, "load_pipeline", loading)
    monkeypatch.setattr(first_call, "ask", lambda _, given, *__: first_call._work(given).model_dump())
    setting = replace(bench.setting, model=str(folder))
    with using_threads(1):
        for threads in (None, 2):
            list(first_calls(setting, [Plan()], bench.pipeline.prompts, threads=threads))
    assert used == [1, 2]


@pytest.mark.full  # test_fresh_process.py has what fails there
def test_a_first_call_that_cannot_be_says_why(folder: Path, bench: Bench) -> None:
    setting = replace(bench.setting, model=str(folder.with_name("elsewhere")))
    with pytest.raises(InputError, match=r"No model folder at .*elsewhere"):
        list(first_calls(setting, [Plan()], bench.pipeline.prompts))


@pytest.mark.full  # test_profile_command.py profiles by the command
def test_a_request_is_profiled_from_python(folder: Path, words: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = f'Generate a "{folder}" pipeline using the DDIM sampler with 2 steps'
    how = {"device": "cpu", "height": 64, "width": 64, "prompts": str(words), "pairs": 1}
    found = api.profile(request, batch_sizes=[2], fresh=0, **how)
    assert (found.setting.steps, found.setting.batch_size, found.setting.height) == (2, 2, 64)
    assert found.batch_sizes[0].baseline and not found.first_calls
    calls = list[dict[str, Any]]()
    monkeypatch.setattr(profiling, "first_calls", lambda *_, **given: calls.append(given) or [])
    for threads in (1, 2):
        api.profile(request, batch_sizes=[1], fresh=1, threads=threads, **how)
    assert [given["threads"] for given in calls] == [1, 2]
    with pytest.raises(InputError, match="give the plan beside a plain request"):
        api.profile(f"{request}, accelerated by DeepCache")
    with pytest.raises(InputError, match="first calls is -1"):
        api.profile(request, fresh=-1)
