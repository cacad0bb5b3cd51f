"""Batches on tiny pipelines: the folders they are loaded from, and ``hasten`` as a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest

from hasten.records import Trial
from hasten.store import storage_url
from hasten.task import Target, Task
from hasten.testing.pipelines import tiny_sd

PATIENCE_S = 180
QUICK = ("--num-samples", "8", "--pairs", "1", "--device", "cpu")
STORE = "trials.db"
PARENT = (
    "import sys; from hasten.cli import main\n"
    "try: main()\n"
    "finally: assert not {'torch', 'diffusers', 'transformers'} & set(sys.modules), 'heavy'"
)
TINY, HUGE = "./tiny", "./huge"
"""Model folders: 64 pixels; and far more than the memory of any machine holds."""


def asked(speedup: float | None = None, branch: int | None = None, model: str = TINY, **changes: Any) -> Task:
    """DeepCache in two steps, where any images are good enough, and any plan is fast enough unless a speedup is
    given. With ``branch`` one plan is all that is to try."""
    given = {} if branch is None else {"deepcache": {"cache_interval": 2, "cache_branch_id": branch}}
    target = Target(latency_s=3600) if speedup is None else Target(speedup=speedup)
    own = {"methods": ("deepcache",), "parameters": given, "target": target, "max_loss": {"ssim": 1.0}}
    return Task(model=model, scheduler="DDIM", steps=2, **{**own, **changes})


@dataclass(frozen=True)
class Place:
    """A working folder with the model folders, and the surroundings of processes that run in it."""

    folder: Path
    environment: Mapping[str, str]

    def run(self, *words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """``hasten`` with these words, to its end."""
        return subprocess.run(_command(words), input=stdin, timeout=PATIENCE_S, check=False, **self._how)

    def measure(self, *words: str) -> subprocess.CompletedProcess[str]:
        """The same, with few prompts and pairs and the place's own store."""
        return self.run(*self._measuring(words))

    @contextmanager
    def started(self, *words: str) -> Iterator[subprocess.Popen[str]]:
        """``measure`` begun. A shell's background jobs ignore Ctrl-C, and so would it: the default is put back."""
        process = subprocess.Popen(
            _command(self._measuring(words)),
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
            **self._how,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def _measuring(self, words: Sequence[str]) -> list[str]:
        return [*words, *QUICK, "--storage", STORE, "--prompts", "prompts.txt"]

    @property
    def _how(self) -> dict[str, Any]:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return {**pipes, "cwd": self.folder, "env": dict(self.environment), "text": True, "encoding": "utf-8"}

    def read(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text(encoding="utf-8"))

    def write(self, name: str, data: Any) -> Path:
        text = data if isinstance(data, str) else json.dumps(data)
        (self.folder / name).write_text(text, encoding="utf-8")
        return self.folder / name

    def answers(self, out: str) -> dict[str, int]:
        """What is kept of the answers, with the time of writing: an answer that is found anew is written anew."""
        return {file.stem: file.stat().st_mtime_ns for file in (self.folder / out / "answers").glob("*.json")}

    def starts(self, out: str) -> int:
        """How many jobs the worker of the processor has begun."""
        return self.log(out).count(": start: ")

    def log(self, out: str) -> str:
        """What the worker of the processor wrote."""
        log = self.folder / out / "logs" / "worker-cpu.log"
        return log.read_text(encoding="utf-8") if log.exists() else ""

    def measured(self) -> Counter[tuple[str, str, str]]:
        """How often each plan of each setting and split was measured."""
        url = storage_url(str(self.folder / STORE))
        studies = [optuna.load_study(study_name=name, storage=url) for name in optuna.get_all_study_names(url)]
        kept = [(s.study_name, t.user_attrs["trial"]) for s in studies for t in s.trials]
        trials = [(name, Trial.model_validate_json(text)) for name, text in kept]
        return Counter((name, str(trial.plan), trial.split) for name, trial in trials)


def _command(words: Sequence[str]) -> list[str]:
    """The process that waits for the workers holds no model, and stays as small as it began."""
    return [sys.executable, "-X", "utf8", "-c", PARENT, *words]


@contextmanager
def made_place(folder: Path) -> Iterator[Place]:
    """A place in a folder; this process works there meanwhile, too."""
    pipe = tiny_sd()
    pipe.unet.register_to_config(sample_size=8)
    pipe.save_pretrained(folder / TINY)
    shutil.copytree(folder / TINY, folder / HUGE)
    config = folder / HUGE / "unet" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "sample_size": 100_000}))
    (folder / "prompts.txt").write_text("\n".join("abcdefghijklmnop"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in ("XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
            patch.setenv(name, str(folder / name.lower()))
        for name, value in (("OMP_NUM_THREADS", "1"), ("HF_HUB_OFFLINE", "1"), ("COLUMNS", "200")):
            patch.setenv(name, value)
        yield Place(folder, dict(os.environ))


def until(condition: Callable[[], Any]) -> Any:
    """What the condition gives as soon as it is true."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def children(pid: int) -> list[int]:
    """The processes that a process, or any of its threads, started and has not waited for."""
    found: list[int] = []
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(child) for child in thread.read_text().split()]
        except (FileNotFoundError, ProcessLookupError):  # the thread ended meanwhile
            continue
    return found


def alive(pid: int) -> bool:
    """Exists and runs: an orphan that died may wait long for an init process that asks."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
