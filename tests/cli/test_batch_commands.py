"""``explore``, ``generate`` and ``run`` on many requests, as a user meets them: real processes.

What they do once they measure is in tests/workflow.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.commands import Done, each

SENTENCE = "an emoji-sd pipeline using the DDIM sampler with 4 steps, accelerated by DeepCache with 2x speedup"
MATRIX = "models: emoji-sd\nschedulers: DDIM\nsteps: 4\nmethods: deepcache\n"
FLAGS = ("--models", "emoji-sd", "--schedulers", "DDIM", "--steps", "4", "--methods", "deepcache")


@pytest.fixture
def folder(tmp_path: Path, own_surroundings: None) -> Path:
    return filled(tmp_path)


def filled(folder: Path) -> Path:
    (folder / "list.txt").write_text(SENTENCE, encoding="utf-8")
    (folder / "matrix.yaml").write_text(MATRIX, encoding="utf-8")
    (folder / "typo.yaml").write_text(MATRIX.replace("steps", "stepps"), encoding="utf-8")
    (folder / "params.json").write_text("[]", encoding="utf-8")
    return folder


def hasten(folder: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Without a terminal: people's tables are as wide as they need to be."""
    command = [sys.executable, "-X", "utf8", "-m", "hasten", *words]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": "200"}
    how = {"capture_output": True, "text": True, "encoding": "utf-8", "cwd": folder, "env": environment}
    return subprocess.run(command, input=stdin, check=False, **how)  # type: ignore[call-overload]


BAD = {
    "key of a matrix": (
        ["run", "--matrix", "typo.yaml"],
        "key of a matrix 'stepps'. Did you mean 'steps'?",
    ),
    "no matrix": (["explore", "nowhere.yaml"], "cannot be read: No such file or directory."),
    "nothing": (["explore"], "There is nothing to explore: give a YAML file"),
    "file and flags": (["explore", "matrix.yaml", "--max-loss", "0.1"], "Give the file matrix.yaml or --max-loss"),
    "two of three": (
        ["run", SENTENCE, "--tasks", "list.txt"],
        "this has a sentence and --tasks",
    ),
    "devices for one": (["run", SENTENCE, "--devices", "0"], "--devices 0 is for --tasks and --matrix"),
    "no list": (["generate", "nowhere.json"], "nowhere.json does not exist"),
    "empty list": (["generate", "-"], "standard input"),
    "as it is of what": (["generate", "list.txt", "--as-is"], "name it with --params search_params.json"),
    "damaged": (["generate", "list.txt", "--params", "params.json"], "params.json holds a JSON list"),
}


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Done]:
    """One process tries every bad command."""
    own = {name: str(tmp_path_factory.mktemp(name.lower())) for name in ("XDG_STATE_HOME", "XDG_DATA_HOME")}
    return each(
        {case: (filled(tmp_path_factory.mktemp("here")), words) for case, (words, _) in BAD.items()}, **own
    )


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence_and_nothing_is_written(refused: dict[str, Done], case: str) -> None:
    done = refused[case]
    assert done.code == 2, done.errors
    assert BAD[case][1] in done.errors and "Traceback" not in done.errors and done.errors.count("\n") == 1
    assert done.output == "" and done.after == done.before


def test_an_error_with_json_is_a_document(folder: Path) -> None:
    done = hasten(folder, "run", "--matrix", "typo.yaml", "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["kind"] == "UnknownNameError"


def test_cells_that_cannot_be_measured_are_bounds_with_their_reason(folder: Path) -> None:
    limits = ("--max-loss", "0.01,0.02", "--max-loss", "clip_score=0.02,ssim=0.2")
    done = hasten(folder, "explore", *FLAGS, *limits, "--device", "nonsense", "--out", "out")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "bounds: 3 (3 failed); 0:00 of work." in done.stderr and "All of it is in out." in done.stderr
    head, *rows = done.stdout.splitlines()
    assert head.split()[:2] == ["task", "answer"] and len(rows) == 3
    assert all("failed" in row and "No device can be used. nonsense: " in row for row in rows)
    kept = json.loads((folder / "out/speedup_bounds.json").read_text(encoding="utf-8"))
    assert [(value["max_speedup"], value["status"]) for value in kept.values()] == [(None, "failed")] * 3
    assert all("No device can be used" in value["reason"] for value in kept.values())
    left = hasten(folder, "tasks", "--bounds", "out/speedup_bounds.json")
    assert left.returncode == 2 and left.stderr.count("left out: ") == 3


def test_sentences_from_standard_input_are_told_one_by_one(folder: Path) -> None:
    lines = f"# two requests\n{SENTENCE}\n\na SD9 pipeline\n"
    done = hasten(folder, "generate", "-", "--devices", "nonsense", "--json", stdin=lines)
    document = json.loads(done.stdout)
    assert done.returncode == 1 and [task["number"] for task in document["tasks"]] == [1, 2]
    assert [task["place"] for task in document["tasks"]] == ["standard input line 2", "standard input line 4"]
    assert document["tasks"][0]["request"] == SENTENCE
    assert "Unknown model 'SD9'" in document["tasks"][1]["reason"]
    report = json.loads((folder / "hasten-out/batch/generation_report.json").read_text(encoding="utf-8"))
    assert report["counts"] == {"met": 0, "likely": 0, "infeasible": 0, "undecided": 0, "failed": 2}
    for task in document["tasks"]:
        assert task["reason"] in done.stderr
