"""How long a search waits for its store, and in how much memory, where the database has many other trials.

    python benchmarks/store.py
    python benchmarks/store.py --trials 20000 --of scheduler --json
    python benchmarks/store.py --storage postgresql+psycopg://me@host/empty

The trials are copies of one, in a new SQLite file or an empty database. They are of another model or, with ``--of
scheduler``, of the same one with another scheduler, whose trials a search takes as hints. What is timed is what a
search asks before it measures: to open the store, its own trials, trials of the same plans with other schedulers;
and, as ``hasten doctor`` does, how many trials are outdated. A fresh process asks.
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

from optuna.storages import RDBStorage
from sqlalchemy import Connection, inspect, text

from hasten.plan import Plan
from hasten.records import Trial
from hasten.store import Store
from hasten.store.database import open_database
from hasten.store.trials import outdated
from hasten.task import Setting

SETTING = Setting("emoji-sd", "DDIM", 25, 128, 128, 7.5, 1, "float32", "cpu")
OTHERS = {"model": replace(SETTING, model="SDXL"), "scheduler": replace(SETTING, scheduler="UniPC")}
"""The settings of the other trials, by what they differ in."""
PLAN = Plan.of({"deepcache": {"cache_interval": 3}})
TRIAL = Trial(plan=str(PLAN), steps=25, status="failed", reason="a trial of another setting")
COPIES = "with recursive numbers(n) as (select 1 union all select n + 1 from numbers where n < {count})"
TABLES = {"trial_user_attributes": "trial_user_attribute_id", "trial_params": "param_id"}
"""The tables with what belongs to a trial, and their keys."""


def fill(url: str, of: str, count: int) -> None:
    """Adds so many trials of another setting: the first as hasten writes it, the others copied from it."""
    with Store(url, OTHERS[of], {}) as other:
        other.add(TRIAL)
    storage = open_database(url)
    assert isinstance(storage, RDBStorage)
    numbers = COPIES.format(count=count - 1)
    with storage.engine.begin() as database:
        first = database.execute(text("select max(trial_id) from trials")).scalar_one()
        columns = _columns(database, "trials", ("trial_id", "number"))
        added = f"insert into trials (trial_id, number, {columns}) {numbers} select {first} + n, n, {columns}"
        database.execute(text(f"{added} from trials, numbers where trial_id = {first}"))
        for table, key in TABLES.items():
            columns = _columns(database, table, (key, "trial_id"))
            added = f"insert into {table} (trial_id, {columns}) {numbers} select {first} + n, {columns}"
            database.execute(text(f"{added} from {table}, numbers where trial_id = {first}"))


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
        ask("elsewhere", lambda: store.trials_of_similar_settings(PLAN.methods))
    storage = open_database(url)
    ask("outdated", lambda: outdated(storage))
    return found


def peak_mib() -> float:
    """The most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def asked(url: str) -> dict[str, Any]:
    """What a fresh process finds."""
    command = [sys.executable, __file__, "--ask", url]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=20_000)
    parser.add_argument("--of", choices=OTHERS, default="model", help="what the other trials' setting differs in")
    parser.add_argument("--storage", help="the URL of an empty database; else a new SQLite file")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--ask", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ask:
        print(json.dumps({"seconds": timed(options.ask), "peak_mib": peak_mib()}))
        return
    with tempfile.TemporaryDirectory() as folder:
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
