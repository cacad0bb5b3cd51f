"""Recording tables of trials, packing them, and searching them instead of a device."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.live_bound import best_recorded
from benchmarks.tables import parts
from benchmarks.tables.plans import FEWER_STEPS, Row, canonical, pipeline_of, rows_of, setting_of, slug
from benchmarks.tables.record import main
from benchmarks.tables.replay import RecordedSpace, TableBench
from benchmarks.tables.tables import Table, load

from hasten.errors import InputError, UnknownNameError
from hasten.measure.bench import Bench
from hasten.measure.contract import TrialSpec
from hasten.plan import Plan
from hasten.predict.cost_model import CostModel
from hasten.predict.space import grid
from hasten.records import Latency, Loss
from hasten.search import SearchOptions, run_search
from hasten.task import Task

SETTING = "DDIM 2"
SAMPLES = 4
"""Of each split, recorded for real."""
BATCH = 8
METRICS = ("clip_score", "ssim")


@pytest.fixture(scope="module")
def pipe() -> Any:
    return pipeline_of(SETTING)


# --- recorded for real: in ``make test-full``; the table of known figures below has the same form


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, pipe: Any) -> Path:
    """A folder of tables: DeepCache at two steps, recorded in two goes, then timed and packed."""
    work, out = tmp_path_factory.mktemp("work"), tmp_path_factory.mktemp("tables")
    common = ["--settings", "ddim 2", "--device", "cpu", "--samples", str(2 * SAMPLES), "--work", str(work)]
    common += ["--only", "deepcache", FEWER_STEPS]
    all_but_one = len(grid(["deepcache"], pipe, 2)) - 1
    assert main(["quality", *common, "--plans", str(all_but_one)]) == 0
    before = {path: path.read_bytes() for path in work.rglob("quality-*.jsonl")}
    assert main(["quality", *common, "--limit-s", "0"]) == 0  # no time for anything
    assert {path: path.read_bytes() for path in work.rglob("quality-*.jsonl")} == before != {}
    assert main(["quality", *common, "--jobs", "2"]) == 0  # the last plan, in a process of its own
    after = {path: path.read_bytes() for path in work.rglob("quality-*.jsonl")}
    assert len(after) == len(before) + 1 and before.items() <= after.items()
    for share in ("1/2", "2/2"):
        assert main(["latency", *common, "--pairs", "1", "--share", share]) == 0
    assert main(["pack", *common, "--out", str(out)]) == 0
    return out


@pytest.mark.full
def test_a_recorded_table_holds_the_whole_grid_once(recorded: Path, pipe: Any) -> None:
    table = load(SETTING, "deepcache", recorded)
    assert sorted(row.plan for row in table.rows) == sorted(map(str, grid(["deepcache"], pipe, 2)))
    assert table.complete and table.timed.all() and not table.header["failures"]
    assert table.header["planned"] == table.header["recorded"] == table.header["timed"] == len(table) > 1
    assert {row.steps for row in load("DDIM 2", FEWER_STEPS, recorded).rows} == {1, 2}
    assert table.header["samples"] == {"search": SAMPLES, "held-out": SAMPLES}
    assert table.setting == setting_of(SETTING)
    assert len(table.header["commands"]) == 2  # of both goes
    assert all(c.startswith("python -m benchmarks.tables.record quality") for c in table.header["commands"])
    assert not any("--work" in c or str(recorded.parent) in c for c in table.header["commands"])
    assert table.times.shape == (len(table), 2, 1)
    predicted = CostModel(pipe, table.profile, 2).speedups(RecordedSpace(table, pipe))
    assert np.isfinite(predicted).sum() == len(table)


@pytest.mark.full
def test_a_replayed_search_measures_what_a_bench_does(recorded: Path, pipe: Any) -> None:
    tables = [load(SETTING, name, recorded) for name in ("deepcache", FEWER_STEPS)]
    replay, live = TableBench(tables, pipe=pipe), Bench.open(setting_of(SETTING))
    assert {k: v for k, v in replay.identity.items() if k != "replay"} == live.identity
    task = Task(model="emoji-sd", scheduler="DDIM", steps=2, methods=("deepcache",), max_loss={"clip_score": 0.99})
    found = run_search(replay, task, SearchOptions(strategy="traversal", storage="memory", num_samples=8, pairs=2))
    verdict = found.confirmed or found.best
    assert verdict is not None and verdict.split == "held-out" and found.equal_time is not None
    for trial in (next(t for t in found.trials if t.status == "ok"), verdict):
        measured = live.quality(trial.plan, split=trial.split, samples=SAMPLES)
        for metric, loss in measured.items():
            again = trial.losses[metric]  # of 8 prompts: the recorded ones twice, which has the same mean
            half_a_step = tables[0].baseline[metric].mean() / 4096
            assert again.scores == pytest.approx(loss.scores * 2, abs=half_a_step + 1e-4)
            assert again.baseline_scores == pytest.approx(loss.baseline_scores * 2, abs=1e-4)
            assert again.loss == pytest.approx(loss.loss, abs=3e-4)
            assert again.version == loss.version
    assert replay.trials >= len(found.trials) and replay.images >= BATCH


@pytest.mark.full
def test_parts_that_were_measured_otherwise_are_refused(recorded: Path, tmp_path: Path) -> None:
    header = {**load(SETTING, "deepcache", recorded).header, "baseline": {}}
    work = tmp_path / slug(SETTING)
    work.mkdir()
    parts.PartFile(work, "quality", header)
    parts.PartFile(work, "quality", {**header, "identity": {**header["identity"], "environment": "another"}})
    with pytest.raises(InputError, match=r"pipeline .* now it is 'others'"):
        parts.PartFile(work, "quality", {**header, "identity": {**header["identity"], "pipeline": "others"}})
    parts.PartFile(work, "latency", header)
    with pytest.raises(InputError, match="another --work"):
        parts.PartFile(work, "latency", {**header, "identity": {**header["identity"], "environment": "another"}})


def test_a_line_that_was_cut_off_is_not_read(tmp_path: Path) -> None:
    part = parts.PartFile(tmp_path, "quality", {"setting": {}, "identity": {"environment": "here"}})
    part.add({"plan": "baseline", "steps": 2, "failed": "a"})
    (path,) = tmp_path.iterdir()
    with path.open("a") as file:
        file.write('{"plan": "baseline", "steps": 1, "fai')
    headers, rows = parts.read(tmp_path, "quality")
    assert len(headers) == 1
    assert list(rows) == [Row("baseline", 2)]


def test_pairs_in_which_the_machine_stood_still_are_left_out(recorded: Path, tmp_path: Path) -> None:
    """Of a plan that was timed again, with a call of the baseline that took a hundred times as long."""
    work = tmp_path / slug(SETTING)
    shutil.copytree(recorded.parent / "work0" / slug(SETTING), work)
    timed = [path.read_text().splitlines() for path in work.glob("latency-*.jsonl")]
    head, line = next(
        (head, json.loads(line)) for head, *lines in timed for line in lines if '"deepcache(' in line
    )
    for name in ("baseline_times_s", "times_s"):
        line["latency"][name] *= 2
    line["latency"]["baseline_times_s"][0] *= 100
    (work / "latency-zz.jsonl").write_text("\n".join([head, json.dumps(line), ""]))
    assert main(["pack", "--device", "cpu", "--work", str(tmp_path), "--out", str(tmp_path)]) == 0
    packed = load(SETTING, "deepcache", tmp_path)
    assert packed.pairs(packed.index[Row(line["plan"], 2)]).shape == (2, 1)
    assert packed.timed.all()


# --- a table of known figures


def table(plans: Sequence[str] = ("deepcache(cache_branch_id=0,cache_interval=2)",), **changes: Any) -> Table:
    """Plan i is 2 + i times as fast, with 3 pairs, and loses 0.01 · (i + 1); 16 prompts of each split."""
    setting = asdict(setting_of(SETTING))
    header = {
        "table": "deepcache",
        "planned": 4,
        "recorded": len(plans),
        "timed": len(plans),
        "failures": {},
        "setting": setting,
        "samples": {"search": 16, "held-out": 16},
        "versions": dict.fromkeys(METRICS, "1"),
        "environments": [{"device": "cpu"}],
        "commands": [],
        "identity": {"weights": "w"},
        "prompts": "emoji",
        "seed": 0,
        "latency": {"setting": setting, "environment": {"device": "cpu"}, "profile": None, "commands": []},
    }
    header |= changes.pop("header", {})
    steps = changes.pop("steps", 2)
    baseline = {"clip_score": np.linspace(20.0, 40.0, 32), "ssim": np.ones(32)}
    scores = {m: np.stack([b * (1 - 0.01 * (i + 1)) for i in range(len(plans))]) for m, b in baseline.items()}
    times = np.stack([[[1.0, 1.1, 1.2], np.array([1.0, 1.1, 1.2]) / (2 + i)] for i in range(len(plans))])
    known = {"baseline": baseline, "scores": scores, "times": times, **changes}
    return Table(header, tuple(Row(plan, steps) for plan in plans), **known)


def bench(pipe: Any, recorded: Table | None = None, **choices: Any) -> TableBench:
    fewer = table(("baseline",), steps=1, header={"table": FEWER_STEPS})
    return TableBench([recorded or table(), fewer], pipe=pipe, **choices)


PLAN = Plan.parse("deepcache(cache_branch_id=0,cache_interval=2)")
OTHER = "deepcache(cache_branch_id=1,cache_interval=2)"


def test_a_table_survives_its_file(tmp_path: Path) -> None:
    kept = table([str(PLAN), OTHER], header={"failures": {"1": "A black image"}})
    kept.scores["ssim"][1] = np.nan
    kept.times[1, :, 2:] = np.nan
    kept.save(tmp_path / "DDIM-2" / "deepcache.npz")
    read = load(SETTING, "deepcache", tmp_path)
    assert dict(read.header) == {**kept.header, "format": 1}
    assert read.rows == kept.rows
    np.testing.assert_array_equal(read.baseline["clip_score"], kept.baseline["clip_score"])
    for metric in METRICS:
        half_a_step = kept.baseline[metric].mean() / 4096
        np.testing.assert_allclose(read.scores[metric], kept.scores[metric], rtol=0, atol=half_a_step + 1e-9)
    np.testing.assert_allclose(read.times, kept.times, rtol=1e-6)
    assert read.pairs(1).shape == (2, 2)
    assert (read.failure(0), read.failure(1)) == (None, "A black image")


def test_the_figures_of_a_table() -> None:
    found = table([str(PLAN), OTHER])
    np.testing.assert_allclose(found.losses("clip_score"), [0.01, 0.02])
    np.testing.assert_allclose(found.speedups(), [2, 3])
    loss, (low, high) = found.loss(0, "clip_score", "held-out")
    assert low <= loss == pytest.approx(0.01) and loss <= high + 1e-12
    assert found.best({"clip_score": 0.015}) == (PLAN, pytest.approx(2))
    assert found.best({"clip_score": 0.5}) == (Plan.parse(OTHER), pytest.approx(3))
    assert found.best({"clip_score": 0.001}) is None
    assert not found.complete


def test_plans_without_times_need_a_prediction(pipe: Any) -> None:
    half = table([str(PLAN), OTHER])
    half.times[1] = np.nan
    assert np.isnan(half.speedups()[1])
    assert half.speedups(lambda plan: 2.5)[1] == 2.5
    with pytest.raises(InputError, match="never timed"):
        bench(pipe, half).latency(Plan.parse(OTHER))
    latency = bench(pipe, half, predict=lambda plan: 2.5).latency(Plan.parse(OTHER), pairs=3)
    assert latency.speedup == pytest.approx(2.5)
    assert set(latency.baseline_times_s) <= {1.0, 1.1, 1.2}


def test_a_table_of_a_device_that_is_not_here_is_replayed(pipe: Any) -> None:
    header = {"setting": asdict(setting_of(SETTING, device="cuda", dtype="float16")), "latency": None}
    replay = TableBench([table(header=header)], pipe=pipe, predict=lambda plan: 2.5)
    assert replay.setting.device == "cuda"
    assert replay.quality(PLAN, samples=8)["clip_score"].loss == pytest.approx(0.01)


def test_predicted_pairs_scatter_as_recorded_ones_do(pipe: Any) -> None:
    """Around what is predicted, however few pairs each plan has; a plan's own error is in none of them."""
    own, rng = table([str(PLAN), OTHER]), np.random.default_rng(4)
    off = rng.normal(0, 0.1, own.times[:, 1].shape) + np.array([[0.3], [-0.3]])
    own.times[:, 1] = own.times[:, 0] / 2 * np.exp(off)
    latency = bench(pipe, own, predict=lambda plan: 2.5, seed=1).latency(PLAN, pairs=2000)
    logs = np.log(np.array(latency.baseline_times_s) / latency.times_s)
    within = np.mean([np.var(row, ddof=1) for row in off])
    assert logs.mean() == pytest.approx(np.log(2.5), abs=0.02)
    assert logs.var() == pytest.approx(within, rel=0.2)


def test_a_replayed_trial_stops_where_a_bench_would(pipe: Any) -> None:
    asked: list[int] = []

    def stop(losses: dict[str, Loss]) -> bool:
        asked.append(losses["clip_score"].samples)
        return True

    rows: list[int] = []

    def enough(baseline_s: Sequence[float], plan_s: Sequence[float]) -> bool:
        rows.append(len(plan_s))
        return len(plan_s) == 2

    replay = bench(pipe)
    trial = replay.trial(PLAN, TrialSpec(samples=16, stop_early=stop, enough=enough))
    assert (asked, rows) == ([8], [1, 2])
    assert trial.latency is not None and len(trial.latency.times_s) == 2
    assert trial.losses["clip_score"].scores == tuple(table().scores["clip_score"][0, :8])
    assert (replay.trials, replay.images, replay.timed_pairs) == (1, 8, 2)

    def slow(latency: Latency) -> str:
        return f"{latency.speedup:.0f}x only"

    assert replay.trial(PLAN, TrialSpec(worth_scoring=slow)).status == "skipped"
    assert (replay.trials, replay.images) == (2, 8)
    asked.clear()
    assert replay.trial(PLAN, TrialSpec(samples=8, stop_early=stop)).losses["ssim"].samples == 8
    assert asked == []  # nothing was left to stop


def test_recorded_pairs_come_each_once_and_then_again(pipe: Any) -> None:
    times = bench(pipe).latency(PLAN, pairs=7).baseline_times_s
    assert sorted(times[:3]) == sorted(times[3:6]) == [1.0, 1.1, 1.2]
    assert len(times) == 7


def test_held_out_prompts_are_others_and_begin_again_when_they_run_out(pipe: Any) -> None:
    replay = bench(pipe)
    scored = {s: replay.quality(PLAN, split=s, samples=16)["clip_score"] for s in ("search", "held-out")}
    assert scored["held-out"].baseline_scores == tuple(table().baseline["clip_score"][16:])
    assert not {*scored["search"].scores} & {*scored["held-out"].scores}
    later = replay.quality(PLAN, split="held-out", samples=8, offset=12)["clip_score"].scores
    assert later == scored["held-out"].scores[12:] + scored["held-out"].scores[:4]
    with pytest.raises(InputError, match="no fresh prompts"):
        replay.quality(PLAN, split="fresh")


def test_seeds_deal_the_prompts_anew_and_repeat(pipe: Any) -> None:
    def searched(seed: int) -> tuple[float, ...]:
        return bench(pipe, seed=seed).quality(PLAN, samples=16)["clip_score"].baseline_scores

    assert searched(1) == searched(1) != searched(2)
    replay = bench(pipe, seed=1)
    held_out = replay.quality(PLAN, split="held-out", samples=16)["clip_score"].baseline_scores
    assert sorted(searched(1) + held_out) == sorted(table().baseline["clip_score"])


def test_a_plan_that_failed_fails_again(pipe: Any) -> None:
    failed = table(header={"failures": {"0": "NaN or infinite pixels"}})
    trial = bench(pipe, failed).trial(PLAN)
    assert (trial.status, trial.reason) == ("failed", "NaN or infinite pixels")
    assert trial.latency is not None and trial.losses == {}


def test_the_equal_time_baseline_is_recorded_too(pipe: Any) -> None:
    replay = bench(pipe)
    trial = replay.trial(PLAN, TrialSpec(samples=8))
    assert trial.latency is not None
    found = replay.equal_time(trial.latency, TrialSpec(samples=8), plan_losses={m: loss(0.5, m) for m in METRICS})
    assert (found.steps, found.trial.plan) == (1, Plan())
    assert found.trial.speedup == pytest.approx(2)
    assert found.plan_loses == METRICS


def loss(value: float, metric: str) -> Loss:
    known: dict[str, Any] = {"interval": (value, value), "baseline_scores": (), "scores": ()}
    return Loss(metric=metric, baseline=1, score=1 - value, loss=value, **known)


def test_what_was_not_recorded_is_no_trial(pipe: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="RecordedSpace"):
        bench(pipe).trial(Plan.parse(OTHER))
    with pytest.raises(InputError, match="of 2"):
        TableBench([table(), table(header={"latency": None, "setting": asdict(setting_of("DDIM 3"))})], pipe=pipe)
    table().save(tmp_path / "DDIM-2" / "deepcache.npz")
    with pytest.raises(InputError, match=r"DDIM-2/deepcache\.npz"):
        load(SETTING, "tome", tmp_path)
    with pytest.raises(UnknownNameError, match="deepcache"):
        load(SETTING, "deepcash", tmp_path)


def test_proposals_between_recorded_plans_come_to_the_nearest(pipe: Any) -> None:
    rows = rows_of("deepcache,tome", pipe, 2, 3, seed=1)
    assert rows == rows_of("deepcache,tome", pipe, 2, 99, seed=1)[:3]
    sample = table([row.plan for row in rows], header={"table": "deepcache,tome"})
    space = RecordedSpace(sample, pipe)
    assert len(space) == 3
    assert {str(plan) for plan in space} == {row.plan for row in rows}
    proposed = {str(space.plan(tuple(index))) for index in np.ndindex(space.open.shape)}
    assert proposed == {row.plan for row in rows}
    space.close(sample.plans[0])
    assert not space.is_open(sample.plans[0]) and space.is_open(sample.plans[1])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["quality", "--samples", "9"], "--samples is 9"),
        (["quality", "--settings", "DDIM"], "no setting"),
        (["latency", "--pairs", "0"], "--pairs is 0"),
        (["latency", "--share", "3/2"], "--share is '3/2'"),
        (["latency", "--only", "deepcash"], "deepcash"),
        (["pack", "--work", "nowhere"], "no finished plan"),
    ],
)
def test_mistakes_are_told(
    arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*arguments, "--device", "cpu"]) == 2
    assert words in capsys.readouterr().err


def test_names_are_canonical() -> None:
    assert canonical("tome, deepcache") == "deepcache,tome"
    assert slug("DPM-Solver++ 20") == slug(slug("DPM-Solver++ 20")) == "DPM-Solverpp-20"


def test_packing_takes_up_what_came_later(recorded: Path, tmp_path: Path) -> None:
    """A table read and written again is the same file."""
    path = tmp_path / "DDIM-2" / "deepcache.npz"
    load(SETTING, "deepcache", recorded).save(path)
    again = tmp_path / "again.npz"
    shutil.copy(path, again)
    load(SETTING, "deepcache", tmp_path).save(path)
    assert path.read_bytes() == again.read_bytes()


def test_the_best_recorded_plans_keep_the_limit_on_both_splits() -> None:
    table, found = load("DDIM 25", "deepcache"), best_recorded("deepcache", 0.02, 3)
    rows = [table.plans.index(plan) for plan in found]
    assert len(set(rows)) == 3
    assert all(table.losses("clip_score", split)[row] < 0.02 for split in ("search", "held-out") for row in rows)
