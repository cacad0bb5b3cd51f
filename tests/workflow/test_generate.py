"""``hasten generate``: whatever happens to one request, the others come out, and the report tells of all."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.support.batches import HUGE, Place, asked, children, made_place, until

from hasten import api
from hasten.errors import InputError
from hasten.language.parse import parse
from hasten.language.render import render
from hasten.measure.lock import device_lock
from hasten.script.claim import read_claim
from hasten.store.seeds.bounds import Bounds
from hasten.store.seeds.keys import Key
from hasten.store.seeds.search_params import SearchParams
from hasten.store.seeds.tasks_file import Request, read_requests
from hasten.workflow.batch import BatchAnswer
from hasten.workflow.generate import Generation, generation_of

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds processes by /proc")

KILLED = asked(branch=2)
SLIGHTLY = 1.01
"""A speedup that a plan which leaves out nearly a whole step of two surely has."""
LIST: list[Any] = [
    {"request": render(asked(branch=3)), "label": "easy"},
    "a SD9 pipeline with 20 steps",
    17,
    render(asked(100)),
    render(asked(model=HUGE)),
    render(KILLED),
    render(asked(branch=3), "zh"),
    asked(methods=(), target=None).to_json(),
    render(asked(SLIGHTLY)),
]
STORED = {"cache_interval": 2, "cache_branch_id": 0, "speedup": 1.5}
WORDS = ("generate", "list.json", "--out", "out", "--params", "search_params.json", "--no-verify")
ASKED = {"met": [1, 7, 8, 9], "infeasible": [4], "failed": [2, 3, 5, 6]}


@dataclass
class Ran:
    """A batch that was run, and what it left."""

    place: Place
    done: subprocess.CompletedProcess[str]
    report: dict[str, Any] = field(init=False)
    manifest: list[dict[str, Any]] = field(init=False)
    answers: dict[str, int] = field(init=False)
    scripts: dict[str, bytes] = field(init=False)
    measured: Counter[tuple[str, str, str]] = field(init=False)

    def __post_init__(self) -> None:
        self.report = self.place.read("out/generation_report.json")
        self.manifest = self.place.read("out/manifest.json")
        self.answers = self.place.answers("out")
        self.scripts = {p.name: p.read_bytes() for p in (self.place.folder / "out/scripts").iterdir()}
        self.measured = self.place.measured()

    @property
    def tasks(self) -> dict[int, dict[str, Any]]:
        return {task["number"]: task for task in self.report["tasks"]}

    def numbers(self, *statuses: str) -> list[int]:
        return [number for number, task in self.tasks.items() if task["status"] in statuses]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with made_place(tmp_path_factory.mktemp("generate")) as place:
        place.write("list.json", LIST)
        place.write("search_params.json", {str(Key.of(asked(1.4))): STORED})
        yield place


@pytest.fixture(scope="module")
def first(place: Place) -> Ran:
    """The list, on a device that is busy at first; kill -9 ends the worker in the middle of the sixth request."""
    jobs_before = 3  # the first, the fourth and the fifth
    with place.started(*WORDS, "--json") as process:
        with device_lock("cpu"):
            until(lambda: "Another process measures" in place.log("out"))
        until(lambda: place.starts("out") > jobs_before)
        (worker,) = children(process.pid)
        os.kill(worker, signal.SIGKILL)
        output, errors = process.communicate()
    return Ran(place, subprocess.CompletedProcess(process.args, process.returncode, output, errors))


@pytest.fixture(scope="module")
def again(first: Ran) -> Ran:
    """The same command once more; nothing is killed."""
    return Ran(first.place, first.place.measure(*WORDS))


def test_the_others_come_out_and_the_report_names_the_failed_with_their_reasons(first: Ran) -> None:
    assert first.done.returncode == 1 and "Traceback" not in first.done.stderr
    assert first.numbers("met", "likely") == ASKED["met"]
    assert (first.numbers("infeasible"), first.numbers("failed")) == (ASKED["infeasible"], ASKED["failed"])
    reasons = {number: task["reason"] for number, task in first.tasks.items()}
    assert "Unknown model 'SD9'" in reasons[2] and "It is '17'" in reasons[3]
    assert "100x is out of reach here; the best within 1 (ssim) is" in reasons[4]
    assert "800000x800000 pixels at once need at least" in reasons[5] and "GiB of memory" in reasons[5]
    assert "killed by SIGKILL" in reasons[6] and "worker-cpu.log" in reasons[6]
    assert first.report["counts"]["failed"] == 4 and first.report["left"] == 0
    assert all(first.tasks[number]["seconds"] > 0 for number in (1, 4, 5, 6, 7, 8, 9))
    best = first.tasks[4]
    assert best["script"] is None and best["plan"].startswith("deepcache") and 0 < best["speedup"] < 100


def test_report_and_document_are_in_the_order_of_the_list(first: Ran) -> None:
    assert list(first.tasks) == list(range(1, len(LIST) + 1))
    assert [task["place"] for task in first.report["tasks"]] == [f"list.json entry {n}" for n in first.tasks]
    assert first.tasks[1]["labels"] == {"label": "easy"}
    told = [task["request"] for task in first.report["tasks"]]
    assert [told[0], *told[1::4], told[3]] == [LIST[0]["request"], LIST[1], LIST[5], LIST[3]]
    assert parse(told[7]) == asked(methods=(), target=None)


def test_with_json_standard_output_is_one_document(first: Ran) -> None:
    document = json.loads(first.done.stdout)
    assert document["out"] == "out"
    assert [task["number"] for task in document["tasks"]] == list(first.tasks)
    assert [task["reason"] for task in document["tasks"]] == [task["reason"] for task in first.report["tasks"]]
    for number in range(1, len(LIST) + 1):
        assert f"{number}/{len(LIST)} " in first.done.stderr, "a line an answer on standard error"


def test_the_same_task_in_other_words_is_answered_once(first: Ran) -> None:
    one, other = first.tasks[1], first.tasks[7]
    assert one["request"] != other["request"] and one["name"] == other["name"]
    assert one["script"] == other["script"] and one["speedup"] == other["speedup"]
    named = {task["name"] for task in first.report["tasks"] if task["status"] != "failed"}
    assert len(named) == 4 and set(first.scripts) == {f"{first.tasks[n]['name']}.py" for n in (1, 8, 9)}


def test_a_stored_plan_is_measured_first(first: Ran) -> None:
    answer = json.loads(first.done.stdout)["tasks"][8]["answer"]
    assert answer["plan"] == "deepcache(cache_branch_id=0,cache_interval=2)"
    assert answer["trials"] == 1, "neither the bound nor another plan was looked at"


def test_a_busy_device_is_waited_for_and_the_user_told(first: Ran) -> None:
    assert first.done.stderr.count("Another process measures on cpu: process ") == 1


def test_names_are_safe_and_the_manifest_leads_from_task_to_script_to_claim(first: Ran) -> None:
    names = [task["name"] for task in first.report["tasks"] if task["name"]]
    assert names and all(re.fullmatch(r"[a-z0-9_.+-]{1,120}", name) for name in names)
    assert [entry["place"] for entry in first.manifest] == [f"list.json entry {n}" for n in ASKED["met"]]
    for entry in first.manifest:
        claim = read_claim(first.place.folder / "out" / entry["script"])
        assert claim.plan == (entry["claim"]["plan"] or "baseline")
        assert (claim.speedup or 0) == pytest.approx(entry["claim"]["speedup"] or 0, rel=1e-5)
    assert first.manifest[0]["request"] == LIST[0]["request"]


def test_what_was_found_is_in_the_originals_file(first: Ran) -> None:
    params = SearchParams.read(first.place.folder / "out/search_params.json")
    found = {str(entry.plan): entry.speedup for entry in params.entries}
    assert params.faults == ()
    assert found[first.tasks[1]["plan"]] == pytest.approx(first.tasks[1]["speedup"])


def test_run_again_it_goes_on_and_measures_nothing_twice(first: Ran, again: Ran) -> None:
    assert again.done.returncode == 1, "two requests cannot be read, and one model fits no memory"
    assert again.numbers("met", "likely") == [1, 6, 7, 8, 9]
    assert again.numbers("failed") == [2, 3, 5]
    kept = {first.tasks[number]["name"] for number in (1, 4, 8, 9)}
    assert all(again.answers[name] == first.answers[name] for name in kept), "read, not found anew"
    assert first.tasks[5]["name"] not in again.answers, "it is refused again before anything is kept"
    assert again.scripts.items() >= first.scripts.items() and len(again.scripts) == 4
    assert [t["name"] for t in again.report["tasks"]] == [t["name"] for t in first.report["tasks"]]
    assert [again.tasks[n] for n in (1, 4, 7, 8, 9)] == [first.tasks[n] for n in (1, 4, 7, 8, 9)]
    since = again.measured - first.measured
    assert {plan for _, plan, _ in since} <= {again.tasks[6]["plan"]}, "at most what the kill had cut short"


def test_people_read_what_was_asked_and_measured_and_every_reason_in_full(again: Ran) -> None:
    head, *rows = again.done.stdout.splitlines()
    assert head.split()[:5] == ["task", "answer", "asked", "speedup", "loss"] and len(rows) == len(LIST)
    measured = f"{again.tasks[1]['speedup']:.2f}x"
    assert [measured in rows[n - 1] and " 3600 s an image " in rows[n - 1] for n in (1, 7)] == [True, True]
    assert f"{measured} for 3600 s an image asked" in again.done.stderr
    for number, task in again.tasks.items():
        shown = task["plan"] if task["status"] in ("met", "likely") else task["reason"]
        assert shown in rows[number - 1] and shown in again.done.stderr
    assert "tasks: 9 (" in again.done.stderr and "3 failed" in again.done.stderr


SD15 = "('StableDiffusionPipeline', 'DDIMScheduler', '50', {}, 0.02, ['deepcache'])"
PLAN = {"cache_interval": 3, "cache_branch_id": 0, "speedup": 2.6, "score_loss": 0.01, "time": 1.5}
SENTENCE = "a SD1.5 pipeline using the DDIM sampler with {} steps, accelerated by DeepCache with {}x speedup"


@pytest.fixture
def known(place: Place, tmp_path: Path) -> Place:
    """What the original found for SD1.5, which is not on this machine, in a folder of its own."""
    here = Place(tmp_path, place.environment)
    here.write("search_params.json", {SD15.format(2.5): PLAN})
    bound, partly = SD15.format("'upbound_speedup'"), SD15.format("'upbound_speedup'").replace("50", "25")
    here.write(
        "speedup_bounds.json", {bound: {"max_speedup": 3.0}, partly: {"max_speedup": 3.0, "complete": False}}
    )
    return here


def test_as_is_writes_the_scripts_of_stored_plans_without_any_model(known: Place) -> None:
    """From standard input, a sentence a line."""
    lines = ["# what the original found", SENTENCE.format(50, 2.4), "", SENTENCE.format(50, 2.8)]
    files = ("--params", "search_params.json", "--bounds", "speedup_bounds.json")
    done = known.run("generate", "-", "--as-is", *files, "--out", "out", stdin="\n".join(lines))
    assert done.returncode == 1 and "Traceback" not in done.stderr
    report = known.read("out/generation_report.json")
    assert [task["place"] for task in report["tasks"]] == ["standard input line 2", "standard input line 4"]
    assert [task["status"] for task in report["tasks"]] == ["likely", "failed"]
    assert "nothing is to be measured" in report["tasks"][1]["reason"]
    script = known.folder / "out" / report["tasks"][0]["script"]
    claim = read_claim(script)
    assert (claim.model, claim.speedup, claim.environment) == ("SD1.5", 2.6, {})
    assert (claim.losses, claim.loss_intervals, claim.samples) == ({"clip_score": 0.01}, {}, 0)
    assert dict(claim.limits) == {"clip_score": 0.02}, "what it is held to when it is verified"
    text = script.read_text(encoding="utf-8")
    assert "quality loss 0.0100 on clip_score, limit 0.02" in text and "nothing was measured here" in text
    assert claim.plan == "deepcache(cache_branch_id=0,cache_interval=3)"
    assert "elsewhere, and not again here" in script.read_text(encoding="utf-8")
    assert not (known.folder / "out/answers").exists() and not list((known.folder / "out/logs").iterdir())


def test_over_a_known_bound_is_infeasible_with_the_figures_and_without_a_worker(known: Place) -> None:
    known.write("list.txt", SENTENCE.format(50, 3.5))
    done = known.run("generate", "list.txt", "--bounds", "speedup_bounds.json", "--out", "out", "--json")
    (answer,) = json.loads(done.stdout)["tasks"]
    assert done.returncode == 3 and answer["status"] == "infeasible"
    assert answer["reason"] == "3.5x is out of reach: the upper bound is 3x."
    assert not list((known.folder / "out/logs").iterdir())


def test_a_bound_that_a_budget_cut_short_puts_nothing_out_of_reach(known: Place) -> None:
    bounds = Bounds.read(known.folder / "speedup_bounds.json")
    how = Generation(bounds=bounds, as_is=True)
    over = [SENTENCE.format(steps, 3.5) for steps in (50, 25)]
    found = api.generate(over, out=known.folder / "out", how=how)
    assert [one.status for one in found] == ["infeasible", "failed"]
    assert "has no plan" in found[1].reason, "left to be searched for, which as-is does not"


def asked_for(model: str) -> dict[str, Any]:
    return {"model": model, "scheduler": "DDIM", "steps": 9, "methods": ["deepcache"], "target": {"speedup": 2}}


ODD: list[tuple[str, str]] = [
    ('["a SD9\\ud800 pipeline"]', "SD9"),
    ('[{"request": "a SD9 pipeline", "label": "\\udfff", "weight": NaN}]', "Unknown model 'SD9'"),
    ('["a SD9 pipeline with 3 steps", "a SD1.5 pipel', "Unknown model 'SD9'"),
    ('[{"model": "emoji-sd", "scheduler": "DDIM", "steps": 0}]', "steps"),
    ('[{"model": "emoji-sd", "scheduler": "DDIM", "steps": 9, "target": {"speedup": 2}}]', "with no method"),
    (
        '[{"model": "emoji-sd", "scheduler": "DDIM", "steps": 9, "target": {"speedup": 0.9}}]',
        "ask for more than 1x",
    ),
    (
        '[{"request": "Make emoji-sd 2x faster with DeepCache, 9 DDIM steps", "task": {"model": "emoji-sd", '
        '"scheduler": "DDIM", "steps": 9, "methods": ["deepcache"], "target": {"speedup": 3}}}]',
        "Its sentence and its task differ in target: change both",
    ),
    (json.dumps([asked_for("~nosuchuser/x")]), "Unknown model '~nosuchuser/x'"),
    (json.dumps([asked_for("n" * 300)]), "Unknown model 'nnn"),
    (json.dumps([asked_for("/" + "n" * 300)]), "Unknown model '/nnn"),
    (json.dumps([asked_for("a\0b")]), "Unknown model 'a"),
    (f'[{{"request": "Make SD1.5 2x faster with DeepCache", "id": {"[" * 300}{"]" * 300}}}]', "nested too deeply"),
]


@pytest.mark.parametrize(("text", "part"), ODD)
def test_odd_entries_are_entries_of_the_report(tmp_path: Path, text: str, part: str) -> None:
    (tmp_path / "list.json").write_text(text, encoding="utf-8")
    found = api.generate(read_requests(tmp_path / "list.json"), out=tmp_path / "out")
    assert found and all(one.status == "failed" and one.reason for one in found)
    assert part in found[0].reason
    report = json.loads((tmp_path / "out/generation_report.json").read_text(encoding="utf-8"))
    assert [task["reason"] for task in report["tasks"]] == [one.reason for one in found]
    assert [BatchAnswer.model_validate_json(one.model_dump_json()).place for one in found] == [
        one.place for one in found
    ]


def test_files_that_nothing_can_be_added_to_are_told_before_anything_is_measured(tmp_path: Path) -> None:
    (tmp_path / "search_params.json").write_text("[]")
    with pytest.raises(Exception, match="holds a JSON list"):
        api.generate([Request("a SD9 pipeline", None, "", "request 1")], out=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["search_params.json"]


def test_choices_about_scripts_replace_what_a_generation_says() -> None:
    how, searched = generation_of(Generation(as_is=True), {"runtime": "upstream", "verify": False, "seed": 3})
    assert (how.runtime, how.verify, how.allow_known_wrong, how.as_is) == ("upstream", False, False, True)
    assert searched == {"seed": 3} and how.place.seed == 3
    assert generation_of(Generation(runtime="upstream"), {})[0].runtime == "upstream"
    with pytest.raises(InputError, match="Unknown runtime 'magic'"):
        generation_of(None, {"runtime": "magic"})  # type: ignore[typeddict-item]
    with pytest.raises(TypeError, match=r"no option 'runtimes'\. Did you mean 'runtime'"):
        generation_of(None, {"runtimes": "hasten"})  # type: ignore[typeddict-unknown-key]
