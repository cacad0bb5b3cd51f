"""Identifies a module by the class, the weights and the other attributes of each of its modules."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from hasten.measure.identity.values import Walk

if TYPE_CHECKING:
    import torch

OBSERVERS = "transformers.utils.output_capturing"
"""The module whose hooks only observe. A text encoder gets them at its first call."""
HOOKS = ("_forward_pre_hooks", "_forward_hooks")
"""A module's dictionaries of hooks. Their keys count all hooks of a process, so that only the order of hooks
matters."""


def facts_of(module: torch.nn.Module, name: str, walk: Walk) -> Iterator[tuple[str, str]]:
    """Yields a text for each module inside ``module``, by its place. ``walk`` already has the modules' names."""
    import torch

    of_all = frozenset(vars(torch.nn.Module()))
    for place, each in module.named_modules(prefix=name):
        lines = [*_lines(each, place, walk), *walk.attributes(each, place, without=of_all)]
        yield place, "\n".join(lines)


def _lines(module: torch.nn.Module, place: str, walk: Walk) -> Iterator[str]:
    yield walk.code.of_class(type(module))
    if module.training:
        yield "training"
    for kind in ("_parameters", "_buffers"):
        for name, tensor in sorted(vars(module)[kind].items()):
            if tensor is not None:
                yield f"{kind} {name}: {walk.tensor(tensor, f'{place}.{name}')}"
    for kind in HOOKS:
        seen = (
            (k, hook) for k, hook in vars(module)[kind].items() if getattr(hook, "__module__", "") != OBSERVERS
        )
        for key, hook in seen:
            more = [
                key in vars(module)[f"{kind}_with_kwargs"],
                key in vars(module).get(f"{kind}_always_called", {}),
            ]
            yield f"{kind} {walk.text(hook, place)} {more}"
    yield f"modules {sorted(name for name, child in module.named_children())}"


def weights_digest(module: torch.nn.Module) -> str:
    """Returns a hash of 12 characters of a module's weights."""
    walk = Walk()
    told = (f"{name} {walk.tensor(tensor, name)}" for name, tensor in module.state_dict().items())
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:12]


def placed(module: torch.nn.Module, name: str) -> dict[int, str]:
    """Returns the names of a module and all modules inside it, by their ``id``."""
    return {id(each): place for place, each in module.named_modules(prefix=name)}


def is_elsewhere(module: torch.nn.Module) -> bool:
    """Returns whether hooks move the weights between devices, so that their present device has no meaning."""
    hooks = (vars(each).get(name) for each in module.modules() for name in ("_hf_hook", "_diffusers_hook"))
    return any(hook is not None and getattr(hook, "hooks", True) for hook in hooks)
