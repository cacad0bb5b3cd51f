"""The first stage: every plan drawn and scored, by several processes that share the device."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from multiprocessing.sharedctypes import Synchronized

from hasten.errors import HastenError
from hasten.measure.bench import Bench
from hasten.measure.contract import METRIC_NAMES
from hasten.plan import Plan
from hasten.records import Split

from .parts import Line, PartFile, read
from .plans import Row
from .recording import Recording, deadline_of, header_of, measured, progress_bar, steps_of

SPLITS: tuple[Split, ...] = ("search", "held-out")
DECIMALS = 5
"""Of a score in a part file; the tables keep fewer."""
Job = tuple[str, Row]


def quality(recording: Recording) -> int:
    """Scores all plans that have no scores yet, here or in ``jobs`` processes that take them from one queue.

    Returns:
        the exit code.
    """
    planned = recording.rows()
    known = {setting: read(recording.folder(setting), "quality")[1] for setting in planned}
    order = ((s, row) for name in recording.tables for s in planned for row in planned[s][name])
    jobs = [(setting, row) for setting, row in order if row not in known[setting]]
    return _here(recording, jobs) if recording.jobs == 1 else _in_processes(recording, jobs)


def _here(recording: Recording, jobs: Sequence[Job]) -> int:
    score, deadline = _scorers(recording), deadline_of(recording)
    with progress_bar() as progress:
        for setting, row in progress.track(jobs, description="scored"):
            if time.time() >= deadline:
                break
            score(setting, row)
    return 0


def _in_processes(recording: Recording, jobs: Sequence[Job]) -> int:
    context = multiprocessing.get_context("spawn")
    taken, deadline = context.Value("i", 0), deadline_of(recording)
    workers = [
        context.Process(target=_score_all, args=(recording, number, jobs, taken, deadline), daemon=True)
        for number in range(min(recording.jobs, len(jobs)))
    ]
    for worker in workers:
        worker.start()
    with progress_bar() as progress:
        bar = progress.add_task("scored", total=len(jobs))
        while alive := sum(worker.is_alive() for worker in workers):
            progress.update(bar, completed=max(0, taken.value - alive))
            time.sleep(0.2)
        progress.update(bar, completed=min(taken.value, len(jobs)))
    ended_early = sorted({worker.exitcode for worker in workers if worker.exitcode})
    if ended_early:
        print(f"Processes ended early with {ended_early}: see above. The same command goes on.", file=sys.stderr)
    return max(map(abs, ended_early), default=0)


def _score_all(
    recording: Recording, number: int, jobs: Sequence[Job], taken: Synchronized[int], deadline: float
) -> None:
    """One process: takes the next plan, scores it, writes it down, until none is left or time is up."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    # The device's lock is for timing. Scores are not timed: a lock of its own lets each process draw at once.
    os.environ["XDG_STATE_HOME"] = str(recording.work.absolute() / "locks" / str(number))
    torch.set_num_threads(1)
    try:
        score = _scorers(recording)
        for setting, row in _taken(jobs, taken, deadline):
            score(setting, row)
    except HastenError as error:
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None


def _taken(jobs: Sequence[Job], taken: Synchronized[int], deadline: float) -> Iterator[Job]:
    """The next plans of the common queue, for as long as there is time and a parent."""
    parent = multiprocessing.parent_process()
    while time.time() < deadline and (parent is None or parent.is_alive()):
        with taken.get_lock():
            number, taken.value = taken.value, taken.value + 1
        if number >= len(jobs):
            return
        yield jobs[number]


def _scorers(recording: Recording) -> Callable[[str, Row], None]:
    """Scores a row and writes it down; a setting's bench and part file are opened when it first comes up."""
    opened: dict[str, tuple[Bench, PartFile]] = {}

    def score(setting: str, row: Row) -> None:
        if setting not in opened:
            bench = recording.bench(setting, "quality")
            header = header_of(recording, bench) | _baseline(recording, bench)
            opened[setting] = bench, PartFile(recording.folder(setting), "quality", header)
        bench, part = opened[setting]
        part.add(row._asdict() | measured(partial(_scores, recording, bench, row)))

    return score


def _scores(recording: Recording, bench: Bench, row: Row) -> Line:
    """``{"scores": {metric: [of the search's prompts, then of the held-out ones]}}``"""
    return {"scores": {metric: found[1] for metric, found in _by_metric(recording, bench, row).items()}}


def _baseline(recording: Recording, bench: Bench) -> Line:
    found = _by_metric(recording, bench, Row(str(Plan()), bench.setting.steps))
    return {
        "samples": dict.fromkeys(SPLITS, recording.samples // 2),
        "baseline": {metric: values[0] for metric, values in found.items()},
        "versions": {metric: values[2] for metric, values in found.items()},
    }


def _by_metric(recording: Recording, bench: Bench, row: Row) -> dict[str, tuple[list[float], list[float], str]]:
    """Metric → baseline scores, scores and the metric's version, over both splits."""
    each = [
        bench.quality(
            Plan.parse(row.plan), split=split, samples=recording.samples // 2, steps=steps_of(bench, row)
        )
        for split in SPLITS
    ]
    return {
        metric: (
            [round(x, DECIMALS) for losses in each for x in losses[metric].baseline_scores],
            [round(x, DECIMALS) for losses in each for x in losses[metric].scores],
            each[0][metric].version,
        )
        for metric in METRIC_NAMES
    }
