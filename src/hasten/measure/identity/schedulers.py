"""Identifies a diffusion scheduler, without the state of its last call."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from hasten.measure.identity.values import Walk

REHEARSED = 4
"""The number of steps in the call that shows which attributes of a scheduler change in a call."""


def facts_of(scheduler: Any, walk: Walk) -> Iterator[tuple[str, str]]:
    """Yields its class, its configuration, and whatever was set on it since, except for what each call sets
    anew."""
    yield "scheduler", walk.code.of_class(type(scheduler))
    yield "scheduler.config", walk.text(dict(scheduler.config), "scheduler.config")
    without = frozenset({"_internal_dict", *_of_a_call(scheduler)})
    yield "scheduler.attributes", "\n".join(walk.attributes(scheduler, "scheduler", without=without))
    yield from ((f"scheduler.{place}", text) for place, text in walk.beyond().items())


def _of_a_call(scheduler: Any) -> set[str]:
    """Returns the names of the attributes that a call changes, found in a call with a new scheduler of equal
    configuration.

    Where the call fails half-way, they are those that were changed until then.
    """
    fresh = type(scheduler).from_config(scheduler.config)
    before, changed = _told(fresh), set[str]()
    with suppress(Exception):  # other people's schedulers may need to be called differently
        for _ in _call(fresh):
            after = _told(fresh)
            changed |= {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    return changed


def _told(scheduler: Any) -> dict[str, str]:
    walk = Walk()
    return {name: walk.text(copy.copy(value), name) for name, value in vars(scheduler).items()}


def _call(scheduler: Any) -> Iterator[None]:
    """Takes a few steps on a small latent, with arguments that every scheduler of diffusers takes."""
    import torch

    takes = inspect.signature(scheduler.set_timesteps).parameters
    shifted = {"mu": 1.0} if "mu" in takes and scheduler.config.get("use_dynamic_shifting") else {}
    scheduler.set_timesteps(REHEARSED, **shifted)
    yield
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(0)
    latent = torch.zeros(1, 4, 8, 8)
    for timestep in scheduler.timesteps:
        if hasattr(scheduler, "scale_model_input"):
            scheduler.scale_model_input(latent, timestep)
        scheduler.step(latent + 0.1, timestep, latent)
        yield
