"""The identity of a bench: everything that two benches must share for their trials to be comparable."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from typing import Any

from hasten.measure.identity.names import WIDE
from hasten.measure.identity.pipelines import digest_of, look_at
from hasten.measure.identity.scorers import scorer_digest
from hasten.measure.identity.values import Walk
from hasten.measure.pipeline import Pipeline
from hasten.metrics import ClipScorer, named_dino

logger = logging.getLogger(__name__)

OWN = "own"
"""The entry that makes an identity unlike every other."""
SHOWN = 3


def identity_of(pipeline: Pipeline, scorer: str | ClipScorer, environment_key: str) -> dict[str, str]:
    """Returns the identity as text, by topic. It has an entry ``OWN`` where a part of the pipeline could not be
    inspected."""
    looked = look_at(pipeline.pipe)
    walk = Walk()
    dino = named_dino()
    found = {
        "class": type(pipeline.pipe).__name__,
        WIDE: digest_of(looked.facts),
        "scheduler": digest_of(looked.scheduler),
        "call": _of_call(pipeline.given, walk),
        "process": digest_of(looked.process),
        "environment": environment_key,
        "scorer": ", ".join([scorer_digest(scorer), *([scorer_digest(dino)] if dino else [])]),
        "prompts": pipeline.prompts.fingerprint,
        "seed": str(pipeline.seed),
    }
    unknown = {**looked.unknown, **walk.unknown}
    if unknown:
        logger.warning(_not_known(unknown))
        found[OWN] = uuid.uuid4().hex
    return found


def _of_call(given: Mapping[str, Any], walk: Walk) -> str:
    """Returns the arguments of each call, with everything that the code of functions among them names."""
    told, beyond = walk.text(given, "call"), walk.beyond()
    return digest_of({"call": told, **beyond}) if any(beyond.values()) else told


def _not_known(unknown: dict[str, Any]) -> str:
    places = [f"{place} ({kind})" for place, kind in unknown.items()]
    shown = ", ".join(places[:SHOWN]) + (f" and {len(places) - SHOWN} more" if len(places) > SHOWN else "")
    return (
        f"hasten cannot look into {shown}: whether it changed since is not known, so that trials of this pipeline "
        "are kept for themselves, and no later search will take them for its own."
    )
