"""How long a search waits for its store, and in how much memory, where the database has many other trials.

    python benchmarks/store.py
    python benchmarks/store.py --trials 20000 --of scheduler --json
    python benchmarks/store.py --storage postgresql+psycopg://me@host/empty
    python benchmarks/store.py --storage memory

The trials are copies of one with other plans, in a new SQLite file, an empty database or the memory. They are of
another model or, with ``--of scheduler``, of the same one with another scheduler, whose trials a search takes as
hints. What is timed is what a search asks before it measures: to open the store, its own trials, trials of the
same plans with other schedulers; and, as ``hasten doctor`` does, how many trials are outdated. A fresh process
asks.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy import Connection, inspect, text

from hasten.plan import Plan
from hasten.records import Latency, Loss, Trial
from hasten.search.session import HINTS
from hasten.store import Store
from hasten.store._frozen import frozen
from hasten.store.database import MEMORY, open_database
from hasten.store.memory import one_memory
from hasten.store.trials import outdated
from hasten.task import Setting

SETTING = Setting("emoji-sd", "DDIM", 25, 128, 128, 7.5, 1, "float32", "cpu")
OTHERS = {"model": replace(SETTING, model="SDXL"), "scheduler": replace(SETTING, scheduler="UniPC")}
"""The settings of the other trials, by what they differ in."""
PLAN = Plan.of({"deepcache": {"cache_interval": 3}})
PLANS = 1000
COPIES = "with recursive numbers(n) as (select 1 union all select n + 1 from numbers where n < {count})"
TABLES = {
    "trial_user_attributes": "trial_user_attribute_id",
    "trial_params": "param_id",
    "trial_values": "trial_value_id",
}
"""The tables with what belongs to a trial, and their keys."""
OTHER_PLAN = "replace(value_json, 'cache_interval=3', 'cache_interval=' || (n % {plans}))"


def scored(plan: Plan = PLAN) -> Trial:
    """A trial with as many raw figures as a search keeps of one."""
    scores = (0.3123456789,) * 32
    found = Loss(
        metric="clip_score",
        baseline=0.3,
        score=0.3,
        loss=0.0,
        interval=(0.0, 0.0),
        baseline_scores=scores,
        scores=scores,
    )
    latency = Latency(
        speedup=2.0,
        interval=(2.0, 2.0),
        baseline_s=2.0,
        plan_s=1.0,
        baseline_times_s=(2.0,) * 7,
        times_s=(1.0,) * 7,
    )
    return Trial(plan=plan, steps=25, latency=latency, losses={"clip_score": found, "ssim": found})


def fill(url: str, of: str, count: int) -> None:
    """Adds so many trials of another setting, of ``PLANS`` plans: the first as hasten writes it, the others copied
    from it."""
    with Store(url, OTHERS[of], {}) as other:
        other.add(scored())
    storage = open_database(url)
    if not isinstance(storage, RDBStorage):
        _fill_memory(storage, count)
        return
    numbers = COPIES.format(count=count - 1)
    with storage.engine.begin() as database:
        first = database.execute(text("select max(trial_id) from trials")).scalar_one()
        columns = _columns(database, "trials", ("trial_id", "number"))
        added = f"insert into trials (trial_id, number, {columns}) {numbers} select {first} + n, n, {columns}"
        database.execute(text(f"{added} from trials, numbers where trial_id = {first}"))
        for table, key in TABLES.items():
            columns = _columns(database, table, (key, "trial_id"))
            values = columns.replace("value_json", OTHER_PLAN.format(plans=PLANS))
            added = f"insert into {table} (trial_id, {columns}) {numbers} select {first} + n, {values}"
            database.execute(text(f"{added} from {table}, numbers where trial_id = {first}"))


def _fill_memory(storage: BaseStorage, count: int) -> None:
    made = [
        frozen(scored(Plan.of({"deepcache": {"cache_interval": number}}))) for number in range(min(PLANS, count))
    ]
    (study,) = storage.get_all_studies()
    for number in range(1, count):
        storage.create_new_trial(study._study_id, template_trial=made[number % PLANS])


def _columns(database: Connection, table: str, but: tuple[str, ...]) -> str:
    return ", ".join(c["name"] for c in inspect(database).get_columns(table) if c["name"] not in but)


def timed(url: str) -> dict[str, float]:
    """Seconds of each question."""
    found: dict[str, float] = {}

    def ask(name: str, question: Callable[[], Any]) -> Any:
        begin = time.perf_counter()
        answer = question()
        found[name] = time.perf_counter() - begin
        return answer

    with ask("open", lambda: Store(url, SETTING, {})) as store:
        ask("own trials", lambda: store.history(PLAN))
        ask("elsewhere", lambda: store.trials_of_similar_settings(PLAN.methods, HINTS))
    storage = open_database(url)
    ask("outdated", lambda: outdated(storage))
    return found


def peak_mib() -> float:
    """The most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def asked(url: str) -> dict[str, Any]:
    """What a fresh process finds; for a store in memory, what this one does."""
    if url == MEMORY:
        return {"seconds": timed(url), "peak_mib": peak_mib()}
    command = [sys.executable, __file__, "--ask", url]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=20_000)
    parser.add_argument("--of", choices=OTHERS, default="model", help="what the other trials' setting differs in")
    parser.add_argument("--storage", help="the URL of an empty database, or memory; else a new SQLite file")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--ask", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ask:
        print(json.dumps({"seconds": timed(options.ask), "peak_mib": peak_mib()}))
        return
    with tempfile.TemporaryDirectory() as folder, one_memory():
        url = options.storage or str(Path(folder) / "trials.db")
        fill(url, options.of, options.trials)
        found = asked(url)
    if options.json:
        print(json.dumps({"trials": options.trials, "of": options.of, **found}))
        return
    print(f"{options.trials} trials that differ in their {options.of}")
    for name, seconds in found["seconds"].items():
        print(f"{name:>12} {seconds:8.3f} s")
    print(f"{'peak memory':>12} {found['peak_mib']:8.0f} MiB")


if __name__ == "__main__":
    main()
