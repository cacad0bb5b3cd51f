"""What tells a module from others: of each of its modules the class, the weights, and everything set on it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from hasten.measure.identity.values import Walk

if TYPE_CHECKING:
    import torch

OBSERVERS = "transformers.utils.output_capturing"
"""Its hooks only look on, and are put on a text encoder by its first call."""
HOOKS = ("_forward_pre_hooks", "_forward_hooks")
"""Their keys count all hooks of a process; only their order and what they do matters."""


def facts_of(module: torch.nn.Module, name: str, walk: Walk) -> Iterator[tuple[str, str]]:
    """A text for each module in ``module``, by its place. ``walk`` knows the modules by name already."""
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
    """12 characters that tell the weights of a module from others."""
    walk = Walk()
    told = (f"{name} {walk.tensor(tensor, name)}" for name, tensor in module.state_dict().items())
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:12]


def placed(module: torch.nn.Module, name: str) -> dict[int, str]:
    """The names of a module and of all in it, by their ``id``."""
    return {id(each): place for place, each in module.named_modules(prefix=name)}


def is_elsewhere(module: torch.nn.Module) -> bool:
    """Its weights are moved to and fro by hooks, so that where they lie now says nothing."""
    hooks = (vars(each).get(name) for each in module.modules() for name in ("_hf_hook", "_diffusers_hook"))
    return any(hook is not None and getattr(hook, "hooks", True) for hook in hooks)
