"""The surroundings of a script's process: a cleared environment, and limits that it cannot lift.

This keeps secrets of the environment from a script, and protects the machine from a script that runs away. It is
not a sandbox: the process has the user's rights on files and on the network.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from hasten.processes import SAFE_PATH
from hasten.texts import without_secrets

_NAMES = {
    *("HOME", "PATH", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TMP", "TEMP", "VIRTUAL_ENV"),
    *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LD_PRELOAD", "MALLOC_ARENA_MAX", "CONDA_PREFIX", "SSL_CERT_FILE"),
    *("SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "USERPROFILE", "APPDATA", "LOCALAPPDATA"),
    *("PROGRAMDATA", "NUMBER_OF_PROCESSORS", "PROCESSOR_ARCHITECTURE"),
}
"""Variables that programs and the system's libraries need."""
_BEGINNINGS = (
    *("LC_", "XDG_", "PYTHON"),
    *("CUDA_", "NVIDIA_", "CUBLAS_", "CUDNN_", "NCCL_", "HIP_", "ROCR_", "HSA_", "MIOPEN_", "ZE_", "ONEAPI_"),
    *("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "BLIS_", "ONEDNN_", "DNNL_", "ATEN_", "NUMEXPR_"),
    *(
        "TORCH",
        "PYTORCH_",
        "TRITON_",
        "INDUCTOR_",
        "HF_",
        "HUGGINGFACE_",
        "TRANSFORMERS_",
        "DIFFUSERS_",
        "HASTEN_",
    ),
)
"""Prefixes of the variables that torch, its devices and threads, and the libraries of the hub read."""
_SECRET = re.compile("TOKEN|SECRET|PASS|CREDENTIAL|AUTH|COOKIE|(API|ACCESS|PRIVATE)_?KEY", re.I)
_OFFLINE = {"HF_HUB_OFFLINE": "1"}
"""Keeps a script offline. hasten has already fetched all that it loads, so it needs no network and no token."""

GIB = 1 << 30
_BESIDE_BYTES = 4 * GIB
_TIMES = 3
_FILE_BYTES = 16 * GIB


def cleared(environment: Mapping[str, str]) -> dict[str, str]:
    """Returns the part of an environment that a script's process gets: variables that are known to be needed and
    do not look like secrets."""
    kept = {name: value for name, value in environment.items() if _needed(name) and not _secret(name, value)}
    return {**kept, **_OFFLINE, **SAFE_PATH}


def _needed(name: str) -> bool:
    return name.upper() in _NAMES or name.upper().startswith(_BEGINNINGS)


def _secret(name: str, value: str) -> bool:
    return bool(_SECRET.search(name)) or without_secrets(value) != value


def memory_limit(reference_bytes: int) -> int:
    """Returns the memory that a script may hold: three times what the plain pipeline took in hasten's own process,
    plus 4 GiB for compilers."""
    return _TIMES * reference_bytes + _BESIDE_BYTES


RESOURCES = {"RLIMIT_CORE": 0, "RLIMIT_FSIZE": _FILE_BYTES}
"""The limits of a script's process from its start on, by their names in ``resource``."""
