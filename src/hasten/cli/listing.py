"""The tables of ``hasten list``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hasten.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from hasten.methods.base import Parameter
    from hasten.models.base import Family

Rows = list[dict[str, Any]]
JSON_ONLY = ("paper",)
"""Columns that are too long for a table and appear in JSON only."""


def rows(what: str, model: str | None = None) -> Rows:
    """Returns the rows of one table. With ``model``, schedulers and methods say whether they fit it, and why not.

    Args:
        model: a model's name, its hub id, or a folder.

    Raises:
        UnknownNameError: no such table, or no such model.
        InputError: a table that is the same for every model.
    """
    tables: dict[str, Callable[[], Rows]] = {
        "models": _models,
        "schedulers": _schedulers,
        "methods": _methods,
        "metrics": _metrics,
    }
    if what not in tables:
        raise UnknownNameError("list", what, tables)
    if model is None:
        return tables[what]()
    fitted = {"schedulers": _schedulers_for, "methods": _methods_for}
    if what not in fitted:
        raise InputError(f"--model {model} is for {' and '.join(fitted)}: leave it out for {what}.")
    return fitted[what](model)


def _models() -> Rows:
    from hasten.models import FAMILIES

    return [
        {
            "name": model.name,
            "source": "embedded" if model.embedded else model.source,
            "pipeline": family.pipeline,
            "resolution": model.resolution,
            "steps": model.steps,
            "guidance": model.guidance_scale,
        }
        for family in FAMILIES.all()
        for model in family.models
    ]


def _schedulers() -> Rows:
    from hasten.schedulers import SCHEDULERS

    return [{"name": s.name, "class": s.class_name, "also": list(s.aliases)} for s in SCHEDULERS]


def _schedulers_for(model: str) -> Rows:
    from hasten.models import usual_scheduler
    from hasten.schedulers import SCHEDULERS

    family, own = _family(model), usual_scheduler(model)
    usual = {True: "yes, the usual one", False: "yes"}
    fits = [family.unfit(s) or usual[s.name == own] for s in SCHEDULERS]
    fits = [fit if fit in usual.values() else f"no: {fit}" for fit in fits]
    return [{"name": row["name"], "fits": fit, **row} for row, fit in zip(_schedulers(), fits, strict=True)]


def _methods(steps: int | None = None) -> Rows:
    from hasten.methods import METHODS

    return [
        {
            "name": method.name,
            "parameters": [_ranged(p) for p in method.parameters(steps=steps)],
            "what it does": method.summary,
            "paper": method.paper,
        }
        for method in METHODS.all()
    ]


def _methods_for(model: str) -> Rows:
    """Returns the methods with their ranges at the model's usual number of steps. Weights are not loaded."""
    from hasten.methods import METHODS, unfit
    from hasten.models import find_model

    family = _family(model)
    try:
        steps: int | None = find_model(model)[1].steps
    except UnknownNameError:
        steps = None
    reasons = [unfit(method, family) for method in METHODS.all()]
    return [
        {"name": row["name"], "fits": f"no: {reason}" if reason else "yes", **row}
        for row, reason in zip(_methods(steps), reasons, strict=True)
    ]


def _family(model: str) -> Family:
    """Returns the family of a model or a folder. Raises UnknownNameError."""
    from hasten.models import family_named, model_names

    family = family_named(model)
    if family is None:
        raise UnknownNameError("model", model, (*model_names(), "or the folder of one of their kind"))
    return family


def _ranged(p: Parameter) -> str:
    if p.allowed and isinstance(p.default, str):
        return f"{p.name} {', '.join(map(str, p.allowed))} ({p.default})"
    if isinstance(p.default, str):
        return f"{p.name} a list of steps (all)"
    return f"{p.name} {p.low:g}–{p.high:g} ({p.default:g})"


def _metrics() -> Rows:
    from hasten.metrics import METRICS

    return [
        {
            "name": metric.name,
            "scale": metric.scale,
            "better": "higher" if metric.higher_is_better else "lower",
            "against": "the baseline's images" if metric.needs_references else "the prompt",
        }
        for metric in METRICS.all()
    ]
