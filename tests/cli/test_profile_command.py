"""``hasten profile`` as a user meets it: real processes on emoji-sd."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.support.commands import Done, each

SMALL = ("profile", "--pipe", "emoji-sd", "--steps", "2", "--pairs", "1", "--device", "cpu")
SIZE = ("--height", "32", "--width", "32")
DEEPCACHE = "deepcache(cache_branch_id=0,cache_interval=2)"


@pytest.fixture
def surroundings(own_surroundings: None) -> dict[str, str]:
    return {**os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": "200"}


def hasten(surroundings: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-X", "utf8", "-m", "hasten", *words]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", env=surroundings, check=False)


@pytest.mark.full  # test_profile.py has a profile's parts and its first calls
def test_one_document_of_baseline_and_plan(surroundings: dict[str, str]) -> None:
    done = hasten(surroundings, *SMALL, *SIZE, "--batch-sizes", "1,2", "--plan", DEEPCACHE, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["plan"], found["setting"]["model"], found["setting"]["steps"]) == (DEEPCACHE, "emoji-sd", 2)
    assert [row["batch_size"] for row in found["batch_sizes"]] == [1, 2]
    for row in found["batch_sizes"]:
        assert row["speedup"] > 0 and len(row["speedup_interval"]) == 2
        assert row["baseline"]["times_s"] and row["plan"]["parts_times_s"]["denoiser"]
        assert row["peak_resident_bytes"] > 10**7
    assert [one["plan"] for one in found["first_calls"]] == ["baseline", DEEPCACHE]
    assert all(one["load_s"] > 0 and one["call_s"] > 0 for one in found["first_calls"])


@pytest.mark.full  # the document above has their figures
def test_tables_for_people(surroundings: dict[str, str]) -> None:
    done = hasten(surroundings, *SMALL, *SIZE, "--guidance-scale", "1", "--fresh", "0", "--batch-sizes", "2")
    assert done.returncode == 0, done.stderr
    assert "32×32 pixels, guidance 1, float32 on cpu" in done.stdout
    for words in ("text encoding", "denoiser", "decoding", "rest", "images/s", "peak resident"):
        assert words in done.stdout
    assert "speedup" not in done.stdout and "first call" not in done.stdout


BAD = [
    (("--batch-sizes", "1,x"), "whole numbers"),
    (("--batch-sizes", "0"), "each at least 1"),
    (("--plan", "deepcahe"), "Did you mean 'deepcache'?"),
    (("--plan", "deepcache(cache_interval=2"), "is not a plan"),
    (("--sched", "DIMM"), "Did you mean 'DDIM'?"),
    (("--fresh", "-1"), "first calls is -1"),
]


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Done]:
    """One process tries every bad command."""
    own = {name: str(tmp_path_factory.mktemp(name.lower())) for name in ("XDG_STATE_HOME", "XDG_DATA_HOME")}
    here = tmp_path_factory.mktemp("here")
    return each({part: (here, (*SMALL, *words)) for words, part in BAD}, **own)


@pytest.mark.parametrize("part", [part for _, part in BAD])
def test_bad_input_is_one_sentence_and_exit_code_2(refused: dict[str, Done], part: str) -> None:
    done = refused[part]
    assert done.code == 2, done.errors
    assert part in done.errors and "Traceback" not in done.errors and done.output == ""


@pytest.mark.full  # a search ends so in test_cli.py
def test_control_c_ends_with_130(surroundings: dict[str, str]) -> None:
    """A shell's background jobs ignore Ctrl-C, and so would all they start: the default is put back."""
    command = [sys.executable, "-m", "hasten", *SMALL, "--pairs", "100000", "--batch-sizes", "1"]
    process = subprocess.Popen(
        command,
        env=surroundings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    try:
        deadline = time.monotonic() + 120
        while not list(Path(surroundings["XDG_STATE_HOME"]).rglob("*.lock")) and time.monotonic() < deadline:
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert out == "" and "Nothing was written" in errors and "Traceback" not in errors
