"""The folder of an answer: everything that its report is made from, as JSON and PNG files."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from hasten.answer import Answer
from hasten.errors import InputError
from hasten.files import is_text, save, save_bytes, save_json
from hasten.options import values
from hasten.records import Trial
from hasten.report import ReportImages, render_report
from hasten.script.write import LONGEST_NAME
from hasten.task import Setting, Task
from hasten.texts import without_secrets

COLUMNS = ("reference", "accelerated", "equal_time")


@dataclass(frozen=True)
class Context:
    """What a report contains beside the answer and its trials."""

    setting: Setting
    environment: dict[str, str]
    command: str
    request: str | None
    prompts: tuple[str, ...] = ()
    answer: str = ""
    """The answer that it belongs to, by its ``answer_key``."""


def answer_key(answer: Answer) -> str:
    """Returns a text with the task and the plan of an answer, which differs for other requests in the same
    folder."""
    return json.dumps([answer.task.to_json(), answer.plan_text], sort_keys=True)


def keep(folder: Path, trials: tuple[Trial, ...], context: Context, images: ReportImages) -> None:
    """Saves what was measured and drawn. ``conclude`` saves the answer itself.

    Images of an earlier request in the folder are removed, and the context has the number of images of each kind.
    """
    drawn = {column: len(getattr(images, column)) for column in COLUMNS}
    save_json([t.model_dump(mode="json") for t in trials], folder / "trials.json")
    save_json({**asdict(context), "images": drawn}, folder / "context.json")
    for column in COLUMNS:
        for old in (folder / "images").glob(f"{column}-*.png"):
            old.unlink()
        for number, image in enumerate(getattr(images, column)):
            save_bytes(_png(image), folder / "images" / f"{column}-{number}.png")


def conclude(folder: Path, answer: Answer) -> Answer:
    """Saves the answer, writes the report, and returns the answer with the path of the report."""
    answer = answer.model_copy(update={"report": str(folder / "report.html")})
    save_json(answer.to_json(), folder / "answer.json")
    return rewrite_report(folder)


def rewrite_report(folder: Path) -> Answer:
    """Writes ``report.html`` from the files of the folder, and returns the answer.

    Raises:
        InputError: the folder was not written by a run, or its files are damaged.
    """
    try:
        answer = Answer.model_validate(_read(folder / "answer.json"))
        trials = TypeAdapter(list[Trial]).validate_python(_read(folder / "trials.json"))
        context = _read(folder / "context.json")
        images = _images(folder, context)
        page = render_report(
            answer,
            trials,
            Setting(**context["setting"]),
            context["environment"],
            images,
            command=without_secrets(context["command"]),
            request=context["request"] and without_secrets(context["request"]),
        )
    except (ValidationError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise _damaged(folder, str(error)) from None
    if context.get("answer") not in (None, "", answer_key(answer)):
        raise _damaged(folder, "answer.json and context.json are of two requests")
    save(page, folder / "report.html")
    return answer


def folder_of(task: Task, out: str | Path | None) -> Path:
    """Returns the folder asked for, or ``hasten-out`` and a name that describes the task. It is checked, not
    created."""
    parts = [Path(task.model).name, task.scheduler, str(task.steps), *(task.methods or ()), str(task.target or "")]
    if task.methods is None:
        parts[3:3] = ["any", *(f"but-{name}" for name in task.excluded), *(["lossless"] if task.lossless else [])]
    parts += [f"{name}-{value}" for name, value in task.own_setting.items()]
    name = "_".join(p for part in parts if (p := re.sub(r"[^A-Za-z0-9.+-]+", "-", part).strip("-")))
    cut = name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}_{sha256(name.encode()).hexdigest()[:6]}"
    folder = Path(values.path("out", out)) if out is not None else Path("hasten-out") / cut
    check_folder(folder.absolute())
    return folder


def check_folder(folder: Path) -> None:
    """Raises InputError where the folder could not be created or written. Nothing is left behind."""
    if "\0" in str(folder) or not is_text(str(folder)):
        raise InputError(
            f"The output folder {str(folder)!r} cannot be written: its name is to be text in UTF-8, without a NUL "
            "byte. Choose another with --out."
        )
    place = folder
    try:
        place = next(p for p in (folder, *folder.parents) if p.exists())
        with tempfile.TemporaryFile(dir=place):
            return
    except NotADirectoryError:
        reason = f"{str(place)!r} is a file"
    except OSError as error:
        reason = f"{str(place)!r}: {error.strerror}"
    raise InputError(f"The output folder {str(folder)!r} cannot be written: {reason}. Choose another with --out.")


def _damaged(folder: Path, why: str) -> InputError:
    return InputError(f"The files in {str(folder)!r} are damaged: {why}. Run the request again.")


def _images(folder: Path, context: Mapping[str, Any]) -> ReportImages:
    """Returns the images that the context names or, where an older version wrote it, those that exist."""
    prompts = list(context["prompts"])
    columns: dict[str, list[Any]] = {}
    for column in COLUMNS:
        files = [folder / "images" / f"{column}-{number}.png" for number in range(len(prompts))]
        drawn = context["images"][column] if "images" in context else bool(files) and files[0].exists()
        columns[column] = [_image(file) for file in files] if drawn else []
    return ReportImages(prompts=prompts, **columns)


def _image(file: Path) -> Any:
    """Returns a fully read image. Raises InputError where it is missing or damaged."""
    from PIL import Image

    try:
        with Image.open(file, formats=["PNG"]) as image:
            image.load()
            return image
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _damaged(file.parent.parent, f"{file.name}: {error}") from None


def _png(image: Any) -> bytes:
    """Returns a tensor (3, h, w) with values from 0 to 1 as a PNG file."""
    from PIL import Image

    drawn = BytesIO()
    pixels = image.mul(255).round().byte().permute(1, 2, 0).cpu().numpy()
    Image.fromarray(pixels).save(drawn, format="PNG")
    return drawn.getvalue()


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{str(file)!r} does not exist: give a folder that `hasten run` wrote.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{str(file)!r} cannot be read: {error}. Run the request again.") from None
