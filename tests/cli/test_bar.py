"""What is seen while one request is answered: at 80 columns of a real terminal, and through a pipe."""

from __future__ import annotations

import itertools
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from fcntl import ioctl
from pathlib import Path

import pytest
from tests.support.tiny_clip import tiny_clip

from hasten.cli.bar import best_line, span
from hasten.search import Progress
from hasten.task import Target
from hasten.testing.pipelines import tiny_sd

COLUMNS = 80
REQUEST = (
    "run",
    "--model",
    "model",
    "--steps",
    "4",
    "--methods",
    "deepcache",
    "--speedup",
    "50",
    "--max-loss",
    "0.9",
)
QUICK = ("--scorer", "clip", "--prompts", "prompts.txt", "--num-samples", "8", "--pairs", "1", "--max-trials", "2")
COMMAND = (sys.executable, "-m", "hasten", *REQUEST, *QUICK, "--no-verify", "--strategy", "traversal")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, its scorer and prompts, as small as they can be."""
    here = tmp_path_factory.mktemp("here")
    pipe = tiny_sd()
    pipe.unet.register_to_config(sample_size=8)
    pipe.save_pretrained(here / "model")
    tiny_clip(here / "clip")
    prompts = itertools.product(("red", "blue", "tan", "pink"), ("cat", "dog", "cow", "owl", "bee", "ant", "pig"))
    (here / "prompts.txt").write_text("".join(f"a {colour} {animal}\n" for colour, animal in prompts))
    return here


@pytest.fixture
def surroundings(own_surroundings: None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    return {**kept, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TERM": "xterm"}


@pytest.mark.full  # what the best is told as is below
def test_a_terminal_of_80_columns_shows_stage_bar_clock_and_the_best_against_the_target(
    folder: Path, surroundings: dict[str, str]
) -> None:
    shown = _on_a_terminal([*COMMAND, "--out", str(folder / "terminal")], surroundings, folder)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    lines = [line.rstrip() for line in re.split(r"[\r\n]+", plain)]
    heads = [line for line in lines if "━" in line]
    assert heads and all(len(line) <= COLUMNS for line in heads)
    assert all(re.search(r"\d:\d\d", line) and "…" not in line for line in heads), "the clock is never cut"
    assert any(
        re.match(r"(search|fallback) +━+.* [12] trials? +\d:\d\d  up to \d:\d\d left$", line) for line in heads
    )
    assert any(re.match(r"best \d\.\d\dx of 50x, clip_score loss -?0\.\d{4} of 0\.9", line) for line in lines)
    assert re.search(r"0:\d\d  trial 1  \d\.\d\dx  deepcache\(", plain), "a line a trial stays"
    assert re.search(r"0:\d\d  trial [12](?: again)?  \d\.\d\dx  clip_score loss", plain)
    assert "/16" not in plain, "the grid is no goal"


@pytest.mark.full  # likewise
def test_a_pipe_gets_plain_lines_at_once_and_whole(folder: Path, surroundings: dict[str, str]) -> None:
    command = [*COMMAND, "--out", str(folder / "pipe"), "--json"]
    with subprocess.Popen(
        command, cwd=folder, env=surroundings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr and process.stdout
        first = process.stderr.readline()
        assert process.poll() is None and re.fullmatch(r" +0:\d\d  starting\n", first)
        rest = process.stderr.read()
        document = process.stdout.read()
    assert document.startswith("{") and process.returncode == 4, rest  # two trials decide nothing
    assert "\x1b" not in rest and "━" not in rest
    (trial,) = re.findall(r"^ +\d:\d\d  trial 1  .*$", rest, re.MULTILINE)
    assert len(trial) > COLUMNS and "x  deepcache(cache_branch_id=3,cache_interval=2)  skipped" in trial
    assert re.search(r"\[up to \d:\d\d left; none yet, asked 50x\]$", trial)
    assert re.search(r"\[.*best \d\.\d\dx of 50x, clip_score loss -?0\.\d{4} of 0\.9\]$", rest, re.MULTILINE)
    for stage in ("search", "fallback", "confirm", "compare", "report"):
        assert re.search(rf"^ +\d:\d\d  {stage}\b", rest, re.MULTILINE), stage


def test_best_is_told_against_what_is_asked_for() -> None:
    now = Progress("search", asked=Target(speedup=2.5), limits={"clip_score": 0.02})
    assert best_line(now, None) == "none yet, asked 2.5x"
    assert best_line(Progress("search"), None) == best_line(None, None) == ""
    assert (span(42.4), span(3723)) == ("0:42", "1:02:03")


def _on_a_terminal(command: list[str], surroundings: dict[str, str], folder: Path) -> str:
    """All that a terminal of 80 columns and 24 lines is sent."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    with subprocess.Popen(
        command, cwd=folder, env=surroundings, stdin=theirs, stdout=theirs, stderr=theirs
    ) as child:
        os.close(theirs)
        found, until = b"", time.monotonic() + 300
        while time.monotonic() < until:
            if not select.select([ours], [], [], 1)[0]:
                continue
            try:
                found += os.read(ours, 65536)
            except OSError:  # the last process on the terminal has ended
                break
        child.wait(timeout=60)
    os.close(ours)
    return found.decode("utf-8", errors="replace")
