"""The whole story on a tiny real pipeline: from a task to script and report, and back from the plan."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import hasten
import hasten.api
from hasten.errors import InputError, ParameterError, UnknownNameError, UnsupportedError
from hasten.search import Progress
from hasten.task import Task
from hasten.testing.pipelines import tiny_sd

STEPS = 4


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_sd().save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("prompts") / "prompts.txt"
    path.write_text("a cat\na dog\na red fox\na blue bird\n", encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One for all: what a test finds there from another does not change its answer."""
    return str(tmp_path_factory.mktemp("store") / "trials.db")


def task(model: str, **changes: Any) -> Task:
    """SSIM alone, since on random weights no scorer says anything."""
    known: dict[str, Any] = {
        "model": model,
        "scheduler": "DDIM",
        "steps": STEPS,
        "methods": ("deepcache",),
        "max_loss": {"ssim": 1.0},
    }
    return Task(**{**known, **changes})


@pytest.fixture
def run(tmp_path: Path, prompts: str, storage: str) -> Any:
    def call(request: str | Task, **changes: Any) -> hasten.Answer:
        how = {"strategy": "traversal", "storage": storage, "num_samples": 8, "pairs": 2, "search_pairs": 1}
        where = {"device": "cpu", "height": 64, "width": 64, "prompts": prompts}
        return hasten.run(request, **{"out": tmp_path / "out", **how, **where, **changes})

    return call


@pytest.mark.full  # the command does so in test_cli.py
def test_given_parameters_are_met_with_a_script_and_a_report(run: Any, model: str, tmp_path: Path) -> None:
    answer = run(task(model, parameters={"deepcache": {"cache_interval": 2}}))
    # the fresh process measures times, which may refute the claim on a busy machine: the status follows it
    assert answer.verified is not None
    assert (answer.status, answer.exit_code) == (("met", 0) if answer.verified else ("likely", 1))
    assert str(answer.plan) == "deepcache(cache_branch_id=0,cache_interval=2)"
    assert answer.parameters == {"deepcache": {"cache_branch_id": 0, "cache_interval": 2}}
    assert answer.confirmed and answer.confirmed.split == "held-out"
    assert answer.quality_loss == answer.confirmed.losses["ssim"].loss
    assert answer.equal_time and 1 <= answer.equal_time.steps <= STEPS
    script = Path(answer.script)
    assert script.parent == tmp_path / "out"
    compile(script.read_text(encoding="utf-8"), str(script), "exec")
    page = Path(answer.report).read_text(encoding="utf-8")
    assert page.count("data:image/png") >= 12
    assert json.loads((tmp_path / "out" / "answer.json").read_text()) == answer.to_json()
    assert len(json.loads((tmp_path / "out" / "trials.json").read_text())) == 1


def test_fifty_times_is_infeasible_and_names_the_best(run: Any, model: str, tmp_path: Path) -> None:
    seen: list[Progress] = []
    wanted = task(model, target={"speedup": 50}, parameters={"deepcache": {"cache_branch_id": 0}})
    answer = run(wanted, progress=seen.append)
    assert (answer.status, answer.exit_code, answer.script) == ("infeasible", 3, None)
    assert answer.best is not None and answer.best.speedup is not None
    assert str(answer.best.plan).startswith("deepcache(cache_branch_id=0,")
    assert re.match(r"50x is out of reach here; the best within 1 \(ssim\) is \d\.\d\dx", answer.reason)
    assert str(answer.best.plan) in answer.reason
    assert answer.to_json()["best"]["plan"] == str(answer.best.plan)
    assert Path(answer.report).exists()
    assert {p.stage for p in seen} == {"search", "fallback", "confirm", "compare", "report"}
    assert len(list((tmp_path / "out").glob("*.py"))) == 0


@pytest.mark.full  # test_time.py has answers in short time
def test_a_time_that_is_too_short_is_said_first_and_ends_undecided(
    run: Any, model: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[Progress] = []
    own = {"storage": str(tmp_path / "own.db"), "max_time_s": 0.01}
    answer = run(task(model, target={"speedup": 30}), progress=seen.append, **own)
    assert (answer.status, answer.exit_code, answer.script) == ("undecided", 4, None)
    assert answer.trials == 1 and answer.best is not None and str(answer.best.plan) in answer.reason
    assert "not found within 1 trial and 0.01 s" in answer.reason
    (longer,) = (text for text in answer.warnings if "longer than the 0.01 s" in text)
    parts = ("one trial", "the verdict", "fewer steps in equal time", "the verification")
    assert all(f"{part} " in longer for part in parts) and "a profile" not in longer
    assert longer in caplog.text
    told = [p.message == longer for p in seen]
    assert any(told) and not any(p.trial for p in seen[: told.index(True)]), "before anything is measured"
    assert "Undecided" in Path(answer.report).read_text(encoding="utf-8")


@pytest.mark.full  # the other parts of the time are told above
def test_a_profile_counts_into_the_time_until_it_is_kept(run: Any, model: str, tmp_path: Path) -> None:
    own = {"storage": str(tmp_path / "own.db"), "max_time_s": 0.01, "strategy": "guided", "verify": False}
    first = run(task(model, target={"speedup": 3}), **own)
    again = run(task(model, target={"speedup": 3.1}), **own)
    (longer, later) = (next(w for w in a.warnings if "longer than" in w) for a in (first, again))
    assert "a profile " in longer and "the verification" not in longer
    assert "a profile " not in later and "one trial " in later


def test_enough_time_is_no_matter(run: Any, model: str) -> None:
    answer = run(task(model, parameters={"deepcache": {"cache_interval": 2}}), max_time_s=3600.0, verify=False)
    assert answer.status == "met" and not any("longer than" in text for text in answer.warnings)


@pytest.mark.full  # a plan gets one in test_cli.py
def test_a_plain_pipeline_gets_its_script(run: Any, model: str) -> None:
    answer = run(task(model, methods=()))
    assert (answer.status, answer.plan_text, answer.speedup) == ("met", "baseline", None)
    assert answer.latency_s and answer.latency_s > 0
    assert answer.equal_time is None
    assert "hasten" not in Path(answer.script).read_text().split("def ")[-1]


def test_tune_refuses_a_speedup_that_is_none() -> None:
    with pytest.raises(InputError, match="The target is 1x, which the plain pipeline has already"):
        hasten.tune(tiny_sd(), steps=STEPS, speedup=1)


def test_over_the_limit_is_infeasible(run: Any, model: str) -> None:
    given = task(model, parameters={"deepcache": {"cache_interval": 4}}, max_loss={"ssim": 0.0})
    answer = run(given)
    assert answer.status == "infeasible"
    assert re.search(r"over the limit: ssim loss 0\.\d+, limit 0", answer.reason)


def test_the_same_request_again_measures_no_plan_anew(run: Any, model: str, monkeypatch: Any) -> None:
    from hasten.measure.bench import Bench

    given = task(model, parameters={"deepcache": {"cache_interval": 2}})
    # not verified: what a fresh process measures on a busy machine may correct the one answer and not the other
    first = run(given, verify=False)
    monkeypatch.setattr(Bench, "trial", lambda *_, **__: pytest.fail("measured again"))
    second = run(given, verify=False)
    assert second.confirmed == first.confirmed


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"methods": ("deepcash",)}, UnknownNameError, "Did you mean 'deepcache'"),
        ({"scheduler": "DIMM"}, UnknownNameError, "DDIM"),
        ({"model": "SD1.6"}, UnknownNameError, "SD1.5"),
        ({"max_loss": {"clip": 0.1}}, UnknownNameError, "clip_score"),
        ({"parameters": {"deepcache": {"cache_interval": 0}}}, ParameterError, "cache_interval is 0"),
        ({"parameters": {"deepcache": {"cache_interval": STEPS + 1}}}, ParameterError, "1 to 4"),
        ({"parameters": {"tome": {"ratio": 0.5}}, "target": {"speedup": 2}}, InputError, "tome"),
    ],
)
def test_bad_input_writes_and_measures_nothing(
    run: Any, model: str, tmp_path: Path, changes: dict[str, Any], error: type[InputError], words: str
) -> None:
    with pytest.raises(error, match=re.escape(words)):
        run(task(**{"model": model, **changes}))
    assert not (tmp_path / "out").exists()


@pytest.mark.full  # test_cli.py verifies with the set of the model
def test_prompts_may_be_a_list_which_the_script_finds_again(run: Any, model: str, tmp_path: Path) -> None:
    given = ["a cat", "a dog", "a red fox", "a blue bird", "a cat"]
    answer = run(task(model, parameters={"deepcache": {"cache_interval": 2}}), prompts=given)
    assert answer.verified is not None, "the fresh process drew them"
    (kept,) = (tmp_path / "out").glob("prompts-*.json")
    assert json.loads(kept.read_text(encoding="utf-8")) == given
    assert str(kept) in Path(answer.script).read_text(encoding="utf-8")


def test_an_answer_is_shown_in_a_line(run: Any, model: str) -> None:
    answer = run(task(model, parameters={"deepcache": {"cache_interval": 2}}), verify=False)
    shown = repr(answer)
    assert len(shown) < 250 and "\n" not in shown and str(answer) == shown
    assert shown.startswith(f"<Answer {answer.status}: {answer.plan} {answer.speedup:.2f}x (")
    assert f"loss {answer.quality_loss:.4f}" in shown
    assert len(repr(answer.confirmed)) < 250


def test_what_is_public_is_listed() -> None:
    public = [name for name in dir(hasten) if not name.startswith("_")]
    assert public == sorted(hasten.__all__) and all(getattr(hasten, name) for name in public)


def test_steps_and_time_may_be_text_and_a_method_its_name(prompts: str, storage: str) -> None:
    """As people write them; left out, the steps are those of the pipeline's own call."""
    small: dict[str, Any] = {
        "height": 64,
        "width": 64,
        "prompts": ["a cat", "a dog"],
        "num_samples": 8,
        "pairs": 1,
    }
    known: dict[str, Any] = {
        "max_loss": {"ssim": 1.0},
        "max_trials": 1,
        "strategy": "random",
        "storage": storage,
        **small,
    }
    answer = hasten.tune(tiny_sd(), steps="4", methods="deepcache", max_time="600s", **known)  # type: ignore[arg-type]
    assert answer.task.steps == 4 and answer.task.methods == ("deepcache",)


def test_a_sentence_that_is_no_request_is_refused(run: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        run("make it nice")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_refused_first(run: Any, model: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/hasten")):
        with pytest.raises(InputError, match="output folder"):
            run(task(model), out=place)


def test_a_model_folder_without_its_files_is_refused(run: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"model_index\.json"):
        run(task(str(tmp_path / "empty")))
    assert not (tmp_path / "out").exists()


def test_upstream_combinations_known_to_be_wrong_are_refused_before_measuring(run: Any, model: str) -> None:
    with pytest.raises(UnsupportedError, match="known to go wrong"):
        run(task(model, methods=("tgate", "tome")), runtime="upstream")


def test_tune_leaves_the_pipeline_as_it_was_and_its_plan_accelerates(prompts: str, storage: str) -> None:
    pipe = tiny_sd()

    def image() -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        return pipe(
            "a cat", num_inference_steps=STEPS, height=64, width=64, generator=generator, output_type="pt"
        ).images

    before = image()
    answer = hasten.tune(
        pipe,
        steps=STEPS,
        max_loss={"ssim": 1.0},
        methods=["DeepCache"],
        strategy="random",
        max_trials=3,
        storage=storage,
        num_samples=8,
        pairs=2,
        height=64,
        width=64,
        prompts=prompts,
    )
    assert answer.trials == 3
    plan = answer.shown.plan
    assert plan.methods == ("deepcache",)
    assert torch.equal(image(), before)
    with hasten.accelerate(pipe, plan):
        assert not torch.equal(image(), before)
    assert torch.equal(image(), before)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"speedup": -2.0}, "speedup"),
        ({"speedup": float("nan")}, "speedup"),
        ({"speedup": 2.0, "latency_s": 1.0}, "Two targets"),
        ({"max_loss": 1.5}, "0 to 1"),
        ({"methods": []}, "methods is empty"),
        ({"methods": ["deepcash"]}, "deepcache"),
        ({"steps": 0}, "steps is 0"),
        ({"max_loss": {"clip": 0.1}}, "clip_score"),
        ({"strategy": "fast"}, "traversal"),
    ],
)
def test_tune_refuses_impossible_wishes(prompts: str, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        hasten.tune(tiny_sd(), **{"steps": STEPS, "prompts": prompts, **changes})


CALLS: dict[str, tuple[Callable[[], object], str]] = {
    "no prompts": (lambda: hasten.tune(tiny_sd(), steps=STEPS, prompts=[]), "prompts is []: give a list"),
    "no function": (
        lambda: hasten.tune(tiny_sd(), steps=STEPS, progress=5),  # type: ignore[arg-type]
        "progress is 5: it must be a function",
    ),
    "no folder": (lambda: hasten.run("emoji-sd 2x", out=5), "out is 5: it must be a path"),  # type: ignore[arg-type]
    "no folder of a batch": (
        lambda: hasten.generate(["emoji-sd 2x"], out=5),  # type: ignore[arg-type]
        "out is 5: it must be a path",
    ),
    "no requests": (lambda: hasten.generate(5, out="x"), "requests is 5: give a sentence or a Task"),  # type: ignore[arg-type]
    "no request among some": (
        lambda: hasten.generate(["emoji-sd 2x", 5], out="x"),  # type: ignore[list-item]
        "requests holds 5",
    ),
    "no plans": (lambda: hasten.api.compare("emoji-sd", 5), "plans is 5: give a plan"),  # type: ignore[arg-type]
    "no model": (lambda: hasten.api.load_pipeline(None), "The model is None: give a name"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("case", CALLS)
def test_a_value_of_the_wrong_kind_is_refused_in_a_sentence(case: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    call, words = CALLS[case]
    with pytest.raises(InputError, match=re.escape(words)):
        call()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("keyword", "meant"), [("speed", "speedup"), ("max_los", "max_loss"), ("stepps", "steps")]
)
def test_a_keyword_that_is_nearly_one_of_tune_is_told(keyword: str, meant: str) -> None:
    with pytest.raises(TypeError, match=rf"There is no option '{keyword}'\. Did you mean '{meant}'"):
        hasten.tune(tiny_sd(), **{keyword: 2})


def test_an_unknown_keyword_is_no_choice() -> None:
    with pytest.raises(TypeError, match="stratgy"):
        hasten.tune(tiny_sd(), steps=STEPS, stratgy="tpe")


@pytest.mark.full  # the command does so in test_cli.py
def test_interrupted_the_same_call_goes_on(prompts: str, tmp_path: Path) -> None:
    seen: list[Progress] = []

    def interrupting(progress: Progress) -> None:
        seen.append(progress)
        if progress.done == 2:
            raise KeyboardInterrupt

    given: dict[str, Any] = {
        "steps": STEPS,
        "max_loss": {"ssim": 1.0},
        "methods": ["deepcache"],
        **{"strategy": "random", "max_trials": 3, "storage": str(tmp_path / "t.db"), "num_samples": 8, "pairs": 1},
        **{"height": 64, "width": 64, "prompts": prompts},
    }
    with pytest.raises(KeyboardInterrupt):
        hasten.tune(tiny_sd(), progress=interrupting, **given)
    answer = hasten.tune(tiny_sd(), progress=seen.append, **given)
    assert answer.trials == 3
    assert max(p.reused for p in seen) == 2  # later a confirmation may give reason to time one of them anew
