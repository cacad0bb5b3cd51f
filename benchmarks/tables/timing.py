"""The second stage: plans timed in interleaved pairs with the baseline, alone on the device."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

from hasten.measure.bench import Bench
from hasten.measure.blocks import profile_blocks
from hasten.plan import Plan

from .parts import Line, PartFile, read
from .plans import Row
from .recording import Recording, deadline_of, header_of, measured, progress_bar, steps_of

PROFILE_REPEATS = 3


def latency(recording: Recording) -> int:
    """Times the first plans of each table that have no times yet, the tables in turn; of shares its own."""
    planned, deadline = recording.rows(), deadline_of(recording)
    ranked = [
        (rank, setting, row)
        for setting, tables in planned.items()
        for rows in tables.values()
        for rank, row in enumerate(rows[: recording.timed])
    ]
    known = {setting: read(recording.folder(setting), "latency") for setting in planned}
    own, count = recording.share
    shared = sorted(ranked, key=lambda job: job[0])[own - 1 :: count]
    jobs = [(s, row) for _, s, row in shared if row not in known[s][1]]
    opened: dict[str, tuple[Bench, PartFile]] = {}
    with progress_bar() as progress:
        for setting, row in progress.track(jobs, description="timed"):
            if time.time() >= deadline:
                break
            if setting not in opened:
                bench = recording.bench(setting, "latency")
                header = header_of(recording, bench) | {"profile": _profile(recording, bench, known[setting][0])}
                opened[setting] = bench, PartFile(recording.folder(setting), "latency", header)
            bench, part = opened[setting]
            part.add(row._asdict() | measured(partial(_times, recording, bench, row)))
    return 0


def _profile(recording: Recording, bench: Bench, headers: Sequence[Line]) -> Line:
    """The baseline's seconds by part of the denoiser, for cost models; measured once a setting."""
    if headers:
        profile: Line = headers[0]["profile"]
        return profile
    return profile_blocks(bench.pipeline, repeats=min(PROFILE_REPEATS, recording.pairs)).model_dump(mode="json")


def _times(recording: Recording, bench: Bench, row: Row) -> Line:
    found = bench.latency(
        Plan.parse(row.plan),
        pairs=recording.pairs,
        steps=steps_of(bench, row),
        enough=lambda *_: False,  # all pairs; with it the baseline is warmed up once a bench only
    )
    return {"latency": found.model_dump(mode="json")}
