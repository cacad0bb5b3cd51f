"""What the README and the examples show can be done: commands are understood, programs run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

import hasten.cli
from hasten.cli.values import task_of_flags
from hasten.language.parse import parse
from hasten.methods import METHODS
from hasten.workflow.opening import task_of

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
BUDGET = """\
import functools, hasten
hasten.tune = functools.partial(
    hasten.tune, storage="trials.db", max_trials=1, num_samples=8, pairs=1, search_pairs=1, confirmations=1
)
"""
"""The programs as they are, but for this: so that a test need not search the whole grid with all prompts."""


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    lines = [line for block in blocks(README, "console") for line in block.splitlines()]
    assert all(line.startswith("$ hasten ") for line in lines), "one command a line"
    return [line.removeprefix("$ ") for line in lines]


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


def test_there_are_examples_of_every_kind() -> None:
    assert {shlex.split(line)[1] for line in commands()} >= {"parse", "list", "run", "search", "verify"}
    assert len(blocks(README, "python")) == 1


@pytest.mark.parametrize("line", commands())
def test_a_command_is_one_that_hasten_has(line: str) -> None:
    name, values = understood(line)
    if name in ("run", "parse"):
        task_of(parse(values["text"]))
    elif name == "search":
        targets = values["search_targets"]
        task_of(
            task_of_flags(
                *(values[flag] for flag in ("pipe", "sched", "steps")),
                targets,
                speedup=values["req_speedup"],
                loss=values["req_score_loss"],
            )
        )


@pytest.mark.parametrize("line", [c for c in commands() if c.split()[1] in ("parse", "list")])
def test_a_quick_command_runs(line: str, tmp_path: Path) -> None:
    done = started(["-m", *shlex.split(line)], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert not list(tmp_path.iterdir()), "reading a request writes nothing"


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
    assert done.stdout.split()[0] in ("met", "likely", "infeasible"), done.stdout
    assert (tmp_path / "strawberry.png").is_file()


def test_the_program_of_the_readme_is_the_example() -> None:
    example = (ROOT / "examples" / "tune.py").read_text(encoding="utf-8")
    assert blocks(README, "python")[0] in example


def test_the_table_of_methods_is_theirs() -> None:
    """Names, parameters and defaults in the README; ranges and papers in docs/methods.md name no other."""
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", README, re.MULTILINE))
    assert tuple(sorted(rows)) == METHODS.names()
    page = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    for method in METHODS.all():
        shown = dict(re.findall(r"`(\w+)` \(([^)]+)\)", rows[method.name]))
        parameters = {p.name: p for p in method.parameters()}
        assert shown.keys() == parameters.keys()
        numbers = {name: text for name, text in shown.items() if text.isdecimal() or "." in text}
        assert all(float(text) == parameters[name].default for name, text in numbers.items())
        assert re.search(r"arXiv:[\d.]+\d", method.paper)[0] in page
        assert all(f"`{name}`" in page for name in parameters)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_points_to_exists(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))
    missing = [t for t in targets if not t.startswith("https://") and not (page.parent / t).exists()]
    assert not missing
