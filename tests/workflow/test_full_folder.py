"""A file system that is full while an answer is written: the exit code, what is there, and the same command later.

The folder is a file system of its own in memory, of few kilobytes at first. In ``make test`` the store meets a
full one, in test_store.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from benchmarks.random_kills import half_written
from tests.support.batches import PATIENCE_S, QUICK, TINY, Place, asked, made_place
from tests.support.tiny_clip import tiny_clip

from hasten.language.render import render

MANY_KB = 8192
RUN = ("run", "--pipe", TINY, "--sched", "DDIM", "--steps", "2", "--methods", "none", "--no-verify")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with made_place(tmp_path_factory.mktemp("place")) as found:
        tiny_clip(found.folder / "clip")
        found.write("list.json", LIST)
        found.write("cell.yaml", {**CELL, "ratios": [0.8]})
        yield found


CELL = {"models": TINY, "schedulers": "DDIM", "steps": 2, "methods": "deepcache", "max_loss": [{"ssim": 1.0}]}
LIST = [render(asked(methods=(), target=None)), render(asked(branch=3))]
BATCHES = {
    "generate": (("generate", "list.json", "--no-verify"), {"generation_report.json", "manifest.json"}),
    "explore": (("explore", "cell.yaml", "--max-trials", "1"), {"speedup_bounds.json"}),
    "run": (("run", "--matrix", "cell.yaml", "--max-trials", "1", "--no-verify"), {"tasks.json", "manifest.json"}),
}
"""The commands of a batch, and files that they write."""


def hasten(place: Place, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hasten", *words]
    how = {"cwd": place.folder, "env": dict(place.environment), "capture_output": True, "text": True}
    return subprocess.run(command, check=False, timeout=PATIENCE_S, **how)  # type: ignore[call-overload,no-any-return]


def measured(place: Place, *words: str) -> subprocess.CompletedProcess[str]:
    kept = ("--storage", "trials.db", "--prompts", "prompts.txt", "--scorer", "./clip")
    return hasten(place, *words, *QUICK, *kept)


@contextmanager
def sized(folder: Path, kilobytes: int) -> Iterator[Path]:
    """A file system of that size, as a folder. The test is skipped where it may not be mounted."""
    folder.mkdir()
    how = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    try:
        done = subprocess.run(how, check=False, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("There is no command mount here.")
    if done.returncode:
        pytest.skip(f"A small file system cannot be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def grown(folder: Path) -> None:
    subprocess.run(["mount", "-o", f"remount,size={MANY_KB}k", str(folder)], check=True)


def whole(folder: Path) -> set[str]:
    """The names of the files below a folder. Each can be read, and no draft of one is left."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".lock")]
    assert not half_written(folder)
    assert not [path for path in files if path.suffix == ".tmp"]
    return {str(path.relative_to(folder)) for path in files}


@pytest.mark.full
@pytest.mark.parametrize("kilobytes", [4, 12, 40])
def test_a_run_whose_folder_is_full_says_so_and_completes_later(place: Place, kilobytes: int) -> None:
    with sized(place.folder / f"full{kilobytes}", kilobytes) as full:
        first = measured(place, *RUN, "--out", str(full / "out"))
        assert first.returncode == 1, first.stderr
        assert "No space left on device" in first.stderr and "Traceback" not in first.stderr
        there = whole(full)
        for name in there:
            assert Path(name).name in first.stderr, f"{name} was written, and is not named"
        assert there or "Nothing was written before it" in first.stderr
        grown(full)
        again = measured(place, *RUN, "--out", str(full / "out"), "--json")
        assert again.returncode == 0, again.stderr
        assert whole(full) >= {"out/answer.json", "out/report.html", *there}
        assert Path(json.loads(again.stdout)["script"]).exists()


@pytest.mark.full
def test_a_report_on_a_full_folder_leaves_the_old_one(place: Place) -> None:
    with sized(place.folder / "report", MANY_KB) as full:
        out = full / "out"
        assert measured(place, *RUN, "--out", str(out)).returncode == 0
        before = (out / "report.html").read_text(encoding="utf-8")
        filler = full / "filler"
        with pytest.raises(OSError, match="No space"), filler.open("wb") as file:
            while True:
                file.write(bytes(4096))
                file.flush()
        done = hasten(place, "report", str(out))
        assert done.returncode == 1 and "No space left on device" in done.stderr
        assert (out / "report.html").read_text(encoding="utf-8") == before
        filler.unlink()
        assert hasten(place, "report", str(out)).returncode == 0
        assert "out/report.html" in whole(full)


FULL = [(command, size) for command in BATCHES for size in ((4, 8) if command == "explore" else (4, 8, 24, 40))]
"""The sizes are of different moments; all that explore writes fits into 24 KB."""


@pytest.mark.full
@pytest.mark.parametrize(("command", "kilobytes"), FULL)
def test_a_batch_whose_folder_is_full_says_so_and_completes_later(
    place: Place, command: str, kilobytes: int
) -> None:
    words, files = BATCHES[command]
    with sized(place.folder / f"{command}{kilobytes}", kilobytes) as full:
        first = measured(place, *words, "--out", str(full / "out"))
        assert first.returncode == 1, first.stderr
        (said,) = [line for line in first.stderr.splitlines() if "No space left on device" in line]
        assert "cannot be written" in said and "Make space, and run the same again" in said
        assert "Traceback" not in first.stderr
        there = whole(full)
        grown(full)
        again = measured(place, *words, "--out", str(full / "out"))
        assert again.returncode == 0, again.stderr
        assert whole(full) >= {*(f"out/{name}" for name in files), *there}
