"""The folder of an answer: everything its report is made from, kept as plain JSON and PNG files."""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import asdict, dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hasten.errors import InputError
from hasten.files import save, save_bytes, save_json
from hasten.records import Answer, Trial
from hasten.report import ReportImages, render_report
from hasten.script.write import LONGEST_NAME
from hasten.task import Setting, Task
from hasten.texts import without_secrets

COLUMNS = ("reference", "accelerated", "equal_time")


@dataclass(frozen=True)
class Context:
    """What a report tells beside the answer and its trials."""

    setting: Setting
    environment: dict[str, str]
    command: str
    request: str | None
    prompts: tuple[str, ...] = ()


def keep(folder: Path, trials: tuple[Trial, ...], context: Context, images: ReportImages) -> None:
    """Saves what was measured and drawn; the answer itself is saved by ``conclude``."""
    save_json([t.model_dump(mode="json") for t in trials], folder / "trials.json")
    save_json(asdict(context), folder / "context.json")
    (folder / "images").mkdir(exist_ok=True)
    for column in COLUMNS:
        for number, image in enumerate(getattr(images, column)):
            save_bytes(_png(image), folder / "images" / f"{column}-{number}.png")


def conclude(folder: Path, answer: Answer) -> Answer:
    """Saves the answer and writes the report; returns the answer with the report's place in it."""
    answer = answer.model_copy(update={"report": str(folder / "report.html")})
    save_json(answer.to_json(), folder / "answer.json")
    return rewrite_report(folder)


def rewrite_report(folder: Path) -> Answer:
    """Writes ``report.html`` from the files of the folder, and returns the answer.

    Raises:
        InputError: not a folder that a run wrote, or its files are damaged.
    """
    try:
        answer = Answer.model_validate(_read(folder / "answer.json"))
        trials = [Trial.model_validate(t) for t in _read(folder / "trials.json")]
        context = _read(folder / "context.json")
        setting = Setting(**context["setting"])
    except (ValidationError, KeyError, TypeError) as error:
        raise InputError(f"The files in {str(folder)!r} are damaged: {error}. Run the request again.") from None
    page = render_report(
        answer,
        trials,
        setting,
        context["environment"],
        _images(folder, context["prompts"]),
        command=without_secrets(context["command"]),
        request=context["request"] and without_secrets(context["request"]),
    )
    save(page, folder / "report.html")
    return answer


def folder_of(task: Task, out: str | Path | None) -> Path:
    """The folder asked for, or ``hasten-out`` and a name that tells the task; checked, not created."""
    parts = [Path(task.model).name, task.scheduler, str(task.steps), *(task.methods or ()), str(task.target or "")]
    if task.methods is None:
        parts[3:3] = ["any", *(f"but-{name}" for name in task.excluded), *(["lossless"] if task.lossless else [])]
    parts += [f"{name}-{value}" for name, value in task.own_setting.items()]
    name = "_".join(p for part in parts if (p := re.sub(r"[^A-Za-z0-9.+-]+", "-", part).strip("-")))
    cut = name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}_{sha256(name.encode()).hexdigest()[:6]}"
    folder = Path(out) if out is not None else Path("hasten-out") / cut
    check_folder(folder.absolute())
    return folder


def check_folder(folder: Path) -> None:
    """Raises InputError where the folder could not be made or written. Nothing is left behind."""
    place = folder
    try:
        place = next(p for p in (folder, *folder.parents) if p.exists())
        with tempfile.TemporaryFile(dir=place):
            return
    except NotADirectoryError:
        reason = f"{str(place)!r} is a file"
    except OSError as error:
        reason = f"{str(place)!r}: {error.strerror}"
    except ValueError:
        reason = "it has a NUL byte in its name"
    raise InputError(f"The output folder {str(folder)!r} cannot be written: {reason}. Choose another with --out.")


def _images(folder: Path, prompts: list[str]) -> ReportImages:
    from PIL import Image

    columns: dict[str, list[Any]] = {}
    for column in COLUMNS:
        files = [folder / "images" / f"{column}-{number}.png" for number in range(len(prompts))]
        columns[column] = [Image.open(file) for file in files] if files and files[0].exists() else []
    return ReportImages(prompts=prompts, **columns)


def _png(image: Any) -> bytes:
    """A tensor (3, h, w), 0 to 1, as a PNG file."""
    from PIL import Image

    drawn = BytesIO()
    pixels = image.mul(255).round().byte().permute(1, 2, 0).cpu().numpy()
    Image.fromarray(pixels).save(drawn, format="PNG")
    return drawn.getvalue()


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{str(file)!r} does not exist: give a folder that `hasten run` wrote.") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{str(file)!r} cannot be read: {error}. Run the request again.") from None
