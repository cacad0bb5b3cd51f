"""Tells whether a method is applied to a pipeline, without importing torch."""

from __future__ import annotations

from typing import Any

from hasten.denoisers import denoiser_of

ATTRIBUTE = "_hasten_patches"
"""The attribute of a denoiser that holds its ``Patches``."""
REMOVE = "first call remove() of the handle that hasten.accelerate returned for it"
"""The advice in error messages about a method that is applied where it must not be."""


def is_installed(name: str, pipe: Any) -> bool:
    """Returns whether the method of that name is applied to the pipeline's denoiser."""
    patches = vars(denoiser_of(pipe)).get(ATTRIBUTE)
    return patches is not None and patches.has(name)
