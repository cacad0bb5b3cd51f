"""Kills commands at random moments, runs them again until they are done, and looks what is lost or left:

    python -m benchmarks.random_kills --times 30 --seed 0

Each of explore, search, run, generate and verify begins in a folder of its own. After a random time its first
process is killed by SIGKILL, and the same command is given again; after ``--in-a-row`` kills it may go on to its
end. After each kill no process of it may be left, no file may be half written, no trial that was kept may be
missing, and the device must be free; at the end the command must be done, without having measured anything twice.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import yaml
from benchmarks.kills import AT_MOST_S, NEXT
from PIL import Image

from hasten.records import Trial
from hasten.store.database import open_database

LATEST_S = 25.0
"""The latest moment of a kill; a command that is done before begins anew in another folder."""
PATIENCE_S = 900.0
DONE = (0, 3, 4)
"""The exit codes of a command that came to its end: met, infeasible, undecided."""
MARK = "HASTEN_KILLED"
"""The variable by which every process of a command is known, whoever its parent is now."""
STALE_S = 120
FEW = ["--num-samples", "8", "--pairs", "1"]
QUICK = [*FEW, "--height", "64", "--width", "64", "--device", "cpu"]
LIMIT = ["--max-loss", "clip_score=1"]
TASK = shlex.split("--model emoji-sd --scheduler DDIM --steps 4 --methods deepcache --max-trials 3")
MATRIX = {"models": "emoji-sd", "schedulers": "DDIM", "steps": [3, 4], "methods": "deepcache", "max_loss": 1.0}
REQUESTS = [f"an emoji-sd pipeline with DDIM and {steps} steps, with DeepCache" for steps in (3, 4)]
COMMANDS = ("explore", "search", "run", "generate", "verify")


@dataclass
class Command:
    """A command in a folder of its own, and what was found to be wrong after its kills."""

    name: str
    folder: Path
    faults: list[str] = field(default_factory=list)
    kept: dict[tuple[str, int], str] = field(default_factory=dict)
    kills: int = 0
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    def prepare(self, script: Path | None) -> None:
        """Writes what the command reads."""
        (self.folder / "matrix.yaml").write_text(yaml.safe_dump(MATRIX), encoding="utf-8")
        (self.folder / "requests.txt").write_text("\n".join(REQUESTS) + "\n", encoding="utf-8")
        if script is not None:
            shutil.copy(script, self.folder / "script.py")

    @property
    def words(self) -> list[str]:
        hasten, kept = [sys.executable, "-m", "hasten", self.name], ["--storage", str(self.store)]
        own = {
            "explore": ["matrix.yaml", "--max-trials", "2", *QUICK, *kept, "--out", "out"],
            "search": [*TASK, *QUICK, *LIMIT, *kept],
            "run": [*TASK, *QUICK, *LIMIT, *kept, "--out", "out"],
            "generate": ["requests.txt", "--max-trials", "2", *QUICK, *kept, "--out", "out"],
            "verify": ["script.py", *FEW],
        }
        return [*hasten, *own[self.name]]

    @property
    def store(self) -> Path:
        return self.folder / "trials.db"

    @property
    def environment(self) -> dict[str, str]:
        own = {f"XDG_{name}_HOME": str(self.folder / name.lower()) for name in ("STATE", "DATA", "CACHE")}
        return {**os.environ, **own, "OMP_NUM_THREADS": "1", MARK: self.mark}

    def start(self) -> subprocess.Popen[bytes]:
        """Begins the command as the leader of a process group of its own."""
        with (self.folder / "said").open("wb") as said:
            return subprocess.Popen(
                self.words, cwd=self.folder, env=self.environment, stdout=said, stderr=said, start_new_session=True
            )

    def killed_after(self, seconds: float) -> bool:
        """Whether the command still ran after so many seconds, when it was killed; and notes what that did."""
        process = self.start()
        with suppress(subprocess.TimeoutExpired):
            self._ended(process.wait(seconds))
            return False
        family = [*self._family(), *psutil.Process(process.pid).children(recursive=True)]
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        self.kills += 1
        self._look(family)
        return True

    def complete(self) -> None:
        """Runs the command to its end."""
        self._ended(self.start().wait(PATIENCE_S))

    def _ended(self, code: int) -> None:
        said = (self.folder / "said").read_text(encoding="utf-8", errors="replace")
        if code not in DONE or "Traceback" in said:
            self.faults.append(f"exit code {code}: {said[-2000:]}")
        self._look([])
        self.faults += [f"a draft is left: {path.name}" for path in self.folder.rglob("*.tmp")]
        self.faults += [f"measured twice: {told}" for told in repeated(list(self.kept.values()))]

    def _look(self, family: Sequence[psutil.Process]) -> None:
        """Notes what is wrong now that no process of the command may run any more."""
        began = time.monotonic()
        while (
            left := [p for p in {*family, *self._family()} if _runs(p)]
        ) and time.monotonic() - began < AT_MOST_S:
            time.sleep(0.02)
        self.faults += [f"an orphan: {process}" for process in left]
        self.faults += half_written(self.folder)
        now = trials(self.store)
        self.faults += [f"a trial is lost: {key}" for key, text in self.kept.items() if now.get(key) != text]
        self.kept = now
        free = subprocess.run([sys.executable, "-c", NEXT], env=self.environment, check=False, capture_output=True)
        self.faults += ["the device is not free"] if free.returncode else []
        for draft in self.folder.rglob("*.tmp"):  # the next command removes it once it is a minute old
            os.utime(draft, (time.time() - STALE_S,) * 2)

    def _family(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(MARK) == self.mark:
                    found.append(process)
        return found


def _runs(process: psutil.Process) -> bool:
    try:
        return process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False


def half_written(folder: Path) -> list[str]:
    """What cannot be read of the files below a folder."""
    faults = []
    for path in folder.rglob("*"):
        try:
            if path.suffix == ".json":
                json.loads(path.read_text(encoding="utf-8"))
            elif path.suffix == ".png":
                Image.open(path).load()
            elif path.suffix == ".py":
                compile(path.read_text(encoding="utf-8"), path, "exec")
            elif path.suffix == ".html" and not path.read_text(encoding="utf-8").rstrip().endswith("</html>"):
                raise ValueError("it has no end")
        except (OSError, ValueError, SyntaxError) as error:
            faults.append(f"{path.name} is half written: {error}")
    return faults


def trials(store: Path) -> dict[tuple[str, int], str]:
    """The finished trials, by study and number."""
    if not store.exists():
        return {}
    kept = open_database(str(store))
    found = {}
    for study in kept.get_all_studies():
        for trial in kept.get_all_trials(study._study_id):
            found[study.study_name, trial.number] = f"{study.study_name}\n{trial.user_attrs['trial']}"
    kept.remove_session()
    return found


def repeated(kept: Sequence[str]) -> list[str]:
    """The trials that tell no more than an earlier one of the same plan: neither more prompts nor more pairs."""
    best: dict[tuple[str, str, str], set[tuple[int, int]]] = {}
    again = []
    for study, _, text in (one.partition("\n") for one in kept):
        trial = Trial.model_validate_json(text)
        samples = min((loss.samples for loss in trial.losses.values()), default=0)
        size = (samples, len(trial.latency.times_s) if trial.latency else 0)
        before = best.setdefault((study, str(trial.plan), trial.split), set())
        again += [repr(trial)] if any(b[0] >= size[0] and b[1] >= size[1] for b in before) else []
        before.add(size)
    return again


def plain_script(folder: Path) -> Path:
    """A script for verify."""
    command = Command("run", folder)
    words = [*command.words[:4], "--model", "emoji-sd", "--scheduler", "DDIM", "--steps", "2", "--methods", "none"]
    words += [*QUICK, "--no-verify", "--storage", str(command.store), "--out", "out"]
    subprocess.run(words, cwd=folder, env=command.environment, check=True, capture_output=True)
    return next((folder / "out").glob("*.py"))


def one_round(name: str, script: Path | None, moments: Sequence[float]) -> Command:
    """A command that is killed at these moments, one after another, and then runs to its end."""
    with tempfile.TemporaryDirectory() as folder:
        command = Command(name, Path(folder))
        command.prepare(script)
        if all(command.killed_after(moment) for moment in moments):
            command.complete()
    return command


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=30, help="kills of all commands together, at least")
    parser.add_argument("--in-a-row", type=int, default=3, help="kills of one command before it may end")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance, kills, faults, number = random.Random(options.seed), 0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        script = plain_script(Path(folder))
        while kills < options.times:
            moments = [chance.uniform(0, LATEST_S) for _ in range(options.in_a_row)]
            done = one_round(COMMANDS[number % len(COMMANDS)], script, moments)
            kills, faults, number = kills + done.kills, faults + len(done.faults), number + 1
            at = ", ".join(f"{moment:.1f} s" for moment in moments[: done.kills])
            print(f"{done.name}: killed after {at or 'no time'}; then done", *done.faults, sep="\n  ", flush=True)
    print(f"{kills} kills in {number} rounds: {faults} faults")
    sys.exit(faults > 0)


if __name__ == "__main__":
    main()
