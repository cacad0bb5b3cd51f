"""Why a method cannot be used on a family's models, as far as that can be told without their weights. No torch."""

from __future__ import annotations

from typing import Any

from hasten.methods.base import Method
from hasten.models.base import Family


def unfit(method: Method, family: Family) -> str | None:
    """Why the method cannot be used there, a sentence without its full stop; None where the classes fit.

    What a method asks beyond the classes of pipeline and denoiser is for ``unsupported`` to tell of a real one.
    """
    if family.denoiser not in method.denoisers:
        return f"it needs a {' or '.join(method.denoisers)}, and {family.pipeline} has a {family.denoiser}"
    try:
        return method.unsupported(_pipeline(family))
    except _UnreadError:
        return None


class _UnreadError(Exception):
    """Something was asked of a stand-in that only the weights' modules have."""


class _StandIn:
    """Of another class's name, and nothing else. What some objects have by a mark (``_orig_mod``), it has not."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name) if name.startswith("_") else _UnreadError(name)


def _pipeline(family: Family) -> Any:
    pipe = _named(family.pipeline)
    vars(pipe).update({"unet": None, "transformer": None, family.denoiser: _named(family.denoiser_class)})
    return pipe


def _named(class_name: str) -> Any:
    return type(class_name, (_StandIn,), {})()
