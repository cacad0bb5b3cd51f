"""The surroundings of a script's process: a cleared environment, and limits that it cannot lift.

This keeps secrets of the environment from a script, and protects the machine from a script that runs away. It is
not a sandbox: the process has the user's rights on files and on the network. It can also read of other processes
what the user can, such as the environment of the process that started hasten.
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
_LIBRARIES = {
    *("LC_ALL", "LC_CTYPE", "LC_NUMERIC", "LC_TIME", "LC_COLLATE", "LC_MONETARY", "LC_MESSAGES"),
    *("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"),
    *("PYTHONHOME", "PYTHONPATH", "PYTHONHASHSEED", "PYTHONUTF8", "PYTHONIOENCODING", "PYTHONUNBUFFERED"),
    *("PYTHONNOUSERSITE", "PYTHONUSERBASE", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "PYTHONOPTIMIZE"),
    *("PYTHONWARNINGS", "PYTHONMALLOC", "PYTHONFAULTHANDLER", "PYTHONCOERCECLOCALE", "PYTHON_GIL", "PYTHON_JIT"),
    *("TORCH_HOME", "TORCH_EXTENSIONS_DIR", "TORCH_CUDA_ARCH_LIST", "TORCH_DEVICE_BACKEND_AUTOLOAD"),
    *("TORCH_COMPILE_DISABLE", "TORCH_COMPILE_BACKEND", "TORCH_LOGS", "TORCH_SHOW_CPP_STACKTRACES"),
    *("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "TORCH_BLAS_PREFER_CUBLASLT", "TORCH_LINALG_PREFER_CUSOLVER"),
    *("TORCH_CUDNN_V8_API_DISABLED", "TORCH_CUDNN_V8_API_LRU_CACHE_LIMIT", "TORCH_CUDNN_SDPA_ENABLED"),
    *("TORCH_ROCM_AOTRITON_ENABLE_EXPERIMENTAL", "TORCH_XPU_ARCH_LIST"),
    *("HF_HOME", "HF_HUB_CACHE", "HF_ASSETS_CACHE", "HF_MODULES_CACHE", "HF_XET_CACHE", "HF_ENDPOINT"),
    *("HF_HUB_DISABLE_PROGRESS_BARS", "HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_SYMLINKS"),
    *("HF_HUB_DISABLE_SYMLINKS_WARNING", "HF_HUB_DISABLE_SHARED_BLOBS", "HF_HUB_VERBOSITY"),
    *("HF_ENABLE_PARALLEL_LOADING", "HF_PARALLEL_LOADING_WORKERS"),
    *("HUGGINGFACE_HUB_CACHE", "HUGGINGFACE_ASSETS_CACHE", "TRANSFORMERS_CACHE", "TRANSFORMERS_VERBOSITY"),
    *("TRANSFORMERS_NO_ADVISORY_WARNINGS", "TOKENIZERS_PARALLELISM", "DIFFUSERS_VERBOSITY"),
    *("DIFFUSERS_ATTN_BACKEND", "DIFFUSERS_ATTN_CHECKS", "DIFFUSERS_GGUF_CUDA_KERNELS", "DIFFUSERS_SLOW_IMPORT"),
    *("DIFFUSERS_NO_ADVISORY_WARNINGS",),
}
"""Variables that Python, torch and the libraries of the hub read. Beginnings such as ``HF_`` are no sign that a
variable is one of theirs: people keep their secrets under such names."""
_BEGINNINGS = (
    *("CUDA_", "NVIDIA_", "CUBLAS_", "CUDNN_", "NCCL_", "HIP_", "ROCR_", "HSA_", "MIOPEN_", "ZE_", "ONEAPI_"),
    *("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "BLIS_", "ONEDNN_", "DNNL_", "ATEN_", "NUMEXPR_"),
    *("PYTORCH_", "TORCHINDUCTOR_", "TORCHDYNAMO_", "TRITON_"),
)
"""Prefixes of the variables of devices, threads and compilers. They have hundreds of settings, on which the
times depend. Those that look like secrets are left out."""
_SECRET = re.compile(
    "TOKEN|SECRET|PASS|CRED|AUTH|COOKIE|LOGIN|KEY|PRIVATE|CERT|SESSION|ACCOUNT|SIGNATURE"
    "|(^|_)(PAT|PW|PWD|PIN|SAS|DSN|USER|USERNAME|EMAIL)S?(_|$)",
    re.I,
)
_OFFLINE = {"HF_HUB_OFFLINE": "1"}
"""Keeps a script offline. hasten has already fetched all that it loads, so it needs no network and no token."""

GIB = 1 << 30
_BESIDE_BYTES = 4 * GIB
_TIMES = 3
_FILE_BYTES = 16 * GIB


def cleared(environment: Mapping[str, str]) -> dict[str, str]:
    """Returns the part of an environment that a script's process gets: variables that are known to be needed, with
    no password or token in their values."""
    kept = {name: value for name, value in environment.items() if _needed(name.upper()) and not _secret(value)}
    return {**kept, **_OFFLINE, **SAFE_PATH}


def _needed(name: str) -> bool:
    if name in _NAMES or name in _LIBRARIES:
        return True
    return name.startswith(_BEGINNINGS) and not _SECRET.search(name)


def _secret(value: str) -> bool:
    return without_secrets(value) != value


def memory_limit(reference_bytes: int) -> int:
    """Returns the memory that a script may hold: three times what the plain pipeline took in hasten's own process,
    plus 4 GiB for compilers."""
    return _TIMES * reference_bytes + _BESIDE_BYTES


RESOURCES = {"RLIMIT_CORE": 0, "RLIMIT_FSIZE": _FILE_BYTES}
"""The limits of a script's process from its start on, by their names in ``resource``."""
