"""The registry of model families, and look-ups of the models that they name."""

from __future__ import annotations

import json
from functools import lru_cache

from hasten.errors import UnknownNameError
from hasten.files import folder_at
from hasten.models._embedded import embedded_folder
from hasten.models._parts import INDEX
from hasten.models.base import Family, Model
from hasten.registry import Registry

FAMILIES: Registry[Family] = Registry("model family", "hasten.models", "FAMILY", Family, Family.spellings)


def model_names() -> tuple[str, ...]:
    """Returns the canonical names of all models."""
    return tuple(model.name for family in FAMILIES.all() for model in family.models)


def find_model(name: str) -> tuple[Family, Model]:
    """Returns the model of that name, alias or hub id, with its family. Raises UnknownNameError."""
    for family in FAMILIES.all():
        for model in family.models:
            if model.answers_to(name):
                return family, model
    raise UnknownNameError("model", name, model_names())


def family_named(model: str) -> Family | None:
    """Returns the family of a model's name, a hub id or a folder, or None where only loading would tell."""
    try:
        return find_model(model)[0]
    except UnknownNameError:
        pass
    folder = folder_at(model)
    if folder is None:
        return None
    try:
        pipeline = json.loads((folder / INDEX).read_text(encoding="utf-8"))["_class_name"]
    except (OSError, ValueError, KeyError, TypeError, RuntimeError):
        return None  # the loader of the folder reports its faults
    return next((family for family in FAMILIES.all() if family.pipeline == pipeline), None)


@lru_cache
def model_name(name: str) -> str:
    """Returns the canonical name of a model, or of a pipeline class's first model; others stay as they are."""
    for family in FAMILIES.all():
        if family.pipeline == name:
            return family.models[0].name
    try:
        return find_model(name)[1].name
    except UnknownNameError:
        return name


def model_at(origin: str) -> Model | None:
    """Returns the model that ``from_pretrained(origin)`` loads from a hub id or an embedded folder, or None."""
    models = (model for family in FAMILIES.all() for model in family.models)
    return next((model for model in models if model.source in origin and source_of(model) == origin), None)


def source_of(model: Model) -> str:
    """Returns the hub id of a model, or the folder of an embedded one."""
    return str(embedded_folder(model.source)) if model.embedded else model.source
