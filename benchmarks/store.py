"""How long a search waits for its store, where the database has many trials of another model.

    python benchmarks/store.py
    python benchmarks/store.py --trials 20000 --json

The trials are copies of one, in a new SQLite file. What is timed is what a search asks before it measures: to open
the store, its own trials, trials of the same plans with other schedulers; and, as ``hasten doctor`` does, how many
trials are outdated.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from hasten.plan import Plan
from hasten.records import Trial
from hasten.store import Store
from hasten.store.database import open_database
from hasten.store.trials import outdated
from hasten.task import Setting

SETTING = Setting("emoji-sd", "DDIM", 25, 128, 128, 7.5, 1, "float32", "cpu")
PLAN = Plan.of({"deepcache": {"cache_interval": 3}})
TRIAL = Trial(plan=str(PLAN), steps=25, status="failed", reason="a trial of another model")
COPIES = """
with recursive numbers(n) as (select 1 union all select n + 1 from numbers where n < {count})
"""
TABLES = ("trial_user_attributes", "trial_params")


def fill(path: Path, count: int) -> None:
    """A study of another model with so many trials: the first as hasten writes it, the others copied from it."""
    with Store(str(path), replace(SETTING, model="SDXL"), {}) as other:
        other.add(TRIAL)
    numbers = COPIES.format(count=count - 1)
    with sqlite3.connect(path) as database:
        columns = _columns(database, "trials", ("trial_id", "number"))
        database.execute(
            f"insert into trials (trial_id, number, {columns}) {numbers} "
            f"select 1 + n, n, {columns} from trials, numbers where trial_id = 1"
        )
        for table in TABLES:
            key = f"{'param' if table == 'trial_params' else 'trial_user_attribute'}_id"
            columns = _columns(database, table, (key, "trial_id"))
            database.execute(
                f"insert into {table} (trial_id, {columns}) {numbers} "
                f"select 1 + n, {columns} from {table}, numbers where trial_id = 1"
            )


def _columns(database: sqlite3.Connection, table: str, but: tuple[str, ...]) -> str:
    return ", ".join(row[1] for row in database.execute(f"pragma table_info({table})") if row[1] not in but)


def timed(path: Path) -> dict[str, float]:
    """Seconds of each question."""
    found: dict[str, float] = {}

    def ask(name: str, question: Callable[[], Any]) -> Any:
        begin = time.perf_counter()
        answer = question()
        found[name] = time.perf_counter() - begin
        return answer

    with ask("open", lambda: Store(str(path), SETTING, {})) as store:
        ask("own trials", lambda: store.history(PLAN))
        ask("elsewhere", lambda: store.trials_of_similar_settings(PLAN.methods))
    storage = open_database(str(path))
    ask("outdated", lambda: outdated(storage))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=20_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trials.db"
        fill(path, options.trials)
        found = timed(path)
    if options.json:
        print(json.dumps({"trials": options.trials, "seconds": found}))
        return
    print(f"{options.trials} trials of another model")
    for name, seconds in found.items():
        print(f"{name:>12} {seconds:8.3f} s")


if __name__ == "__main__":
    main()
