"""hasten: a diffusers pipeline as fast as you ask, within the quality loss you allow.

The public names are loaded on first use, so that ``import hasten`` and ``hasten --help`` stay fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hasten.version import __version__ as __version__

if TYPE_CHECKING:
    from hasten.answer import Answer
    from hasten.api import accelerate, explore, generate, run, tune
    from hasten.errors import HastenError
    from hasten.plan import Plan
    from hasten.records import Trial
    from hasten.task import Task

_HOMES = {
    "accelerate": "hasten.api",
    "explore": "hasten.api",
    "generate": "hasten.api",
    "run": "hasten.api",
    "tune": "hasten.api",
    "Answer": "hasten.answer",
    "HastenError": "hasten.errors",
    "Plan": "hasten.plan",
    "Task": "hasten.task",
    "Trial": "hasten.records",
}
__all__ = ["Answer", "HastenError", "Plan", "Task", "Trial", "accelerate", "explore", "generate", "run", "tune"]


def __dir__() -> list[str]:
    return sorted({*__all__, "__doc__", "__version__"})


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'hasten' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
