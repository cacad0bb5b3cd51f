"""Identifies a pipeline by every component, and by everything that was set on it."""

from __future__ import annotations

import dis
import hashlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hasten.measure.identity import modules, schedulers
from hasten.measure.identity.names import ORIGIN
from hasten.measure.identity.process import switches
from hasten.measure.identity.values import Walk


@dataclass(frozen=True)
class Looked:
    """The facts about a pipeline, as texts by place: about its scheduler, about the process, and all others.

    ``unknown`` has the type of each value that could not be inspected, by its place.
    """

    facts: dict[str, str]
    scheduler: dict[str, str]
    process: dict[str, str]
    unknown: dict[str, str]


def look_at(pipe: Any) -> Looked:
    """Returns all facts about a pipeline, which is only read."""
    import torch

    walk = Walk()
    walk.names[id(pipe)] = "pipeline"
    held = {name: value for name, value in sorted(vars(pipe).items()) if value is not None}
    parts = {name: value for name, value in held.items() if isinstance(value, torch.nn.Module)}
    for name, part in reversed(parts.items()):
        walk.names.update(modules.placed(part, name))
    scheduler = held.get("scheduler")
    walk.names[id(scheduler)] = "scheduler"
    facts = {place: text for name, part in parts.items() for place, text in _of_part(part, name, walk)}
    without = frozenset({*parts, "scheduler", "_internal_dict", *_stored_by_calls(type(pipe))})
    facts["pipeline"] = "\n".join([walk.code.of_class(type(pipe)), *walk.attributes(pipe, "pipeline", without)])
    facts["pipeline.config"] = walk.text(_own_config(pipe), "pipeline.config")
    apart = walk.beside()
    of_scheduler, of_process = dict(schedulers.facts_of(scheduler, apart)), switches(walk)
    facts |= walk.beyond()
    return Looked(facts, of_scheduler, of_process, {**walk.unknown, **apart.unknown})


def digest_of(facts: dict[str, str]) -> str:
    """Returns a hash of 24 characters of the facts, whatever order they were found in."""
    digest = hashlib.sha256()
    for place, text in sorted(facts.items()):
        digest.update(f"{place}\0{text}\0".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:24]


def _of_part(part: Any, name: str, walk: Walk) -> Iterator[tuple[str, str]]:
    yield from modules.facts_of(part, name, walk)
    if not modules.is_elsewhere(part):
        yield f"{name} lies on", ", ".join(sorted({p.device.type for p in part.parameters()}))


def _own_config(pipe: Any) -> dict[str, Any]:
    """Returns the configuration without its list of components, which are inspected themselves."""
    return {name: v for name, v in pipe.config.items() if name not in vars(pipe) and name not in ORIGIN}


def _stored_by_calls(cls: type) -> set[str]:
    """Returns the names of the attributes that every call of the pipeline sets before it uses them."""
    code = inspect.unwrap(vars(cls).get("__call__") or cls.__call__).__code__
    return {step.argval for step in dis.get_instructions(code) if step.opname == "STORE_ATTR"}
