"""Loads a pipeline by its model's name, from a local folder or a hub id."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hasten.errors import HastenError, InputError, UnknownNameError
from hasten.files import folder_at
from hasten.models._files import refuse_single_file, source_at
from hasten.models._known import FAMILIES, find_model, source_of
from hasten.models._parts import INDEX, left_out, load_networks, parts_of, refuse_code
from hasten.models._quiet import quiet_loading
from hasten.models.base import Family, Model
from hasten.options.table import DTYPES

if TYPE_CHECKING:
    import torch

    from hasten.schedulers import Scheduler


def load_pipeline(
    model: Model | str,
    scheduler: Scheduler | None = None,
    dtype: str = "float32",
    device: str = "cpu",
) -> Any:
    """Returns a diffusers pipeline that is ready to be called: on its device, no progress bar, no safety checker.

    Args:
        model: a model of the registry or its name, a folder in diffusers layout, or a hub id.
        scheduler: replaces the model's own scheduler and takes over its configuration; None keeps the model's own.
        dtype: float32, float16 or bfloat16.
        device: a torch device, e.g. ``cpu`` or ``cuda:0``.

    Raises:
        UnknownNameError: no model has that name, and there is no such folder.
        InputError: the folder lacks files, the hub cannot be reached, or dtype or device cannot be used.
    """
    source = _source(model)
    torch_dtype, torch_device = _dtype(dtype), _device(device)
    index = _index(source)
    pipe = _read(source, index, torch_dtype).to(torch_device)
    pipe.set_progress_bar_config(disable=True)
    if scheduler is not None:
        pipe.scheduler = _built(scheduler, pipe, source)
    return pipe


def _built(scheduler: Scheduler, pipe: Any, source: str) -> Any:
    try:
        return scheduler.build(pipe.scheduler.config)
    except HastenError:
        raise
    except Exception as error:  # whatever a library makes of another scheduler's numbers
        raise InputError(
            f"The scheduler {scheduler.name} cannot be made of what {source!r} has in its scheduler_config.json: "
            f"{_first_line(error)}. Name another scheduler, or mend that file."
        ) from error


def family_of(pipe: Any) -> Family | None:
    """Returns the family of a pipeline object, by its class or a base class, or None when it is unknown."""
    by_class = {family.pipeline: family for family in FAMILIES.all()}
    return next((by_class[c.__name__] for c in type(pipe).__mro__ if c.__name__ in by_class), None)


def _source(model: Model | str) -> str:
    """Returns a folder's path or a hub id."""
    if isinstance(model, Model):
        return source_of(model)
    if not isinstance(model, str):
        raise InputError(f"The model is {model!r}: give a name such as 'SDXL', a folder as text, or a hub id.")
    refuse_single_file(model)
    try:
        return _source(find_model(model)[1])
    except UnknownNameError:
        if (source := source_at(model)) is not None:
            return source
        if Path(model).name != model:
            raise InputError(f"No model folder at {model!r}. Give a folder in diffusers layout.") from None
        raise


def _dtype(name: str) -> torch.dtype:
    import torch

    if name not in DTYPES:
        raise InputError(f"The dtype is {name!r}: allowed are {', '.join(DTYPES)}.")
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def check_device(name: str) -> None:
    """Raises InputError where the device cannot be used here."""
    _device(name)


def check_source(model: Model | str) -> None:
    """Raises InputError where the model is a folder that is missing or lacks files. A hub is not contacted."""
    source = _source(model)
    if folder_at(source) or Path(source).is_absolute():
        _index(source)


def _device(name: str) -> torch.device:
    import torch

    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        here = ", ".join(["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))])
        raise InputError(
            f"The device {name!r} cannot be used here: {_first_line(error)}. Give one of those that this machine "
            f"has ({here}), or none for the fastest."
        ) from None
    return device


def _index(source: str) -> dict[str, Any]:
    """Returns the pipeline's ``model_index.json``, checked against the folder that holds it."""
    folder = Path(source)
    if not folder.is_dir():
        if folder.is_absolute():
            raise InputError(f"No model folder at {source!r}. Give a folder in diffusers layout.")
        return _hub_index(source)
    try:
        index: dict[str, Any] = dict(json.loads((folder / INDEX).read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise InputError(
            f"{source!r} is no model folder: it has no model_index.json. "
            "Give a folder in diffusers layout, as written by pipe.save_pretrained(folder)."
        ) from None
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise InputError(f"The model_index.json in {source!r} cannot be read: {_first_line(error)}.") from None
    refuse_code(source, index, folder)
    if missing := [name for name in parts_of(index) if not (folder / name).is_dir()]:
        raise InputError(
            f"The model folder {source!r} lacks {', '.join(missing)}, which its model_index.json names. "
            "Copy or download the folder again."
        )
    return index


def _hub_index(source: str) -> dict[str, Any]:
    from diffusers import DiffusionPipeline

    try:
        index = dict(DiffusionPipeline.load_config(source))
    except (OSError, ValueError) as error:
        raise InputError(
            f"The model {source!r} cannot be fetched from the hub ({_first_line(error)}). Check the name and the "
            "connection, or download the model elsewhere and give its folder."
        ) from None
    refuse_code(source, index)
    return index


def _read(source: str, index: dict[str, Any], dtype: torch.dtype) -> Any:
    cls = _pipeline_class(source, index)
    options: dict[str, Any] = {"use_safetensors": True, **dict.fromkeys(left_out(index))}
    if "safety_checker" in index:
        options |= {"safety_checker": None, "requires_safety_checker": False}
    try:
        with quiet_loading(bars=_is_remote(source)):
            folder = Path(cls.download(source, **options) if _is_remote(source) else source)
            refuse_code(source, index, folder)
            options |= load_networks(folder, index, dtype)
            pipe = cls.from_pretrained(str(folder), **{_dtype_keyword(): dtype}, **options)
    except HastenError:
        raise
    except Exception as error:  # a library's error for malformed files can be of any type
        raise InputError(
            f"The model {source!r} cannot be loaded: {_first_line(error)}. It needs every part that its "
            "model_index.json names, with weights as safetensors."
        ) from error
    pipe.register_to_config(_name_or_path=source)
    return pipe


def _pipeline_class(source: str, index: dict[str, Any]) -> Any:
    import diffusers

    name = str(index.get("_class_name"))
    with quiet_loading():
        cls = getattr(diffusers, name, None)
    if not isinstance(cls, type) or not issubclass(cls, diffusers.DiffusionPipeline) or cls.config_name != INDEX:
        raise InputError(f"{source!r} is for {name!r}, a pipeline that diffusers does not have.")
    return cls


def _is_remote(source: str) -> bool:
    return not Path(source).is_dir()


def _dtype_keyword() -> str:
    """Returns the name of the dtype argument. diffusers 0.42 renamed it, and warns of the old name."""
    major, minor = version("diffusers").split(".")[:2]
    return "dtype" if (int(major), int(minor)) >= (0, 42) else "torch_dtype"


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")
