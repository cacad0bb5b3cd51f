"""The driver of a database is looked for before anything is waited for."""

from __future__ import annotations

from pathlib import Path

import pytest

from hasten.errors import InputError
from hasten.search import SearchOptions
from hasten.store.driver import check_storage
from hasten.task import Task
from hasten.workflow.answering import answered
from hasten.workflow.place import Place

LACKING = {
    "postgresql+psycopg2://me@host/db": "psycopg2-binary",
    "mysql+pymysql://me@host/db": "pymysql",
    "mysql+mysqldb://me@host/db": "mysqlclient",
    "oracle+oracledb://me@host/db": "oracledb",
}


@pytest.mark.parametrize("url", LACKING)
def test_a_missing_driver_is_told_with_its_package(url: str) -> None:
    with pytest.raises(InputError, match=rf"not installed\. Install it by: pip install '{LACKING[url]}'"):
        check_storage(url)


def test_psycopg_is_installed_with_its_library() -> None:
    try:
        import psycopg  # noqa: F401
    except ImportError:
        with pytest.raises(InputError, match=r"pip install 'psycopg\[binary\]'"):
            check_storage("postgresql+psycopg://me@host/db")
    else:
        check_storage("postgresql+psycopg://me@host/db")


@pytest.mark.parametrize("url", ["nope://host/db", "://", "sqlite+nope:///x"])
def test_what_is_no_database_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="cannot be opened"):
        check_storage(url)


def test_files_and_memory_need_nothing(tmp_path: Path) -> None:
    for storage in (None, "memory", str(tmp_path / "a.db"), f"sqlite:///{tmp_path}/a.db"):
        check_storage(storage)


@pytest.mark.parametrize(
    ("storage", "scorer"), [("mysql+pymysql://me@host/db", None), (None, "/no/such/clip"), (None, "./clip")]
)
def test_a_wrong_store_or_scorer_is_told_while_another_holds_the_device(
    storage: str | None, scorer: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def waits(device: str, wait: bool = True) -> None:
        raise AssertionError(f"it waits for {device}")

    monkeypatch.setattr("hasten.workflow.opening.device_lock", waits)
    task = Task.model_validate({"model": "emoji-sd", "scheduler": "DDIM", "steps": 4, "methods": ["deepcache"]})
    with pytest.raises(InputError, match=r"not installed|No scorer"):
        answered(task, Place(scorer=scorer, device="cpu"), SearchOptions(storage=storage))
