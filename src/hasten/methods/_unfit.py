"""Tells why a method does not fit a family's models, as far as that is known without their weights. It imports no
torch."""

from __future__ import annotations

from typing import Any

from hasten.methods.base import Method
from hasten.models.base import Family
from hasten.schedulers import find_scheduler


def unfit(method: Method, family: Family) -> str | None:
    """Returns why the method cannot be used on the family, as a sentence without its full stop, or None where it
    fits.

    Only the classes of pipeline and denoiser are looked at. ``Method.unsupported`` judges a loaded pipeline.
    """
    if family.denoiser not in method.denoisers:
        return f"it needs a {' or '.join(method.denoisers)}, and {family.pipeline} has a {family.denoiser}"
    try:
        return method.unsupported(_pipeline(family))
    except _UnreadError:
        return None


class _UnreadError(Exception):
    """Raised when a stand-in is asked for something that only a loaded model has."""


class _StandIn:
    """An object with the name of another class and no content.

    Private attributes, by which some real objects are told apart (``_orig_mod``), are missing. Asking for any
    other raises _UnreadError.
    """

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name) if name.startswith("_") else _UnreadError(name)


def _pipeline(family: Family) -> Any:
    pipe = _named(family.pipeline)
    vars(pipe).update({"unet": None, "transformer": None, family.denoiser: _named(family.denoiser_class)})
    if family.schedulers:
        vars(pipe)["scheduler"] = _named(find_scheduler(family.schedulers[0]).class_name)
    return pipe


def _named(class_name: str) -> Any:
    return type(class_name, (_StandIn,), {})()
