"""A matrix: read from YAML with every fault told, and all three stages on it in one command.

The command is left to ``make test-full``: test_original_commands.py finds a bound, test_tasks.py makes tasks
of bounds, and test_generate.py scripts of tasks.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.batches import HUGE, TINY, Place, made_place, until

from hasten.errors import InputError
from hasten.language.parse import parse
from hasten.store.seeds.bounds import Bounds
from hasten.workflow.matrix import Matrix

SMALL: dict[str, Any] = {"models": "emoji-sd", "schedulers": ["DDIM"], "steps": 20, "methods": ["deepcache"]}


def written(path: Path, **changes: Any) -> Path:
    path.write_text(yaml.safe_dump({**SMALL, **changes}), encoding="utf-8")
    return path


def test_every_cell_is_a_task_once(tmp_path: Path) -> None:
    file = written(
        tmp_path / "matrix.yaml",
        schedulers=["DDIM", "DPM-Solver++", "ddim scheduler"],
        steps=[20, 25],
        methods=["DeepCache", "tome, deepcache", ["deepcache", "tome"], "any"],
        max_loss=[0.02, {"ssim": 0.1}],
    )
    tasks = Matrix.read(file).tasks()
    assert len(tasks) == 2 * 2 * 3 * 2 and len({task.model_dump_json() for task in tasks}) == len(tasks)
    assert {task.mode for task in tasks} == {"bound"} and {task.model for task in tasks} == {"emoji-sd"}
    assert {task.methods for task in tasks} == {("deepcache",), ("deepcache", "tome"), None}
    assert [task.max_loss for task in tasks[:2]] == [{"clip_score": 0.02}, {"ssim": 0.1}]


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": ({"schedluers": ["DDIM"]}, "Unknown key of a matrix 'schedluers'. Did you mean 'schedulers'?"),
    "empty list": ({"models": []}, "Not a matrix: models is an empty list."),
    "unknown scheduler": ({"schedulers": "DIMM"}, "Unknown scheduler 'DIMM'. Did you mean 'DDIM'?"),
    "unknown model": ({"models": ["emoji-sd", "SD9"]}, "Unknown model 'SD9'"),
    "unknown method": ({"methods": ["deepcahe"]}, "Did you mean 'deepcache'?"),
    "no number": ({"steps": ["ten"], "max_loss": "lots"}, "steps has 'ten': Input should be a valid integer"),
    "no steps": ({"steps": [20, 0]}, "steps: Input should be greater than or equal to 1"),
    "limit": ({"max_loss": [1.5]}, "the loss limit of clip_score is 1.5: allowed is 0 to 1"),
    "ratios": ({"ratios": [0.9, 0.9]}, "The ratios are 0.9, 0.9: name each once"),
    "no ratio": ({"ratios": []}, "The ratios are none"),
    "both": ({"ratios": [0.9], "difficulty": True}, "ratios or difficulty, not both"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_is_one_sentence(tmp_path: Path, case: str) -> None:
    changes, part = FAULTS[case]
    with pytest.raises(InputError) as raised:
        Matrix.read(written(tmp_path / "matrix.yaml", **changes)).tasks()
    assert part in str(raised.value) and "\n" not in str(raised.value)


NO_MATRIX = {
    "models: [emoji-sd\nschedulers: {DDIM\n": "cannot be read: line 2: expected ',' or ']'",
    "": "is no matrix: it needs models, a list of them",
    "- emoji-sd\n": "is no matrix",
    "1: 2\n": "is no matrix",
    "steps: 20\n": "Not a matrix: models is missing.",
    "models: \x00\n": "cannot be read: unacceptable character",
    "models: &a [SDXL]\nschedulers: *a\n": "cannot be read: line 2: an alias: write out",
    "models: &a [*a]\n": "cannot be read: line 1: an alias: write out",
    "models: SDXL\nsteps: 2024-13-45\n": "steps has '2024-13-45'",
    "models: SDXL\nsteps: !!timestamp 2024-13-45\n": "cannot be read: month must be in 1..12",
    f"models: SDXL\nsteps: {'9' * 5000}\n": "cannot be read: Exceeds the limit (4300 digits)",
    "models: " + "[" * 20_000: "cannot be read: it is nested too deeply",
    "models: " + "{a: " * 10_000: "cannot be read: it is nested too deeply",
    "- " * 30_000: "cannot be read: it is nested too deeply",
    "models: [" + "a, " * 40_000: "cannot be read: it has more than 65536 bytes",
    "models: !!python/object/apply:os.getcwd []\n": "cannot be read: line 1: could not determine a constructor",
}


def test_models_alone_are_a_matrix_of_their_own_schedulers_and_steps_with_any_method() -> None:
    sdxl, emoji = Matrix.of(models=["SDXL", "emoji-sd"]).tasks()
    assert (sdxl.scheduler, sdxl.steps, sdxl.methods, sdxl.mode) == ("Euler", 50, None, "bound")
    assert (emoji.scheduler, emoji.steps) == ("DDIM", 25)
    assert emoji.assumptions == (
        "steps 25: the usual number for emoji-sd",
        "scheduler DDIM: that of emoji-sd's own pipeline",
    )


@pytest.mark.parametrize("text", NO_MATRIX)
def test_what_is_no_matrix_is_told_in_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "matrix.yaml").write_text(text)
    with pytest.raises(InputError) as raised:
        Matrix.read(tmp_path / "matrix.yaml")
    assert NO_MATRIX[text] in str(raised.value) and "\n" not in str(raised.value)


@dataclass
class Ran:
    """``hasten run`` on a matrix with a feasible cell, an infeasible one, and two that fit no memory: killed after
    the first answer, and run again."""

    place: Place
    done: subprocess.CompletedProcess[str]
    kept: dict[str, int]

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.done.stdout)
        return found


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    with made_place(tmp_path_factory.mktemp("matrix")) as place:
        limits = [{"ssim": 1.0}, {"ssim": 0.0}]
        small = {"models": [TINY, HUGE], "steps": 2, "max_loss": limits, "ratios": 0.5}
        written(place.folder / "matrix.yaml", **small)
        words = ("run", "--matrix", "matrix.yaml", "--out", "out", "--json")
        with place.started(*words) as process:
            kept = until(lambda: place.answers("out"))
            process.kill()
        yield Ran(place, place.measure(*words), kept)


@pytest.mark.full
def test_bounds_tasks_and_scripts_come_from_one_command(ran: Ran) -> None:
    bounds, tasks = ran.document["bounds"], ran.document["tasks"]
    assert ran.done.returncode == 1 and "Traceback" not in ran.done.stderr
    assert [one["status"] in ("met", "likely") for one in bounds] == [True, False, False, False]
    assert [one["status"] for one in bounds[1:]] == ["infeasible", "failed", "failed"]
    assert "no plan that was measured stays within 0 (ssim)" in bounds[1]["reason"]
    assert all("GiB of memory to be decoded" in one["reason"] for one in bounds[2:])
    assert [one["number"] for one in bounds] == [1, 2, 3, 4]
    bound = bounds[0]["speedup"]
    assert [one["target"]["speedup"] for one in tasks] == pytest.approx([1 + 0.5 * (bound - 1)], abs=0.01)
    (labels,) = (one["labels"] for one in tasks)
    assert {name: labels[name] for name in ("label", "ratio", "bound")} == {
        "label": "0.5",
        "ratio": 0.5,
        "bound": bound,
    }
    assert labels["id"] and labels["bound_complete"] is True and labels["reference_plan"] == bounds[0]["plan"]
    assert labels["bound_interval"] == bounds[0]["speedup_interval"]


@pytest.mark.full
def test_every_script_was_measured_again_in_a_fresh_process(ran: Ran) -> None:
    """On a busy machine the claim of so small a pipeline may be refuted; then it has failed, and why is said."""
    for one in ran.document["tasks"]:
        refuted = one["reason"].startswith("Measured again in a fresh process: ")
        assert (one["verified"], one["status"] == "failed") == (not refuted, refuted)
        assert (ran.place.folder / one["script"]).is_file()


@pytest.mark.full
def test_bounds_without_a_figure_are_entries_with_their_reason(ran: Ran) -> None:
    bounds = Bounds.read(ran.place.folder / "out/speedup_bounds.json")
    assert bounds.faults == () and len(bounds.entries) == 4
    by_status = {(entry.status, entry.key.model): entry for entry in bounds.entries}
    assert {key for key in by_status if key[0] in ("infeasible", "failed")} == {
        ("infeasible", TINY),
        ("failed", HUGE),
    }
    assert [entry.max_speedup for entry in bounds.entries[1:]] == [None] * 3
    assert "GiB of memory to be decoded" in by_status["failed", HUGE].reason
    assert bounds.entries[0].complete and bounds.entries[0].max_speedup == ran.document["bounds"][0]["speedup"]


@pytest.mark.full
def test_tasks_says_what_it_left_out(ran: Ran) -> None:
    """The sentences are those of the file that the command wrote itself."""
    done = ran.place.run("tasks", "--bounds", "out/speedup_bounds.json", "--ratios", "0.5", "--out", "made.json")
    assert done.returncode == 0
    assert ran.place.read("made.json") == ran.place.read("out/tasks.json")
    left = [line for line in done.stderr.splitlines() if line.startswith("left out: ")]
    assert len(left) == 3 and sum("GiB of memory to be decoded" in line for line in left) == 2
    assert sum("infeasible: nothing is faster than the plain pipeline here" in line for line in left) == 1
    assert [parse(line).model for line in done.stdout.splitlines()] == [TINY]


@pytest.mark.full
def test_what_was_answered_before_the_kill_was_not_asked_again(ran: Ran) -> None:
    assert len(ran.kept) == 1 and ran.place.answers("out").items() >= ran.kept.items()
    measured = ran.place.measured()
    assert {plan for _, plan, split in measured if split == "search"} == {
        f"deepcache(cache_branch_id={branch},cache_interval=2)" for branch in range(4)
    }
