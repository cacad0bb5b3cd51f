"""The job of a worker process in a batch: one task, answered once and stored in the batch's folder."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

from pydantic import ValidationError

from hasten.answer import Answer
from hasten.files import save
from hasten.measure.environment import environment, environment_key
from hasten.models import check_device
from hasten.plan import Plan
from hasten.records import Record
from hasten.search import Listener
from hasten.task import Task
from hasten.version import __version__
from hasten.workflow.answering import answered, known_first
from hasten.workflow.choices import Choices, split
from hasten.workflow.delivery import Delivery
from hasten.workflow.jobs import AUTO
from hasten.workflow.opening import device_of, placed
from hasten.workflow.place import Place

WORK = f"{__name__}:work"


class KeptAnswer(Record):
    """An answer in the batch's folder, a hash of what it depends on, and the seconds that it took."""

    key: str
    seconds: float
    answer: Answer


def work(
    report: Listener,
    device: str,
    *,
    task: str,
    choices: Choices,
    kept: str,
    delivery: Delivery | None = None,
    candidate: str = "",
    explore: bool = False,
) -> str:
    """Answers one task, unless an answer of equal circumstances is stored. Returns the JSON text of a
    ``KeptAnswer``.

    Args:
        report: called with the state of the search.
        device: a torch device, or ``auto``.
        task: the task in its JSON form.
        choices: the keyword arguments of ``hasten.run``.
        kept: the file that holds the answer.
        delivery: what is delivered; None writes to the store only.
        candidate: the text of a plan that may answer the task; empty for none.
        explore: whether the upper bound is searched for first, where it is not known.
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
    result = KeptAnswer(key=key, seconds=time.monotonic() - began, answer=answer)
    save(result.model_dump_json(indent=1), kept)
    return result.model_dump_json()


def _key(task: str, choices: Choices, place: Place, delivery: Delivery | None, candidate: str) -> str:
    """Returns a hash of all that an answer depends on. Another machine, file, setting or version needs a new
    answer."""
    wanted = Task.from_json(task)
    asked = placed(wanted, place)
    here = environment_key(environment(*device_of(asked)))
    files = [_files(named) for named in (wanted.model, asked.scorer, asked.prompts) if isinstance(named, str)]
    parts = [__version__, task, choices, here, files, repr(delivery), candidate]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _files(named: str) -> list[tuple[str, int, int]]:
    """Returns name, size and modification time of each file of a local folder, or of a file; nothing for other
    texts."""
    try:
        place = Path(named).expanduser()
        files = sorted(path for path in place.rglob("*") if path.is_file()) if place.is_dir() else [place]
        stats = [(str(path), path.stat()) for path in files]
    except (OSError, RuntimeError):
        return []
    return [(name, found.st_size, found.st_mtime_ns) for name, found in stats]


def _read(path: Path, key: str) -> KeptAnswer | None:
    """Returns the stored answer for this key, or None.

    Failures and refuted answers do not count, nor answers whose script is missing. Undecided answers do not count,
    because the same command continues from the trials that they left.
    """
    try:
        found = KeptAnswer.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        return None
    script = found.answer.script
    held = found.answer.status not in ("failed", "undecided") and found.answer.verified is not False
    whole = held and (script is None or Path(script).is_file())
    return found if found.key == key and whole else None
