"""The commands in the README and in docs/ are understood, and their programs and examples run."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

import hasten.cli
from hasten.answer import Answer
from hasten.cli import show
from hasten.cli.app import SEARCHED
from hasten.cli.choices import REQUEST_NAMES
from hasten.cli.values import open_task, task_of_flags
from hasten.language.parse import parse
from hasten.methods import METHODS
from hasten.store.seeds.bounds import Bounds
from hasten.store.seeds.tasks_file import read_requests
from hasten.workflow.matrix import Matrix
from hasten.workflow.opening import task_of
from hasten.workflow.tasks import tasks_from_bounds

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BATCHES = (ROOT / "docs" / "howto" / "batches.md").read_text(encoding="utf-8")
DOCS = "".join(page.read_text(encoding="utf-8") for page in sorted((ROOT / "docs").rglob("*.md")))
BUDGET = """\
import functools, hasten
hasten.tune = functools.partial(
    hasten.tune, storage="trials.db", max_trials=1, num_samples=8, pairs=1, search_pairs=1, confirmations=1,
    strategy="random", height=64, width=64,
)
"""
"""The programs as they are, but for this: so that a test need not search the whole grid with all prompts."""
SMALL = ["--num-samples", "8", "--pairs", "1", "--no-verify", "--height", "64", "--width", "64"]
"""The same for a command: what it answers is looked at here, not how fast the machine is."""


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands(text: str = README + DOCS) -> list[str]:
    lines = [line for block in blocks(text, "console") for line in block.splitlines()]
    assert all(line.startswith("$ hasten ") for line in lines), "one command a line"
    return list(dict.fromkeys(line.removeprefix("$ ") for line in lines))


def started(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=300,
    )


def understood(line: str) -> tuple[str, dict[str, Any]]:
    """The subcommand and its values, as the command line itself reads them; nothing is run."""
    _, name, *rest = shlex.split(line)
    group: Any = typer.main.get_command(hasten.cli.app)
    context = group.commands[name].make_context(name, rest)
    return name, context.params


def cells(values: dict[str, Any]) -> Matrix:
    """The matrix that a command names, as a file of this repository or by its flags."""
    if values["matrix"] is not None:
        return Matrix.read(ROOT / values["matrix"])
    lists = {name: values[name].split(",") for name in ("models", "schedulers", "steps")}
    return Matrix.of(**lists, methods=values["methods"])


def test_there_are_examples_of_every_kind() -> None:
    shown = {"parse", "list", "run", "search", "verify", "explore", "tasks", "generate"}
    assert {shlex.split(line)[1] for line in commands()} >= shown
    assert len(blocks(README, "python")) == 1


@pytest.mark.parametrize("line", commands())
def test_a_command_is_one_that_hasten_has(line: str) -> None:
    name, values = understood(line)
    if values.get("text"):
        task_of(parse(" ".join(values["text"])))
    elif name == "explore" or values.get("matrix"):
        assert cells(values).tasks()
    elif values.get("model") and name == "run":
        task_of(open_task(**{name: values[name] for name in REQUEST_NAMES}))
    elif name == "search":
        task_of(task_of_flags(**{name: values[name] for name in SEARCHED}))


@pytest.mark.parametrize("line", [c for c in commands() if c.split()[1] in ("parse", "list")])
def test_a_quick_command_runs(line: str, tmp_path: Path) -> None:
    done = started(["-m", *shlex.split(line)], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert not list(tmp_path.iterdir()), "reading a request writes nothing"


def test_each_stage_reads_what_the_one_before_wrote() -> None:
    block = next(b for b in blocks(BATCHES, "console") if "hasten tasks" in b)
    stages = dict(understood(line.removeprefix("$ ")) for line in block.splitlines())
    out, bounds = stages["explore"]["out"], stages["tasks"]["bounds"]
    assert bounds == out / "speedup_bounds.json" == stages["generate"]["bounds"]
    assert stages["tasks"]["out"] == stages["generate"]["requests"]
    assert stages["generate"]["out"] == out


def test_the_matrix_of_the_page_has_every_field_and_its_default() -> None:
    (block,) = blocks(BATCHES, "yaml")
    shown = yaml.safe_load(block)
    tasks = Matrix.of(**shown).tasks()
    assert {task.methods for task in tasks} == {("deepcache",), ("deepcache", "tome"), None}
    assert len(tasks) == 2 * 3 * 2 * 3 * 2
    least = Matrix.of(models="emoji-sd", schedulers="DDIM", steps=20, methods="deepcache")
    assert least.ratios == shown["ratios"]
    assert [task.max_loss["clip_score"] for task in least.tasks()] == [shown["max_loss"][0]]
    instead = yaml.safe_load(block.replace("\nratios", "\n# ratios").replace("# difficulty", "difficulty"))
    assert Matrix.of(**instead).difficulty
    assert {*shown, *instead} == Matrix.model_fields.keys()


def test_the_example_of_a_matrix_is_small_and_needs_no_download() -> None:
    tasks = Matrix.read(ROOT / "examples" / "matrix.yaml").tasks()
    assert {task.model for task in tasks} == {"emoji-sd"}
    assert len(tasks) <= 4 and all(task.steps <= 10 for task in tasks)


def test_the_entries_of_the_page_are_what_the_bound_of_the_page_makes(tmp_path: Path) -> None:
    of_tasks, of_bounds = blocks(BATCHES, "json")
    (tmp_path / "tasks.json").write_text(f"[{of_tasks}]", encoding="utf-8")
    (tmp_path / "speedup_bounds.json").write_text(of_bounds, encoding="utf-8")
    bounds = Bounds.read(tmp_path / "speedup_bounds.json")
    (made,) = tasks_from_bounds(bounds, [0.8]).made
    assert not bounds.faults
    assert made.to_json() == json.loads(of_tasks)
    (request,) = read_requests(tmp_path / "tasks.json")
    assert task_of(request.text) == made.task


@pytest.mark.full  # test_generate.py has such a batch, and tune's runs below
def test_the_example_of_a_batch_ends_as_the_page_says(tmp_path: Path) -> None:
    (requests,) = blocks(BATCHES, "text")
    few = requests.replace(
        "25 steps", "4 steps and a loss below 90%"
    )  # reusing every second of 4 steps costs much
    assert few != requests
    (tmp_path / "requests.txt").write_text(few, encoding="utf-8")
    (tmp_path / "speedup_bounds.json").write_text(blocks(BATCHES, "json")[1], encoding="utf-8")
    (line,) = (c for c in commands(BATCHES) if "requests.txt" in c)
    done = started(["-m", *shlex.split(line), *SMALL], tmp_path)
    assert done.returncode == 1, done.stderr
    folder = tmp_path / understood(line)[1]["out"]
    report, manifest = (json.loads((folder / f"{n}.json").read_bytes()) for n in ("generation_report", "manifest"))
    first, second, third = report["tasks"]
    assert first["status"] in ("met", "likely") and (folder / first["script"]).is_file(), first["reason"]
    assert second["status"] == "infeasible" and "5.5x" in second["reason"]
    assert third["status"] == "failed" and "SD9" in third["reason"] and third["place"] == "requests.txt line 4"
    assert [entry["script"] for entry in manifest] == [first["script"]]
    told = set(re.findall(r"`(\w+)`", re.search(r"^\| field.*?\n\n", BATCHES, re.MULTILINE | re.DOTALL)[0]))
    assert {*report, *first} <= told
    assert {*manifest[0], *manifest[0]["claim"]} <= set(
        re.findall(r"`(\w+)`", BATCHES.partition("`manifest.json` lists")[2])
    )


def test_the_demo_finds_its_threads_sets_its_time_and_the_readme_says_how_long_it_takes() -> None:
    done = subprocess.run(["make", "-n", "demo"], cwd=ROOT, capture_output=True, text=True, check=True)
    (line,) = (one for one in done.stdout.splitlines() if " run " in one)
    assert "--threads auto " in line
    _, values = understood(line[line.index("hasten run") :])
    assert values["max_time_s"] == 600 and task_of(parse(" ".join(values["text"]))).model == "emoji-sd3"
    assert "in 2 to 10 minutes" in " ".join(README.split())


@pytest.mark.full  # tune's puts a plan on as well
def test_the_example_of_a_plan_runs(tmp_path: Path) -> None:
    done = started([str(ROOT / "examples" / "apply_plan.py")], tmp_path)
    assert done.returncode == 0, done.stderr
    baseline, accelerated = ((tmp_path / f"{name}.png").read_bytes() for name in ("baseline", "deepcache"))
    assert baseline.startswith(b"\x89PNG") and baseline != accelerated


def test_the_example_of_tune_runs_with_fewer_steps_and_a_small_budget(tmp_path: Path) -> None:
    source = (ROOT / "examples" / "tune.py").read_text(encoding="utf-8")
    (tmp_path / "small.py").write_text(BUDGET + source.replace("steps=25", "steps=3"), encoding="utf-8")
    done = started(["small.py"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] in ("met", "likely", "infeasible", "undecided"), done.stdout
    assert (tmp_path / "strawberry.png").is_file()


def test_the_program_of_the_readme_is_the_example() -> None:
    example = (ROOT / "examples" / "tune.py").read_text(encoding="utf-8")
    assert blocks(README, "python")[0] in example


def test_the_output_in_the_readme_is_what_its_command_prints(
    request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command's answer is recorded, and the README shows what hasten prints of it, without the notes."""
    answer = Answer.model_validate_json((ROOT / "tests" / "recorded" / "readme" / "answer.json").read_bytes())
    assert task_of(parse(" ".join(understood(commands(README)[0])[1]["text"]))) == answer.task
    show.answer(answer)
    printed = capsys.readouterr().out.partition("note:")[0]
    (shown,) = blocks(README, "text")
    if request.config.getoption("--refresh-recorded"):
        (ROOT / "README.md").write_text(README.replace(shown, printed), encoding="utf-8")
    assert shown == printed, "changed on purpose? pytest --refresh-recorded"


def test_the_table_of_methods_is_theirs() -> None:
    """The page has names, parameters, defaults and papers of all methods, and the README their names."""
    page = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    table = page.partition("## All methods")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", table, re.MULTILINE))
    assert tuple(sorted(rows)) == METHODS.names()
    named = README.partition("## Methods")[2].partition("\n\nThey are")[0]
    assert tuple(re.findall(r"`(\w+)`", named)) == METHODS.names()
    for method in METHODS.all():
        shown = dict(re.findall(r"`(\w+)` \(([^)]+)\)", rows[method.name]))
        parameters = {p.name: p for p in method.parameters()}
        assert shown.keys() == parameters.keys()
        numbers = {name: text for name, text in shown.items() if text.isdecimal() or "." in text}
        assert all(float(text) == parameters[name].default for name, text in numbers.items())
        assert re.search(r"(arXiv|doi):[\d./]+\d", method.paper)[0] in page
        assert all(f"`{name}`" in page for name in parameters)
