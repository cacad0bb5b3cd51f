"""The tables of ``hasten list``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hasten.errors import UnknownNameError

if TYPE_CHECKING:
    from hasten.methods.base import Parameter

Rows = list[dict[str, Any]]
JSON_ONLY = ("paper",)
"""Too long for a table."""


def rows(what: str) -> Rows:
    """The rows of one table. Raises UnknownNameError."""
    tables: dict[str, Callable[[], Rows]] = {
        "models": _models,
        "schedulers": _schedulers,
        "methods": _methods,
        "metrics": _metrics,
    }
    if what not in tables:
        raise UnknownNameError("list", what, tables)
    return tables[what]()


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


def _methods() -> Rows:
    from hasten.methods import METHODS

    return [
        {
            "name": method.name,
            "parameters": [_ranged(p) for p in method.parameters()],
            "what it does": method.summary,
            "paper": method.paper,
        }
        for method in METHODS.all()
    ]


def _ranged(p: Parameter) -> str:
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
