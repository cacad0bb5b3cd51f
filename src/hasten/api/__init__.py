"""Functions for programs: ``run`` a request, ``tune`` a pipeline that you have, ``accelerate`` it by a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hasten.answer import Answer
from hasten.api.batches import explore, generate, run_matrix
from hasten.api.pipelines import accelerate, tune
from hasten.api.requests import compare, profile, run, search
from hasten.limits import Limits
from hasten.measure.profile import Profile
from hasten.models import load_pipeline
from hasten.plan import Plan
from hasten.records import EqualTime, Latency, Loss, Trial
from hasten.search import Progress, SearchOptions
from hasten.task import Target, Task
from hasten.workflow.comparing import Compared, Comparison
from hasten.workflow.generate import Generation
from hasten.workflow.matrix import Matrix
from hasten.workflow.place import Place

if TYPE_CHECKING:
    from hasten.methods import Handle, MethodStats

__all__ = [
    "Answer",
    "Compared",
    "Comparison",
    "EqualTime",
    "Generation",
    "Handle",
    "Latency",
    "Limits",
    "Loss",
    "Matrix",
    "MethodStats",
    "Place",
    "Plan",
    "Profile",
    "Progress",
    "SearchOptions",
    "Target",
    "Task",
    "Trial",
    "accelerate",
    "compare",
    "explore",
    "generate",
    "load_pipeline",
    "profile",
    "run",
    "run_matrix",
    "search",
    "tune",
]


def __getattr__(name: str) -> Any:
    """Loads names of modules that import torch when they are first used."""
    if name not in ("Handle", "MethodStats"):
        raise AttributeError(f"module 'hasten.api' has no attribute {name!r}")
    import hasten.methods

    return getattr(hasten.methods, name)
