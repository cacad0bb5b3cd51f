"""The original's six commands, called as its users and its shell scripts called them: real processes."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.tiny_clip import tiny_clip

from hasten.language.parse import parse
from hasten.store.seeds.bounds import Bounds
from hasten.store.seeds.keys import Key
from hasten.store.seeds.search_params import SearchParams
from hasten.store.seeds.tasks_file import read_requests
from hasten.testing.pipelines import tiny_sd

SCRIPTS = Path(__file__).parent.parent.parent / "scripts"
MODEL, LIMIT = "./model", 0.9
"""Random weights: any plan is within this limit, or hardly any would be."""
SETTING = {"PIPES": MODEL, "SCHEDS": "DDIM", "STEPS": "3"}
ORIGINAL = ("--num_samples", "8", "--batch_size", "1", "--seed", "0")
SMALL = (*ORIGINAL, "--scorer", "clip", "--prompts", "prompts.txt", "--pairs", "3", "--max-trials", "2")


def call(folder: Path, script: str, *words: str, **surroundings: str) -> subprocess.CompletedProcess[str]:
    program = "bash" if script.endswith(".sh") else sys.executable
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": "200", "PYTHON": sys.executable, **surroundings}
    command = [program, str(SCRIPTS / script), *words]
    return subprocess.run(command, capture_output=True, text=True, env=env, cwd=folder, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model, its scorer and prompts, as small as they can be."""
    pipe = tiny_sd()
    pipe.unet.register_to_config(sample_size=8)
    pipe.save_pretrained(tmp_path / "model")
    tiny_clip(tmp_path / "clip")
    prompts = itertools.product(("red", "blue", "tan", "pink"), ("cat", "dog", "cow", "owl", "bee", "ant", "pig"))
    (tmp_path / "prompts.txt").write_text("".join(f"a {colour} {animal}\n" for colour, animal in prompts))
    return tmp_path


def test_a_bound_and_its_tasks(folder: Path) -> None:
    _tasks(folder, _upper_bound(folder, ("--req_score_loss", str(LIMIT))))


@pytest.mark.full  # the first commands of it are above, and the last one writes scripts of stored plans below
def test_bounds_targets_tasks_and_scripts_of_one_model(folder: Path) -> None:
    limit = ("--req_score_loss", str(LIMIT))
    bound = _upper_bound(folder, limit)
    _targets(folder, limit, bound)
    _explored(folder, limit, bound)
    _tasks(folder, bound)
    _scripts(folder)


def _upper_bound(folder: Path, limit: tuple[str, str]) -> float:
    """A search that fails does not stop the next, and is told by the exit code."""
    done = call(folder, "search_upbound.sh", *limit, *SMALL, TARGETS="nothing deepcache", **SETTING)
    assert done.returncode == 1 and "Unknown method 'nothing'" in done.stderr, done.stderr
    (entry,) = Bounds.read(folder / "speedup_bounds.json").entries
    assert entry.key == Key(MODEL, "DDIM", 3, None, LIMIT, ("deepcache",))
    if entry.max_speedup is None:  # two plans of a tiny model, each timed few times
        pytest.skip(f"this machine is too busy to show that a tiny model becomes faster: {entry.reason}")
    return entry.max_speedup


def _targets(folder: Path, limit: tuple[str, str], bound: float) -> None:
    """Undecided is no failure; a met target is there as it was asked for, and as it was measured."""
    half = 1 + (bound - 1) / 2
    speedups = f"{half} 50.0"
    done = call(folder, "traversal_search.sh", *limit, *SMALL, TARGETS="deepcache", SPEEDUPS=speedups, **SETTING)
    assert done.returncode == 0, done.stderr
    told = [line.partition(":")[0] for line in done.stdout.splitlines()]
    found = [status for status in told if status in ("met", "likely", "infeasible", "undecided")]
    assert found == ["met", "undecided"], "the budget of trials ends before the grid"
    entries = SearchParams.read(folder / "search_params.json").entries
    assert {e.key.speedup for e in entries} >= {None, bound, half}
    assert {e.methods for e in entries} == {("deepcache",)} and 50 not in {e.key.speedup for e in entries}


def _explored(folder: Path, limit: tuple[str, str], bound: float) -> None:
    matrix = ("--pipe", MODEL, "--sched", "DDIMScheduler", "--steps", "3", "--search_targets", "deepcache")
    done = call(folder, "explore_upper_bounds.py", *matrix, *limit, *SMALL, "--out", "explored")
    assert done.returncode == 0, done.stderr
    (entry,) = Bounds.read(folder / "explored" / "speedup_bounds.json").entries
    assert entry.max_speedup == bound  # the store knew it


def _tasks(folder: Path, bound: float) -> None:
    done = call(folder, "generate_tasks.py")
    assert done.returncode == 0, done.stderr
    sentences = json.loads((folder / "tasks.json").read_text(encoding="utf-8"))
    asked = [parse(sentence).target.speedup for sentence in sentences]  # type: ignore[union-attr]
    gains = [1 + share * (bound - 1) for share in (0.8, 0.9, 0.95)]
    assert asked == pytest.approx(gains, abs=0.01) and max(asked) < bound


def _scripts(folder: Path) -> None:
    done = call(folder, "auto_code_gen.py", "--measure", "--no-verify", *SMALL)
    assert done.returncode == 0, done.stderr
    report = json.loads((folder / "generated" / "generation_report.json").read_text(encoding="utf-8"))
    assert sum(report["counts"][status] for status in ("met", "likely")) == 3
    scripts = [folder / "generated" / task["script"] for task in report["tasks"]]
    assert len(set(scripts)) == 3
    for script in scripts:
        compile(script.read_text(encoding="utf-8"), str(script), "exec")


ENTRY = {"cache_interval": [3], "cache_branch_id": [0], "speedup": 2.4, "score_loss": 0.01, "time": 3.1}
KEY = "('StableDiffusionPipeline', 'DDIMScheduler', '50', {}, 0.02, ['deepcache'])"
SENTENCE = (
    "Generate a SD1.5 pipeline using the DDIM sampler with {} steps, accelerated by DeepCache with {}x speedup"
)


def test_a_missing_entry_stops_no_other_script(tmp_path: Path) -> None:
    """As the original wrote them: from the file alone, for a model that is not even here."""
    save(tmp_path / "search_params.json", {KEY.format(2.0): ENTRY})
    save(tmp_path / "tasks.json", [SENTENCE.format(20, 2.0), "Paint the wall", *_answered()])
    done = call(tmp_path, "auto_code_gen.py")
    report = json.loads((tmp_path / "generated" / "generation_report.json").read_text(encoding="utf-8"))
    assert done.returncode == 1, done.stderr
    assert [task["status"] for task in report["tasks"]] == ["failed", "failed", "likely", "likely"]
    assert all(task["reason"] for task in report["tasks"][:2])
    for task in report["tasks"][2:]:
        assert "'cache_interval': 3" in (tmp_path / "generated" / task["script"]).read_text().replace('"', "'")


def _answered() -> list[str]:
    return [SENTENCE.format(50, speedup) for speedup in (2.0, 2.2)]


def test_tasks_go_up_to_a_bound_and_no_further(tmp_path: Path) -> None:
    """The original's form of the file; its tasks are plain sentences, which its generator takes."""
    save(tmp_path / "speedup_bounds.json", {KEY.format("'upbound_speedup'"): {"max_speedup": 5.5}})
    save(tmp_path / "search_params.json", {KEY.format(5.2): {**ENTRY, "speedup": 5.2}})
    assert call(tmp_path, "generate_tasks.py").returncode == 0
    requests = read_requests(tmp_path / "tasks.json")
    asked = [parse(request.text or "").target.speedup for request in requests]  # type: ignore[union-attr]
    assert asked == [4.6, 5.05, 5.27] and not any(request.labels for request in requests)
    assert call(tmp_path, "auto_code_gen.py").returncode == 1
    report = json.loads((tmp_path / "generated" / "generation_report.json").read_text(encoding="utf-8"))
    assert [task["status"] for task in report["tasks"]] == ["likely", "likely", "failed"]


BAD = {
    "no number": (
        "traversal_search.py",
        ["--pipe", "emoji-sd", "--req_speedup", "fast"],
        "speedup is 'fast'",
    ),
    "no scheduler": ("explore_upper_bounds.py", ["--pipe", "SD1.5", "--sched", "DIMM"], "Did you mean 'DDIM'?"),
    "no bounds": ("generate_tasks.py", [], "speedup_bounds.json does not exist"),
    "no tasks": ("auto_code_gen.py", [], "search_params.json does not exist"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence_and_exit_code_2(tmp_path: Path, case: str) -> None:
    script, words, part = BAD[case]
    done = call(tmp_path, script, *words)
    assert done.returncode == 2, done.stderr
    assert part in done.stderr and "Traceback" not in done.stderr
    assert done.stdout == "" and not list(tmp_path.iterdir())


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """Stands for the interpreter: notes how it is called, and ends with the code that the speedup tells."""
    program = tmp_path / "python"
    program.write_text(
        '#!/bin/sh\nprintf "%s " "$@" >> calls; echo >> calls\n'
        'case "$*" in *" 4.0 "*) exit 3;; *" 6.0 "*) exit 1;; *" 8.0 "*) exit 130;; esac\n'
    )
    program.chmod(0o755)
    return program


def noted(program: Path) -> list[dict[str, str]]:
    """The flags of each call."""
    lines = [line.split() for line in (program.parent / "calls").read_text().splitlines()]
    assert {Path(line[0]).name for line in lines} == {"traversal_search.py"}
    return [dict(zip(line[1::2], line[2::2], strict=True)) for line in lines]


def test_upper_bounds_of_every_setting(calls: Path) -> None:
    done = call(calls.parent, "search_upbound.sh", "--seed", "7", PYTHON=str(calls))
    found = noted(calls)
    assert done.returncode == 0 and len({tuple(c.values()) for c in found}) == len(found) == 2 * 3 * 3 * 5
    assert {c["--req_speedup"] for c in found} == {"upbound_speedup"} and {c["--seed"] for c in found} == {"7"}
    assert {c["--sched"] for c in found} == {"DDIM", "DPM-Solver++", "UniPCMultistepScheduler"}


CODES = {"4.0 5.0": (0, 2), "6.0 5.0": (1, 2), "7.0 8.0 9.0": (130, 2), "6.0 8.0 9.0": (130, 2)}


@pytest.mark.parametrize("speedups", CODES)
def test_only_an_interrupt_stops_the_loop_and_only_failures_count(calls: Path, speedups: str) -> None:
    code, count = CODES[speedups]
    one = {"PIPES": "emoji-sd", "SCHEDS": "DDIM", "STEPS": "20", "TARGETS": "deepcache,tome"}
    done = call(calls.parent, "traversal_search.sh", *ORIGINAL, PYTHON=str(calls), SPEEDUPS=speedups, **one)
    assert done.returncode == code and len(noted(calls)) == count
    assert noted(calls)[0] == {
        "--pipe": "emoji-sd",
        "--sched": "DDIM",
        "--steps": "20",
        "--search_targets": "deepcache,tome",
        "--req_speedup": speedups.split(maxsplit=1)[0],
        **dict(zip(ORIGINAL[::2], ORIGINAL[1::2], strict=True)),
    }


def save(path: Path, data: Any) -> None:
    path.write_text(json.dumps(data), encoding="utf-8")
