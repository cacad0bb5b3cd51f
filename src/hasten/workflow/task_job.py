"""What a worker process of a batch runs: one task, answered once and then kept in the batch's folder."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from hasten.files import save
from hasten.measure.environment import environment, environment_key
from hasten.models import check_device
from hasten.plan import Plan
from hasten.records import Answer, Record
from hasten.search import Progress
from hasten.task import Task
from hasten.version import __version__
from hasten.workflow.answering import answered, known_first
from hasten.workflow.choices import Choices, split
from hasten.workflow.delivery import Delivery
from hasten.workflow.jobs import AUTO
from hasten.workflow.opening import device_of, placed
from hasten.workflow.place import Place

WORK = f"{__name__}:work"


class Kept(Record):
    """An answer in the batch's folder, what it depends on, and how long it took in seconds."""

    key: str
    seconds: float
    answer: Answer


def work(
    report: Callable[[Progress], None],
    device: str,
    *,
    task: str,
    choices: Choices,
    kept: str,
    delivery: Delivery | None = None,
    candidate: str = "",
    explore: bool = False,
) -> str:
    """Answers one task, or finds that it was answered before by the same means; the JSON text of a ``Kept``.

    Args:
        report: is told where the search stands.
        device: a torch device, or ``auto``.
        task: in its JSON form.
        choices: those of ``hasten.run``.
        kept: the file that keeps the answer.
        delivery: what is handed over; None: only the store is written.
        candidate: the text of a plan that may answer the task.
        explore: find the upper bound first, where it is not known.
    """
    here: Choices = {**choices, "device": None if device == AUTO else device}
    options, place = split(here)
    if place.device is not None:
        check_device(place.device)
    key = _key(task, choices, place, delivery, candidate)
    if (found := _read(Path(kept), key)) is not None:
        return found.model_dump_json()
    began = time.monotonic()
    search = known_first(Plan.parse(candidate), explore)
    answer = answered(Task.from_json(task), place, options, report, delivery, search)
    result = Kept(key=key, seconds=time.monotonic() - began, answer=answer)
    save(result.model_dump_json(indent=1), kept)
    return result.model_dump_json()


def _key(task: str, choices: Choices, place: Place, delivery: Delivery | None, candidate: str) -> str:
    """All that an answer depends on: another machine, other files, another setting or version answers anew."""
    wanted = Task.from_json(task)
    asked = placed(wanted, place)
    here = environment_key(environment(*device_of(asked)))
    files = [_files(named) for named in (wanted.model, asked.scorer, asked.prompts) if isinstance(named, str)]
    parts = [__version__, task, choices, here, files, repr(delivery), candidate]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _files(named: str) -> list[tuple[str, int, int]]:
    """Name, size and time of the last change of each file of a local folder, or of the file; none of what is no
    path here."""
    try:
        place = Path(named).expanduser()
        files = sorted(path for path in place.rglob("*") if path.is_file()) if place.is_dir() else [place]
        known = [(str(path), path.stat()) for path in files]
    except (OSError, RuntimeError):
        return []
    return [(name, found.st_size, found.st_mtime_ns) for name, found in known]


def _read(path: Path, key: str) -> Kept | None:
    """The kept answer, unless it is none of this key, a failure, was refuted, or its script is gone. An undecided
    one is none: the same command goes on from the trials that it left."""
    try:
        found = Kept.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        return None
    script = found.answer.script
    held = found.answer.status not in ("failed", "undecided") and found.answer.verified is not False
    whole = held and (script is None or Path(script).is_file())
    return found if found.key == key and whole else None
