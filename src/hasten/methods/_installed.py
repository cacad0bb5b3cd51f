"""Whether a method is applied to a pipeline, asked without torch."""

from __future__ import annotations

from typing import Any

from hasten.denoisers import denoiser_of

ATTRIBUTE = "_hasten_patches"
"""What all that is installed on a denoiser is kept on it by."""
REMOVE = "first call remove() of the handle that hasten.accelerate returned for it"
"""What to do where a method is applied that must not be."""


def is_installed(name: str, pipe: Any) -> bool:
    """The method of that name is applied to the pipeline's denoiser."""
    patches = vars(denoiser_of(pipe)).get(ATTRIBUTE)
    return patches is not None and patches.has(name)
