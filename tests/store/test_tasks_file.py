"""tasks.json in all its forms: every entry comes out as a request or as a fault, none is missing."""

from __future__ import annotations

import io
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from hasten.errors import InputError
from hasten.store.seeds.tasks_file import Request, read_requests, write_requests
from hasten.task import Target, Task

ONE, TWO = "SD1.5 with DDIM, 50 steps, DeepCache, 2x", "用 SDXL，DDIM，20 步，ToMe 加速"
TASK = Task(model="SD1.5", scheduler="DDIM", steps=50, methods=("tome",), target=Target(speedup=1.5))


def read(folder: Path, content: Any, name: str = "tasks.json") -> list[Request]:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content, indent=2), encoding="utf-8")
    return read_requests(path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ([ONE, TWO], [(ONE, {}), (TWO, {})]),
        ([{"request": ONE, "ratio": 0.8}, {"prompt": TWO}], [(ONE, {"ratio": 0.8}), (TWO, {})]),
        ([{"task": ONE, "id": 7}], [(ONE, {"id": 7})]),
        ({"a": ONE, "b": {"request": TWO}}, [(ONE, {"id": "a"}), (TWO, {"id": "b"})]),
        ({"tasks": [ONE, TWO]}, [(ONE, {}), (TWO, {})]),
        ({"task": ONE, "task2": TWO}, [(ONE, {"id": "task"}), (TWO, {"id": "task2"})]),
    ],
)
def test_sentences_in_every_form(tmp_path: Path, content: Any, expected: list[tuple[str, dict[str, Any]]]) -> None:
    assert [(r.text, r.labels) for r in read(tmp_path, content)] == expected


@pytest.mark.parametrize("content", [[TASK.to_json()], TASK.to_json(), [{"task": TASK.to_json()}]])
def test_tasks_in_their_json_form(tmp_path: Path, content: Any) -> None:
    assert read(tmp_path, content) == [Request(None, TASK, "", "tasks.json entry 1")]


def test_a_sentence_and_its_task(tmp_path: Path) -> None:
    (request,) = read(tmp_path, [{"request": ONE, "task": TASK.to_json(), "label": "easy"}])
    assert (request.text, request.task, request.labels) == (ONE, TASK, {"label": "easy"})


def test_a_text_file_has_a_sentence_a_line(tmp_path: Path) -> None:
    found = read(tmp_path, f"# mine\n\n{ONE}\r\n  {TWO}  \n", "tasks.txt")
    assert [(r.text, r.place) for r in found] == [(ONE, "tasks.txt line 3"), (TWO, "tasks.txt line 4")]


@pytest.mark.parametrize("content", [f"{ONE}\n", json.dumps([ONE])])
def test_standard_input(monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
    (request,) = read_requests("-")
    assert request.text == ONE and request.place.startswith("standard input ")


@pytest.mark.parametrize(
    "bad", [5, None, True, "", " ", [], {}, {"ratio": 0.8}, {"request": ""}, {"model": "SD1.5"}]
)
def test_an_entry_that_is_no_request_says_why_and_costs_no_other(tmp_path: Path, bad: Any) -> None:
    first, fault, last = read(tmp_path, [ONE, bad, TWO])
    assert (first.text, last.text) == (ONE, TWO)
    assert fault.text is None and fault.task is None
    assert fault.place == "tasks.json entry 2" and fault.fault.startswith("line 3: ")


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ('["one", "two, "three", "four"]', ["one", None, "three", "four"]),
        ('["one",\n"two\n"three",\n"four"]', ["one", None, "three", "four"]),
        ('["one",, "two",]', ["one", "two"]),
        ('["one" "two"]', ["one", "two"]),
        ('["one", "tw', ["one", None]),
        ('["one", "two"', ["one", "two", None]),
        ('["one"] "two"', ["one", None]),
        ('["one", two, "three"]', ["one", None, "three"]),
        ('[{"request": "one"}, {"request": "two, "x": {"a": 1}}, {"request": "three"}]', ["one", None, "three"]),
        ('{"a": "one", "b": , "c": "three"}', ["one", None, "three"]),
        ('{"a": "one", b: "two", "c": "three"}', ["one", None, "three"]),
        ('{"a": "one", "b" "two", "c": "three"}', ["one", None, "three"]),
        (f'["one", {"9" * 5000}, "three"]', ["one", None, "three"]),
        (f'["one", {"[" * 100_000}', ["one", None]),
        (f'["one", {"{" * 100_000}', ["one", None]),
    ],
)
def test_damage_costs_the_damaged_entry_alone(tmp_path: Path, content: str, texts: list[str | None]) -> None:
    found = read(tmp_path, content)
    assert [r.text for r in found] == texts
    assert all(bool(r.fault) == (r.text is None) for r in found)
    assert all("line " in r.fault for r in found if r.fault)


@pytest.mark.parametrize("content", ["", "\n", "[]", "{}", "# nothing\n"])
def test_a_file_without_a_request_is_a_clear_error(tmp_path: Path, content: str) -> None:
    with pytest.raises(InputError, match=r"tasks\.json"):
        read(tmp_path, content)


def test_a_missing_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_requests(tmp_path / "tasks.json")


def test_bytes_that_are_no_text_are_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "tasks.txt"
    path.write_bytes(ONE.encode() + b"\n" + TWO.encode("gbk") + b"\n")
    first, _, fault = read_requests(path)
    assert first.text == ONE and "line 2" in fault.fault and "UTF-8" in fault.fault


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    path = write_requests(tmp_path / "new" / "tasks.json", [ONE, {"request": TWO, "ratio": 0.9}, "half \ud800"])
    assert TWO not in path.read_text(encoding="utf-8"), "half a character cannot be written but as \\ud800"
    assert [r.text for r in read_requests(path)] == [ONE, TWO, "half \ud800"]
    write_requests(path, [TWO])
    assert TWO in path.read_text(encoding="utf-8")


HOSTILE = [
    '{"a": 1' + "\n" * 60_000 + "x",
    '["a"' + " " * 400_000 + "x",
    '["a", ' + "{x},\n" * 60_000,
    "{" + '"a": x,' * 60_000,
    "{" + '"a":"\n' * 60_000,
    "[" + '{"a" ' * 60_000,
]


@pytest.mark.parametrize("content", HOSTILE, ids=range(len(HOSTILE)))
def test_the_length_of_a_damaged_file_bounds_its_time(tmp_path: Path, content: str) -> None:
    """A second at most; a minute and more where the time grows with the square of the length."""
    began = time.monotonic()
    found = read(tmp_path, content)
    assert time.monotonic() - began < 20
    assert found[-1].fault and len(found) <= 1002


def test_a_file_of_damage_alone_says_where_reading_ends(tmp_path: Path) -> None:
    found = read(tmp_path, "[" + "{x},\n" * 2000)
    assert len(found) == 1001 and "1000 entries are damaged; what follows is left out" in found[-1].fault
