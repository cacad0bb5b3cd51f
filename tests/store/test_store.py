"""Trials in a database: what goes in comes out, whoever asks, and nothing is half there."""

from __future__ import annotations

import json
import multiprocessing
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Barrier, Thread

import optuna
import pytest
from sqlalchemy import event
from tests.support.landscape import SETTING, latency, loss, trial

from hasten.errors import InputError, StoreError
from hasten.limits import Limits
from hasten.measure.stats import paired_loss
from hasten.plan import Plan
from hasten.records import Bound, EqualTime
from hasten.store import Store, default_storage, storage_url
from hasten.store._aside import Aside
from hasten.store.database import open_database
from hasten.store.trials import outdated

PLAN = Plan.of({"deepcache": {"cache_interval": 3, "cache_branch_id": 0}})


def store(path: Path, **identity: str) -> Store:
    return Store(str(path / "trials.db"), SETTING, identity)


def test_a_trial_comes_back_as_it_was(tmp_path: Path) -> None:
    given = trial(environment={"torch": "2.13.0"}, seconds=1.5)
    with store(tmp_path) as first:
        first.add(given)
        assert first.find(PLAN) == given
    with store(tmp_path) as second:
        assert second.find(PLAN) == given


@pytest.mark.parametrize("status", ["failed", "skipped"])
def test_trials_without_a_loss_are_kept(tmp_path: Path, status: str) -> None:
    given = trial(status=status, reason="why", losses={}, latency=latency(1.2) if status == "skipped" else None)
    with store(tmp_path) as first:
        first.add(given)
    with store(tmp_path) as second:
        assert second.find(PLAN) == given


def test_the_latest_trial_of_a_plan_counts_and_the_splits_are_apart(tmp_path: Path) -> None:
    with store(tmp_path) as kept:
        kept.add(trial(losses={"clip_score": loss(0.01, samples=8)}))
        kept.add(trial(losses={"clip_score": loss(0.02, samples=32)}))
        kept.add(trial(split="held-out", losses={"clip_score": loss(0.03)}))
        found = kept.find(PLAN)
        assert found and found.losses["clip_score"].samples == 32
        held_out = kept.find(PLAN, "held-out")
        assert held_out and held_out.losses["clip_score"].loss == 0.03
        assert kept.find(Plan.of({"tome": {"ratio": 0.5}})) is None


def test_intervals_are_of_the_confidence_that_is_asked_for(tmp_path: Path) -> None:
    scores = tuple(0.3 - 0.001 * (i % 5) for i in range(32))
    given = trial(losses={"clip_score": loss(0.01).model_copy(update={"scores": scores})})
    with store(tmp_path) as kept:
        kept.add(given)
        assert kept.find(PLAN) == given
    with Store(str(tmp_path / "trials.db"), SETTING, {}, confidence=0.8) as other:
        found = other.find(PLAN)
    assert found and found.latency
    assert (found.losses["clip_score"].confidence, found.latency.confidence) == (0.8, 0.8)
    _, interval = paired_loss((0.3,) * 32, scores, confidence=0.8)
    assert found.losses["clip_score"].interval == interval


def test_bounds_of_both_sides_and_of_another_confidence_are_others(tmp_path: Path) -> None:
    limits = Limits({"clip_score": 0.02})
    with store(tmp_path) as kept:
        kept.keep_bound(("tome",), limits, 32, Bound(status="infeasible"))
        assert kept.bound(("tome",), limits, 32) == Bound(status="infeasible")
        assert kept.bound(("tome",), Limits({"clip_score": 0.02}, two_sided=True), 32) is None
        assert kept.bound(("tome",), limits, 16) is None
    with Store(str(tmp_path / "trials.db"), SETTING, {}, confidence=0.8) as other:
        assert other.bound(("tome",), limits, 32) is None


def test_other_settings_and_environments_do_not_see_a_trial(tmp_path: Path) -> None:
    with store(tmp_path, environment="a") as kept:
        kept.add(trial())
    with store(tmp_path, environment="b") as other:
        assert other.find(PLAN) is None
    with Store(str(tmp_path / "trials.db"), replace(SETTING, steps=20), {"environment": "a"}) as other:
        assert other.find(PLAN) is None


def test_trials_with_another_scheduler_or_other_steps_are_found_elsewhere(tmp_path: Path) -> None:
    other = trial("tome(max_downsample=1,ratio=0.5,sx=2,sy=2)")
    with store(tmp_path, weights="a") as here:
        here.add(trial(split="held-out"))
        for changes, identity in (({"steps": 50}, "a"), ({"scheduler": "UniPC"}, "a"), ({"steps": 50}, "b")):
            setting = replace(SETTING, **changes)
            with Store(str(tmp_path / "trials.db"), setting, {"weights": identity}) as there:
                assert there.trials_of_similar_settings(PLAN.methods, 9) == (
                    () if identity == "b" or "steps" in changes else (trial(),)
                )
                there.add(trial())
                there.add(trial(split="held-out"))
                there.add(other)
        with Store(str(tmp_path / "trials.db"), replace(SETTING, batch_size=2), {"weights": "a"}) as there:
            there.add(trial())
        assert here.trials_of_similar_settings(PLAN.methods, 9) == (trial(), trial())
        assert here.trials_of_similar_settings(("tome",), 9) == (other, other)


def test_a_store_sees_what_another_one_adds_meanwhile(tmp_path: Path) -> None:
    with store(tmp_path) as one, store(tmp_path) as two:
        assert one.find(PLAN) is None
        two.add(trial())
        assert one.find(PLAN) == trial()


def test_optuna_reads_speedup_loss_and_parameters(tmp_path: Path) -> None:
    with store(tmp_path) as kept:
        kept.add(trial())
        kept.add(trial("deepcache(cache_branch_id=11,cache_interval=40)"))
        name = kept.study_name(PLAN.methods)
    study = optuna.load_study(study_name=name, storage=storage_url(str(tmp_path / "trials.db")))
    assert name.startswith("landscape DDIM 25 deepcache ")
    first, second = study.trials
    assert first.values == [2.0, 0.01]
    assert first.params == {"deepcache.cache_interval": 3, "deepcache.cache_branch_id": 0}
    assert second.params["deepcache.cache_interval"] == 40
    assert first.duration is not None


def _add(path: Path, number: int) -> None:
    with store(path) as kept:
        for interval in range(2, 12):
            kept.add(trial(f"deepcache(cache_branch_id={number},cache_interval={interval})"))


def test_several_processes_share_a_store(tmp_path: Path) -> None:
    store(tmp_path).close()
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_add, args=(tmp_path, number)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    with store(tmp_path) as kept:
        for number in range(3):
            for interval in range(2, 12):
                plan = Plan.of({"deepcache": {"cache_branch_id": number, "cache_interval": interval}})
                assert kept.find(plan) is not None


def test_a_new_file_may_be_opened_by_several_at_once(tmp_path: Path) -> None:
    """As by the workers of several devices when a batch begins."""
    together, faults = Barrier(4), list[str]()

    def opened() -> None:
        together.wait()
        try:
            open_database(str(tmp_path / "trials.db"))
        except InputError as error:
            faults.append(str(error))

    threads = [Thread(target=opened) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


def test_the_default_does_not_depend_on_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = default_storage()
    monkeypatch.chdir(tmp_path)
    assert default_storage() == before
    assert before.startswith("sqlite:////")


@pytest.mark.parametrize("url", ["nonsense://somewhere", "sqlite:////proc/none/trials.db", "postgresql://"])
def test_a_store_that_cannot_be_opened_is_one_clear_sentence(url: str) -> None:
    with pytest.raises(InputError, match="cannot be opened"):
        Store(url, SETTING, {})


def test_a_file_that_is_no_database_is_one_clear_sentence(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to be read as one by mistake")
    with pytest.raises(InputError, match="cannot be opened"):
        Store(str(path), SETTING, {})


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        ("{", "its text"),
        ("[]", "its text"),
        ('{"plan": "tome"}', "steps: Field required"),
        ('{"plan": "tome(", "steps": 4}', "plan: Value error"),
        ('{"plan": "tome", "steps": "many"}', "steps: Input should be a valid integer"),
    ],
)
def test_a_damaged_record_is_an_error_that_names_it(tmp_path: Path, damage: str, what: str) -> None:
    """Trials, bounds, equal-time baselines, profiles: whatever is kept as text."""
    limits = Limits({"clip_score": 0.02})
    with store(tmp_path) as kept:
        kept.add(trial())
        kept.keep_bound(("deepcache",), limits, 32, Bound(status="met", plan=PLAN))
        name = kept.study_name(("deepcache",))
    with sqlite3.connect(tmp_path / "trials.db") as database:
        told = [json.dumps(damage)]
        database.execute("update trial_user_attributes set value_json = ? where key = 'trial'", told)
        database.execute("update study_user_attributes set value_json = ? where key like 'bound%'", told)
    with store(tmp_path) as kept:
        for read in (lambda: kept.find(PLAN), lambda: kept.bound(("deepcache",), limits, 32)):
            with pytest.raises(StoreError) as raised:
                read()
            assert "trials.db' is damaged" in str(raised.value) and name in str(raised.value)
        with pytest.raises(StoreError, match=f"a trial of the study .* cannot be read .*{what}"):
            kept.find(PLAN)
    assert StoreError.exit_code == 1


@contextmanager
def filled(kept: Store) -> Iterator[None]:
    """Meanwhile the database takes no further page, as on a full disk."""
    engine = kept._storage.engine

    def limit(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("pragma max_page_count = 1")

    kept.disconnect()
    event.listen(engine, "connect", limit)
    yield
    event.remove(engine, "connect", limit)
    kept.disconnect()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("hasten.store._faults.PATIENCE_S", 0.0)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


LARGE = trial(reason="x" * 1_000_000)


@pytest.mark.usefixtures("impatient")
def test_a_trial_that_a_full_store_does_not_take_is_kept_aside_for_the_next_start(tmp_path: Path) -> None:
    with store(tmp_path) as kept:
        kept.add(trial())
        with filled(kept), pytest.raises(StoreError, match=r"no longer be read or written: .*full") as raised:
            kept.add(LARGE)
        (aside,) = tmp_path.glob("hasten-trials-*.json")
        assert f"The trial just measured is kept in {aside}" in str(raised.value)
        assert kept.history(PLAN) == (trial(),)
    with Store(str(tmp_path / "trials.db"), replace(SETTING, steps=7), {}) as other:
        assert not other.history(PLAN) and aside.exists(), "it is not that setting's"
    with store(tmp_path) as kept:
        assert kept.history(PLAN) == (trial(), LARGE)
    assert not aside.exists()


def test_another_process_keeps_a_trial_for_the_next_start(tmp_path: Path) -> None:
    """Where a plan hangs, the process that measures it can no longer."""
    with store(tmp_path) as kept:
        kept.add(trial())
        subprocess.run(kept.keeps(LARGE.model_copy(update={"reason": "it hangs"})), check=True)
        assert kept.history(PLAN) == (trial(),)
    with store(tmp_path) as kept:
        assert [one.reason for one in kept.history(PLAN)] == ["", "it hangs"]
    with Store("memory", SETTING, {}) as kept:
        assert not kept.keeps(trial())
    with store(tmp_path, own="unlike every other") as kept:
        assert not kept.keeps(trial())


@pytest.mark.full  # beside it above
@pytest.mark.usefixtures("impatient")
def test_a_trial_is_kept_elsewhere_where_the_folder_of_the_database_is_full_too(tmp_path: Path) -> None:
    with store(tmp_path) as kept:
        (tmp_path / Aside.of(kept.url, tmp_path).name).mkdir()
        with filled(kept), pytest.raises(StoreError, match=f"is kept in {tmp_path}/data/hasten/hasten-trials-"):
            kept.add(LARGE)
    with store(tmp_path) as kept:
        assert kept.history(PLAN) == (LARGE,)


def test_a_store_that_is_full_for_a_moment_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with store(tmp_path) as kept:
        full = ExitStack()
        full.enter_context(filled(kept))
        monkeypatch.setattr("hasten.store._faults.time.sleep", lambda _: full.close())
        kept.add(LARGE)
        assert kept.history(PLAN) == (LARGE,)
    assert not list(tmp_path.glob("hasten-trials-*"))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("content", ["", "[]", "{", '{"format": "x"}', "[" * 9999])
def test_a_file_aside_that_is_damaged_is_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / Aside.of(storage_url(str(tmp_path / "trials.db")), None).name
    path.write_text(content)
    with store(tmp_path) as kept:
        assert kept.history(PLAN) == ()
    assert path.read_text() == content


def test_no_password_stands_in_an_error() -> None:
    with pytest.raises(InputError) as raised:
        open_database("nosuch://me:geheim@localhost:1/db")
    assert "nosuch://me:***@localhost:1/db" in str(raised.value) and "geheim" not in str(raised.value)


@pytest.mark.parametrize(
    "name", ["what?.db", "what?mode=ro", "a#b.db", "a%20b.db", "{a}.db", "{", "a b.db", "ä.db"]
)
def test_any_name_of_a_file_is_taken_as_it_is(tmp_path: Path, name: str) -> None:
    for _ in range(2):
        with Store(str(tmp_path / name), SETTING, {}) as kept:
            kept.add(trial())
    assert {path.name for path in tmp_path.iterdir()} <= {name, f".{name}.lock"}
    with Store(str(tmp_path / name), SETTING, {}) as kept:
        assert len(kept.history(PLAN)) == 2


def test_a_url_of_sqlite_may_say_more_than_a_path(tmp_path: Path) -> None:
    with Store(f"sqlite:///{tmp_path}/trials.db?timeout=5", SETTING, {}) as kept:
        kept.add(trial())
    with store(tmp_path) as kept:
        assert kept.find(PLAN) == trial()


@contextmanager
def statements(kept: Store) -> Iterator[list[str]]:
    """What the database is asked meanwhile."""
    asked: list[str] = []

    def note(connection: object, cursor: object, statement: str, *_: object) -> None:
        asked.append(statement)

    event.listen(kept._storage.engine, "before_cursor_execute", note)
    yield asked
    event.remove(kept._storage.engine, "before_cursor_execute", note)


def test_no_trial_of_another_model_is_read(tmp_path: Path) -> None:
    """However many there are: a search asks for names first."""
    for model in ("SDXL", "FLUX.1-dev"):
        with Store(str(tmp_path / "trials.db"), replace(SETTING, model=model), {}) as other:
            other.add(trial())
    with store(tmp_path) as kept:
        with statements(kept) as asked:
            assert kept.trials_of_similar_settings(("deepcache",), 9) == ()
        assert asked and not [statement for statement in asked if re.search(r"\btrial", statement)]
        with statements(kept) as asked:
            assert outdated(kept._storage) == (2, 2)
        assert [s for s in asked if re.search(r"\btrial", s)] == [s for s in asked if "count(*)" in s] != []


LIMITED = """
create trigger limited_{table} before insert on {table} when length(new.{column}) > 512
begin select raise(abort, 'value too long for type character varying(512)'); end
"""


def test_names_fit_databases_that_limit_them(tmp_path: Path) -> None:
    """PostgreSQL refuses more than 512 characters where SQLite takes them: here SQLite does so too."""
    long = Plan.of({"schedule": {"full_steps": "+".join(map(str, range(300)))}})
    setting = replace(SETTING, model="/models/" + "m" * 600, steps=300)
    path = str(tmp_path / "trials.db")
    Store(path, SETTING, {}).close()
    with sqlite3.connect(path) as database:
        for table, column in (("studies", "study_name"), ("study_user_attributes", "key")):
            database.execute(LIMITED.format(table=table, column=column))
    with Store(path, setting, {}) as kept:
        fewer = EqualTime(steps=9, trial=trial())
        kept.keep_equal_time(long, fewer)
        assert len(str(long)) > 512 and kept.equal_time(long) == fewer
        many = Limits({f"metric{n}": 0.02 for n in range(99)})
        kept.keep_bound(("deepcache",), many, 32, Bound(status="met", plan=PLAN))
        assert kept.bound(("deepcache",), many, 32) is not None
        assert kept.bound(("deepcache",), Limits({**many, "ssim": 0.1}), 32) is None
