"""Reads recorded tables: every plan's scores prompt by prompt, and the times of those that were timed.

    table = load("DDIM 25", "deepcache,tome")
    plan, speedup = table.best({"clip_score": 0.02})

A table is one .npz: ``header`` (JSON as bytes: what was measured, how and with what, and the plans), and of each
metric ``baseline_NAME`` (prompts) and ``scores_NAME``. The scores are differences from the baseline's, in steps
of 1/2048 of its mean: int16 of the shape (plans, prompts), stored as two planes of bytes, low and high, which
compresses better. ``times``, float32 of the shape (plans, 2, pairs), holds the seconds of baseline and plan of
each interleaved pair, NaN where there is none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hasten.errors import InputError
from hasten.limits import Limits
from hasten.measure.blocks import BlockProfile
from hasten.measure.stats import paired_loss
from hasten.metrics import METRICS
from hasten.plan import Plan
from hasten.records import Interval, Split
from hasten.task import Setting

from .plans import Row, canonical, canonical_setting, slug

FOLDER = Path(__file__).parent
FORMAT = 1
STEPS_OF_A_MEAN = 2048
FAILED = -32768
"""In the place of a score: the plan drew no picture."""

Numbers = npt.NDArray[np.float64]
Predict = Callable[[Plan], float]
"""The speedup of a plan that was never timed."""


@dataclass(frozen=True)
class Table:
    """The recorded trials of one setting and one set of methods.

    Args:
        header: JSON; what was measured and how.
        rows: the plans with their steps, in the seeded order of the recording.
        baseline: metric → (prompts,), the search's prompts first, then the held-out ones.
        scores: metric → (plans, prompts), NaN where the plan failed.
        times: (plans, 2, pairs), seconds of baseline and plan; NaN where not timed.
    """

    header: Mapping[str, Any]
    rows: tuple[Row, ...]
    baseline: Mapping[str, Numbers]
    scores: Mapping[str, Numbers]
    times: Numbers

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def name(self) -> str:
        return str(self.header["table"])

    @property
    def setting(self) -> Setting:
        """That of the times; where nothing was timed, that of the scores."""
        timed = self.header["latency"]
        return Setting(**(timed or self.header)["setting"])

    @property
    def profile(self) -> BlockProfile | None:
        """Where the baseline's time goes, for a cost model; None where nothing was timed."""
        timed = self.header["latency"]
        return BlockProfile.model_validate(timed["profile"]) if timed else None

    @cached_property
    def plans(self) -> list[Plan]:
        return [Plan.parse(row.plan) for row in self.rows]

    @cached_property
    def index(self) -> dict[Row, int]:
        """Where each row stands."""
        return {row: i for i, row in enumerate(self.rows)}

    @property
    def complete(self) -> bool:
        return len(self) == self.header["planned"]

    @property
    def timed(self) -> npt.NDArray[np.bool_]:
        """(plans,): which have times."""
        found: npt.NDArray[np.bool_] = np.isfinite(self.times).any(axis=(1, 2))
        return found

    def failure(self, row: int) -> str | None:
        """Why that row's plan has no scores."""
        reason: str | None = self.header["failures"].get(str(row))
        return reason

    def columns(self, split: Split | None = None) -> npt.NDArray[np.int64]:
        """The columns of a split's prompts in their order, of all prompts where None."""
        samples = self.header["samples"]
        first = samples["search"]
        ends = {"search": (0, first), "held-out": (first, first + samples["held-out"])}
        return np.arange(*ends[split]) if split else np.arange(sum(samples.values()))

    def losses(self, metric: str, split: Split | None = None) -> Numbers:
        """(plans,): the mean loss of every plan, NaN where it failed."""
        columns = self.columns(split)
        base = self.baseline[metric][columns].mean()
        sign = 1.0 if METRICS.get(metric).higher_is_better else -1.0
        found: Numbers = sign * (base - self.scores[metric][:, columns].mean(axis=1)) / base
        return found

    def loss(self, row: int, metric: str, split: Split | None = None) -> tuple[float, Interval]:
        """One plan's loss and its interval over the prompts."""
        columns = self.columns(split)
        return paired_loss(
            self.baseline[metric][columns].tolist(),
            self.scores[metric][row, columns].tolist(),
            higher_is_better=METRICS.get(metric).higher_is_better,
        )

    def pairs(self, row: int) -> Numbers:
        """(2, pairs): the seconds of baseline and plan in each timed pair; no pairs where it was not timed."""
        times = self.times[row]
        found: Numbers = times[:, np.isfinite(times).all(axis=0)]
        return found

    @cached_property
    def scatter(self) -> tuple[Numbers, Numbers]:
        """Of every timed pair: the baseline's seconds, as if all plans had been timed at one speed of the machine,
        and how far the log of plan over baseline is off the plan's mean, without what a mean of few hides."""
        seconds, off = [], []
        for row in np.flatnonzero(self.timed):
            baseline_s, plan_s = self.pairs(int(row))
            if len(plan_s) > 1:
                logs = np.log(plan_s / baseline_s)
                off.append((logs - logs.mean()) * math.sqrt(len(logs) / (len(logs) - 1)))
                seconds.append(baseline_s / np.median(baseline_s))
        return np.concatenate(seconds) * float(np.nanmedian(self.times[:, 0])), np.concatenate(off)

    def speedups(self, predict: Predict | None = None) -> Numbers:
        """(plans,): ratios of median times; of plans that were not timed what ``predict`` says, NaN without it."""
        found = np.full(len(self), np.nan)
        timed = self.timed
        medians = np.nanmedian(self.times[timed], axis=2)
        found[timed] = medians[:, 0] / medians[:, 1]
        if predict is not None:
            found[~timed] = [predict(plan) for plan, known in zip(self.plans, timed, strict=True) if not known]
        return found

    def feasible(self, limits: Mapping[str, float], split: Split | None = None) -> npt.NDArray[np.bool_]:
        """(plans,): whose mean losses are all inside the limits (a mapping, or hasten's Limits)."""
        limits = limits if isinstance(limits, Limits) else Limits(limits)
        inside = [_excess(limits, metric, self.losses(metric, split)) < 0 for metric in limits]
        return np.all(inside, axis=0)  # NaN is below nothing

    def best(
        self, limits: Mapping[str, float], predict: Predict | None = None, split: Split | None = None
    ) -> tuple[Plan, float] | None:
        """The fastest plan inside the limits and its speedup, among those with one; None where there is none."""
        speedups = np.where(self.feasible(limits, split), self.speedups(predict), np.nan)
        if np.isnan(speedups).all():
            return None
        row = int(np.nanargmax(speedups))
        return self.plans[row], float(speedups[row])

    def save(self, path: Path) -> None:
        """Writes the .npz; whole or not at all."""
        header = {**self.header, "format": FORMAT, "rows": self.rows}
        arrays = {"header": np.frombuffer(json.dumps(header).encode(), np.uint8)}
        for metric, baseline in self.baseline.items():
            arrays[f"baseline_{metric}"] = baseline
            arrays[f"scores_{metric}"] = _encoded(self.scores[metric], baseline)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".tmp.npz")
        np.savez_compressed(draft, times=self.times.astype(np.float32), **arrays)
        draft.replace(path)

    @classmethod
    def read(cls, path: Path) -> Table:
        """Reads an .npz. Raises InputError where its format is another."""
        with np.load(path) as file:
            header = json.loads(file["header"].tobytes())
            if header["format"] != FORMAT:
                raise InputError(f"{path} has format {header['format']}, this reads {FORMAT}: pack it again.")
            names = [key.removeprefix("scores_") for key in file.files if key.startswith("scores_")]
            baseline = {name: file[f"baseline_{name}"] for name in names}
            scores = {name: _decoded(file[f"scores_{name}"], baseline[name]) for name in names}
            times = file["times"].astype(np.float64)
        return cls(header, tuple(Row(*row) for row in header.pop("rows")), baseline, scores, times)


def load(setting: str, methods: str | Sequence[str], folder: Path = FOLDER) -> Table:
    """The table of a setting (``DDIM 25``) and a set of methods (``deepcache,tome``, or ``fewer-steps``).

    Raises:
        InputError: there is none; the message lists those that are there.
    """
    path = path_of(folder, canonical_setting(setting), canonical(methods))
    if not path.is_file():
        there = sorted(str(found.relative_to(folder)) for found in folder.glob("*/*.npz"))
        raise InputError(
            f"No table at {path}. There are: {', '.join(there) or 'none'}. Record it: benchmarks/tables/README.md."
        )
    return Table.read(path)


def path_of(folder: Path, setting: str, table: str) -> Path:
    return folder / slug(setting) / f"{slug(table)}.npz"


def _excess(limits: Limits, metric: str, losses: Numbers) -> Numbers:
    return np.array([limits.excess(metric, loss) for loss in losses])


def _encoded(scores: Numbers, baseline: Numbers) -> npt.NDArray[np.uint8]:
    """(2, plans, prompts): the low bytes and the high bytes of the differences in steps."""
    steps = np.rint((scores - baseline) / _step(baseline)).clip(FAILED + 1, -FAILED - 1)
    kept = np.where(np.isnan(steps), FAILED, steps).astype("<i2")
    return kept.view(np.uint8).reshape(*kept.shape, 2).transpose(2, 0, 1)


def _decoded(planes: npt.NDArray[np.uint8], baseline: Numbers) -> Numbers:
    kept = np.ascontiguousarray(planes.transpose(1, 2, 0)).view("<i2")[..., 0]
    found: Numbers = np.where(kept == FAILED, np.nan, baseline + kept * _step(baseline))
    return found


def _step(baseline: Numbers) -> float:
    return float(np.abs(baseline).mean()) / STEPS_OF_A_MEAN
