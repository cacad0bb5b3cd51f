"""The prompts and the scorer of a bench where the user names none: the model's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hasten.errors import UnknownNameError
from hasten.measure.prompts import PromptSet, load
from hasten.metrics import ClipScorer, load_scorer
from hasten.models import find_model
from hasten.models.base import Model
from hasten.models.stable_diffusion import VIT_G_14


def known_model(model: str) -> Model | None:
    """Returns the registry's model of that name, or None for a folder."""
    try:
        return find_model(model)[1]
    except UnknownNameError:
        return None


def prompts_of(prompts: str | Path | Sequence[str] | PromptSet | None, model: Model | None) -> PromptSet:
    if isinstance(prompts, PromptSet):
        return prompts
    return load(prompts or (model.prompts if model else "general"))


def scorer_of(scorer: str | ClipScorer | None, model: Model | None) -> str | ClipScorer:
    return scorer or (model.scorer if model else VIT_G_14)


def loaded(scorer: str | ClipScorer, device: str) -> ClipScorer:
    return load_scorer(scorer, device) if isinstance(scorer, str) else scorer
