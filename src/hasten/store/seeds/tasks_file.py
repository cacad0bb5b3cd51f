"""``tasks.json``: requests as sentences or as tasks. Text files with one sentence a line are read as well."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hasten.errors import InputError
from hasten.files import save, whole
from hasten.store.seeds.scan import Item, Scan, decode, read_text, scan, shortened
from hasten.task import Task

STDIN = "-"
SENTENCE = ("request", "task", "prompt")
LISTS = ("tasks", "requests")


@dataclass(frozen=True)
class Request:
    """One request of a file. Its sentence is not parsed here.

    It has ``text`` or ``task`` or both (a sentence and its meaning); where it has neither, ``fault`` is the
    reason. ``place`` is its name in messages. ``labels`` holds everything else in the entry, such as its id.
    """

    text: str | None
    task: Task | None
    fault: str
    place: str
    labels: dict[str, Any] = field(default_factory=dict)


def read_requests(path: str | Path) -> list[Request]:
    """Returns the requests of a file in its order, damaged ones with their fault, so that none goes missing.

    JSON, which is known by its first bracket, is a list of sentences or of objects, an object of sentences by
    their ids, or one task. An object has the sentence under ``request``, ``task`` or ``prompt``, or is a task in
    its JSON form. Anything else is text with one sentence a line. Blank lines and lines that begin with # are
    skipped.

    Args:
        path: the file, or ``-`` for standard input.

    Raises:
        InputError: the file cannot be read, or holds no request.
    """
    source = "standard input" if str(path) == STDIN else str(path)
    text, faults = decode(sys.stdin.buffer.read(), source) if str(path) == STDIN else read_text(Path(path))
    name = source if str(path) == STDIN else Path(path).name
    found = _of_json(text, source, name) if text.lstrip()[0] in "[{" else _of_lines(text, name)
    found += [Request(None, None, fault, name) for fault in faults]
    if not found:
        raise InputError(f"{source} holds no request. Write a sentence a line, or a JSON list of sentences.")
    return found


def write_requests(path: str | Path, requests: Iterable[str | Mapping[str, Any]]) -> Path:
    """Writes a JSON list of sentences or objects. Raises InputError where the file cannot be written."""
    text = json.dumps(list(requests), indent=2, ensure_ascii=False)
    if whole(text) != text:
        text = json.dumps(json.loads(text), indent=2)
    return save(f"{text}\n", path)


def _of_lines(text: str, name: str) -> list[Request]:
    lines = ((number, line.strip()) for number, line in enumerate(text.split("\n"), 1))
    return [Request(line, None, "", f"{name} line {n}") for n, line in lines if line and not line.startswith("#")]


def _of_json(text: str, source: str, name: str) -> list[Request]:
    found = scan(text, source)
    requests = [_request(item, name) for item in _items(found)]
    return requests + [Request(None, None, fault, name) for fault in found.faults]


def _items(found: Scan) -> tuple[Item, ...]:
    """Returns the entries. An object that is one task is one entry; an object that holds the list is that list."""
    held = {item.name: item for item in found.items}
    if any(item.fault for item in found.items) or found.kind == "list":
        return found.items
    if {"model", "steps"} <= held.keys():
        return (Item(None, 1, 1, {str(name): item.value for name, item in held.items()}),)
    if len(held) == 1 and isinstance(listed := held.get(LISTS[0], held.get(LISTS[1])), Item):
        values = listed.value if isinstance(listed.value, list) else [listed.value]
        return tuple(Item(None, number, listed.line, value) for number, value in enumerate(values, 1))
    return found.items


def _request(item: Item, name: str) -> Request:
    place = f"{name} entry {item.number if item.name is None else shortened(item.name)}"
    labels = {} if item.name is None else {"id": item.name}
    if item.fault:
        return Request(None, None, f"line {item.line}: {item.fault}", place, labels)
    try:
        text, task, more = _read(item.value)
    except InputError as error:
        return Request(None, None, f"line {item.line}: {error}", place, labels)
    return Request(text, task, "", place, {**more, **labels})


def _read(value: Any) -> tuple[str | None, Task | None, dict[str, Any]]:
    """Returns the sentence, the task, and everything else that an entry holds."""
    if isinstance(value, str) and value.strip():
        return value, None, {}
    if not isinstance(value, dict):
        raise InputError(f"It is {shortened(str(value))}: a sentence or an object was expected.")
    if "model" in value:
        return None, Task.from_json(value), {}
    texts = {k: value[k] for k in SENTENCE if isinstance(value.get(k), str) and value[k].strip()}
    tasks = {k: value[k] for k in SENTENCE if isinstance(value.get(k), dict)}
    if not texts and not tasks:
        raise InputError(f"It has none of {', '.join(SENTENCE)} with a sentence, and is no task in its JSON form.")
    text, task = next(iter(texts.values()), None), next(iter(tasks.values()), None)
    rest = {k: v for k, v in value.items() if k not in {*texts, *tasks}}
    return text, Task.from_json(task) if task is not None else None, rest
