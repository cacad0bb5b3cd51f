"""Switches of the whole process that affect computing: those of torch, of its compiler, and of diffusers."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from functools import reduce
from types import ModuleType
from typing import Any

from hasten.measure.identity.names import PLAIN
from hasten.measure.identity.values import Walk

VARIABLES = (
    "CUBLAS_WORKSPACE_CONFIG",
    "NVIDIA_TF32_OVERRIDE",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
)
"""Environment variables that change matrix products without a trace in any Python object."""
HOOKS = ("_global_forward_pre_hooks", "_global_forward_hooks")
"""torch's hooks for all modules of the process."""
COMPILERS = ("torch._dynamo.config", "torch._inductor.config")


def switches(walk: Walk) -> dict[str, str]:
    """Returns all switches by name, as text. The compiler's are included where ``walk`` has met something
    compiled."""
    import torch

    found = {name: value for name in VARIABLES if (value := os.environ.get(name))}
    for name, module in sorted(sys.modules.items()):
        if name.startswith("torch.backends.") and module is not None:
            found |= {f"{name}.{switch}": repr(value) for switch, value in _plain_in(module)}
    for name in ("flash", "mem_efficient", "math", "cudnn"):
        found[f"{name}_sdp"] = str(getattr(torch.backends.cuda, f"{name}_sdp_enabled")())
    matmul = torch.backends.cuda.matmul
    for name in ("allow_fp16_reduced_precision_reduction", "allow_bf16_reduced_precision_reduction", "allow_tf32"):
        found[f"matmul.{name}"] = str(getattr(matmul, name))
    found["deterministic"] = str(torch.are_deterministic_algorithms_enabled())
    found["autocast"] = str([torch.is_autocast_enabled(kind) for kind in ("cpu", "cuda")])
    found["default_dtype"] = str(torch.get_default_dtype())
    for name in HOOKS:
        found[name] = walk.text(list(vars(torch.nn.modules.module)[name].values()), name)
    return found | _of_diffusers() | (_of_compilers() if walk.compiled else {})


def _of_compilers() -> dict[str, str]:
    """Returns the changed settings of the compiler.

    Modules that are not imported have their defaults. Methods that quantise change some settings, too.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # reading a deprecated setting warns, and the user has not touched it
        return {
            f"{name}.{switch}": repr(value)
            for name in COMPILERS
            for switch, entry in getattr(sys.modules.get(name), "_config", {}).items()
            if isinstance(value := reduce(getattr, switch.split("."), sys.modules[name]), PLAIN)
            and isinstance(entry.default, PLAIN)
            and value != entry.default
        }


def _plain_in(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Yields the switches of a module, which are attributes or properties of its class."""
    for name in sorted({*dir(type(module)), *vars(module)}):
        if not name.startswith("_") and name != "TYPE_CHECKING":
            value = getattr(module, name, None)
            if isinstance(value, bool | int | str):
                yield name, value


def _of_diffusers() -> dict[str, str]:
    """Returns diffusers' attention kernel for models that name none."""
    registry = getattr(sys.modules.get("diffusers.models.attention_dispatch"), "_AttentionBackendRegistry", None)
    return {} if registry is None else {"attention backend": str(getattr(registry, "_active_backend", ""))}
