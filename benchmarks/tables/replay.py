"""Searches a recorded table instead of a device: a bench whose trials are read, not measured.

    bench = TableBench([load("DDIM 25", "deepcache"), load("DDIM 25", "fewer-steps")])
    run_search(bench, task, SearchOptions(storage="memory"))

Where the table is a sample of its space, search a ``RecordedSpace`` (a ``Session`` takes spaces) in its place.
"""

from __future__ import annotations

import itertools
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hasten.errors import InputError
from hasten.measure.contract import DEFAULT_SPEC, METRIC_NAMES, TrialSpec
from hasten.measure.failures import PlanError
from hasten.measure.pipeline import Pipeline
from hasten.measure.prompts import load as load_prompts
from hasten.measure.quality import Losses, Report, StopEarly, chosen_metrics
from hasten.measure.stats import loss_of
from hasten.measure.timing import Enough, Side, latency_of
from hasten.measure.trials import Trials
from hasten.metrics import METRICS
from hasten.plan import Plan
from hasten.predict.space import Index, Space
from hasten.records import CONFIDENCE, EqualTime, Latency, Loss, Split, Trial

from .plans import Row, pipeline_of
from .tables import Predict, Table

Found = tuple[Table, int]


class TableBench:
    """What a search needs of a bench (``hasten.measure.contract.Measures``), from tables of one setting.

    Prompts come in the recorded order, batch after batch as a bench draws them. With a ``seed`` the prompts of
    both splits are shuffled and dealt anew into search and held-out ones, and pairs of times come in another
    order, so that replays differ as searches on other prompts do. Images beyond the recorded ones begin again with
    the first: a second verdict in one search sees prompts that the first has seen, which a bench's would not.

    ``trials``, ``images`` (scored, of plans) and ``timed_pairs`` count what a bench would have done.

    Args:
        tables: of one setting, with ``fewer-steps`` for the equal-time baseline.
        pipe: the pipeline that plans are checked for; loaded where None.
        predict: the speedup of every plan, instead of that of its recorded times. Pairs then scatter around it as
            those of all timed plans do: a plan's own few, drawn again and again, would all show one error.
        seed: of the replay; None: the prompts as a live search would see them.
        searched: prompts that are dealt to the search, the others are held out; None: as many as recorded.

    Raises:
        InputError: no tables, or of several settings.
    """

    def __init__(
        self,
        tables: Sequence[Table],
        *,
        pipe: Any = None,
        predict: Predict | None = None,
        seed: int | None = None,
        searched: int | None = None,
        confidence: float = CONFIDENCE,
    ) -> None:
        keys = sorted({table.setting.key() for table in tables})
        if len(keys) != 1:
            raise InputError(f"A replay needs tables of one setting, these are of {len(keys)}: {'; '.join(keys)}.")
        first, self.setting = tables[0], tables[0].setting
        self.pipe = pipeline_of(f"{self.setting.scheduler} {self.setting.steps}") if pipe is None else pipe
        prompts = load_prompts(first.header["prompts"])
        here = replace(self.setting, device="cpu")  # it draws nothing, wherever the table was recorded
        self.pipeline = Pipeline(self.pipe, here, prompts, first.header["seed"])
        self.identity: dict[str, Any] = {**first.header["identity"], "replay": str(seed)}
        timed = first.header["latency"]
        self.environment: dict[str, str] = timed["environment"] if timed else first.header["environments"][0]
        self.confidence, self.predict, self.seed = confidence, predict, seed
        self._making = Trials(self)
        self.trials = self.images = self.timed_pairs = 0
        self._rows: dict[Row, Found] = {row: (t, i) for t in tables for row, i in t.index.items()}
        self._columns = dealt(first, seed, searched)
        self._times_asked: Counter[Row] = Counter()
        self._losses: dict[tuple[Any, ...], Loss] = {}

    def latency(
        self,
        plan: Plan,
        *,
        pairs: int = 7,
        warmup: int = 1,
        steps: int | None = None,
        enough: Enough | None = None,
        report: Report | None = None,
    ) -> Latency:
        """As ``Bench.latency``, from recorded pairs: each once, then all again in another order.

        Raises:
            PlanError: the plan failed when it was recorded.
            InputError: it is in no table, or was never timed and there is no ``predict``.
        """
        drawn, a, b = self._drawn(self._row(plan, steps)), Side(_nothing), Side(_nothing)
        for pair, (baseline_s, plan_s) in enumerate(itertools.islice(drawn, pairs), 1):
            a.times.append(baseline_s)
            b.times.append(plan_s)
            self.timed_pairs += 1
            if report:
                report(f"latency {pair}/{pairs}")
            if enough and enough(a.times, b.times):
                break
        return latency_of(a, b, self.confidence, self.pipeline.seed)

    def quality(
        self,
        plan: Plan,
        *,
        split: Split = "search",
        samples: int = 32,
        offset: int = 0,
        metrics: Sequence[str] = METRIC_NAMES,
        steps: int | None = None,
        stop_early: StopEarly | None = None,
        report: Report | None = None,
    ) -> Losses:
        """As ``Bench.quality``, from recorded scores. Raises as ``latency``."""
        row = self._row(plan, steps)
        table, i = self._rows[row]
        if reason := table.failure(i):
            raise PlanError(reason)
        names = [metric.name for metric in chosen_metrics(metrics, samples, offset)]
        done, losses = 0, Losses()
        for batch in self.pipeline.batches(range(offset, offset + samples)):
            done += len(batch)
            self.images += len(batch)
            losses = {name: self._loss(row, name, split, offset, done) for name in names}
            if report:
                report(f"scored {done}/{samples}")
            if stop_early and done < samples and stop_early(losses):
                break
        return losses

    def begin(self, split: Split, indices: Sequence[int], report: Report | None) -> None:
        self.trials += 1

    def attempt(self, take: Callable[[], Trial], keeps: Sequence[str] = ()) -> Trial:
        return take()

    def trial(
        self,
        plan: Plan,
        spec: TrialSpec = DEFAULT_SPEC,
        *,
        steps: int | None = None,
        report: Report | None = None,
    ) -> Trial:
        """As ``Bench.trial``."""
        return self._making.trial(plan, spec, steps=steps, report=report)

    def equal_time(
        self,
        plan_latency: Latency,
        spec: TrialSpec = DEFAULT_SPEC,
        *,
        plan_losses: Losses | None = None,
        report: Report | None = None,
    ) -> EqualTime:
        """As ``Bench.equal_time``."""
        return self._making.equal_time(plan_latency, spec, plan_losses=plan_losses, report=report)

    def _row(self, plan: Plan, steps: int | None) -> Row:
        row = Row(str(self.pipeline.completed(plan, steps)), steps or self.setting.steps)
        if row not in self._rows:
            raise InputError(
                f"{row.plan} with {row.steps} steps is in none of the replay's {len(self._rows)} rows. Add its "
                "table, or search a RecordedSpace, which has recorded plans only."
            )
        return row

    def _drawn(self, row: Row) -> Iterator[tuple[float, float]]:
        """Pairs of times without end; another order each time they are asked for."""
        rng = self._rng(row, self._times_asked[row])
        self._times_asked[row] += 1
        table, i = self._rows[row]
        if (reason := table.failure(i)) and not table.timed[i]:
            raise PlanError(reason)
        timed = np.flatnonzero(table.timed)
        if not timed.size or (self.predict is None and not table.timed[i]):
            raise InputError(
                f"{row.plan} with {row.steps} steps was never timed: give the replay a predict, and time some "
                "plans of its table."
            )
        yield from self._recorded(table, i, rng) if self.predict is None else self._scattered(table, i, rng)

    def _recorded(self, table: Table, row: int, rng: np.random.Generator) -> Iterator[tuple[float, float]]:
        pairs = table.pairs(row)
        while True:
            for i in rng.permutation(pairs.shape[1]):
                yield float(pairs[0, i]), float(pairs[1, i])

    def _scattered(self, table: Table, row: int, rng: np.random.Generator) -> Iterator[tuple[float, float]]:
        """Pairs around the predicted speedup, as far off as pairs of timed plans are off those plans' means."""
        assert self.predict is not None
        speedup = self.predict(table.plans[row])
        seconds, off = table.scatter
        while True:
            i = int(rng.integers(len(off)))
            yield float(seconds[i]), float(seconds[i] * np.exp(off[i]) / speedup)

    def _rng(self, row: Row, number: int) -> np.random.Generator:
        return np.random.default_rng([self.seed or 0, zlib.crc32(repr(row).encode()), number])

    def _loss(self, row: Row, name: str, split: Split, offset: int, count: int) -> Loss:
        key = (row, name, split, offset, count)
        if key not in self._losses:
            self._losses[key] = self._computed(*key)
        return self._losses[key]

    def _computed(self, row: Row, name: str, split: Split, offset: int, count: int) -> Loss:
        table, i = self._rows[row]
        if split not in self._columns:
            raise InputError(f"The tables have no {split} prompts: they have {', '.join(self._columns)}.")
        columns = np.take(self._columns[split], range(offset, offset + count), mode="wrap")
        baseline, scores = table.baseline[name][columns].tolist(), table.scores[name][i, columns].tolist()
        return loss_of(
            METRICS.get(name),
            baseline,
            scores,
            version=table.header["versions"][name],
            confidence=self.confidence,
            seed=self.pipeline.seed,
        )


class RecordedSpace(Space):
    """The plans of a table as a space to search; a proposal in between comes to the nearest recorded plan."""

    def __init__(self, table: Table, pipe: Any) -> None:
        super().__init__(table.name.split(","), pipe, table.setting.steps)
        self._plans = table.plans
        self._recorded = np.array([self.index(plan) for plan in table.plans])
        self._all = np.zeros_like(self._all)
        self._all[tuple(self._recorded.T)] = True
        self.reset()

    def plan(self, index: Index) -> Plan:
        """Nearest by the sum of the distances along the axes, each as a share of its axis; else the first."""
        away = np.abs(self._recorded - self._mildest(index)) / self._all.shape
        return self._plans[int(away.sum(axis=1).argmin())]


def dealt(table: Table, seed: int | None, searched: int | None = None) -> dict[str, np.ndarray]:
    """The columns of each split: as recorded, or all of them dealt anew, into parts as large unless told."""
    if seed is None:
        return {split: table.columns(split) for split in ("search", "held-out")}
    mixed = np.random.default_rng(seed).permutation(table.columns())
    first = searched or table.header["samples"]["search"]
    return {"search": mixed[:first], "held-out": mixed[first:]}


def _nothing() -> None:
    """The call that a recorded time stands for."""
