"""Calls that bring their own timesteps or sigmas, which methods that act on whole calls of the pipeline refuse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hasten.errors import InputError

INSTEAD = ("timesteps", "sigmas")
"""Arguments that calls may have in place of a number of steps."""


def refuse_own_steps(title: str, given: Mapping[str, Any]) -> None:
    """Raises InputError where a call brings its own timesteps or sigmas. ``title`` is that of the method."""
    if own := [name for name in INSTEAD if given.get(name) is not None]:
        raise InputError(
            f"{title} is applied to the pipeline, and the call is given {own[0]}, which say themselves how "
            "many steps it takes and where. Give num_inference_steps instead, or remove the method."
        )
