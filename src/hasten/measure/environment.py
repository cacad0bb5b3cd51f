"""What figures depend on beside the setting: hardware and libraries."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from hasten.measure.threads import TORCH_THREADS, told_of_threads
from hasten.version import __version__

NOT_COMPARED = ("os", TORCH_THREADS)
"""Entries that reports show and comparisons ignore: a newer kernel does not make old trials worthless."""


def environment(device: str, dtype: str | None = None) -> dict[str, str]:
    """Returns device, processor, GPU and driver, libraries, threads and dtype, as text."""
    import torch

    found = {
        "device": torch.device(device).type,
        "cpu": _cpu_name(),
        "cores": str(_cores()),
        **told_of_threads(),
        **_gpu(device),
        "torch": str(torch.__version__),  # a plain string, because unpickling torch's own class imports torch
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        **{name: _version(name) for name in ("diffusers", "transformers")},
        "python": ".".join(platform.python_version_tuple()[:2]),
        "hasten": __version__,
        "os": platform.platform(),
    }
    return found if dtype is None else {**found, "dtype": dtype}


def environment_key(env: dict[str, str]) -> str:
    """Returns a short hash that equal environments share. Trials with different hashes are never compared."""
    compared = {name: value for name, value in env.items() if name not in NOT_COMPARED}
    return hashlib.sha256(json.dumps(compared, sort_keys=True).encode()).hexdigest()[:16]


def _cores() -> int:
    """Returns the number of cores that this process may use, which a container can limit."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.lower().startswith("model name"):
                return line.partition(":")[2].strip()
    if platform.system() == "Darwin":
        return _output("sysctl", "-n", "machdep.cpu.brand_string") or platform.machine()
    return platform.processor() or platform.machine()


def _gpu(device: str) -> dict[str, str]:
    if not device.startswith("cuda"):
        return {}
    import torch

    return {
        "gpu": torch.cuda.get_device_name(torch.device(device)),
        "driver": _driver(),
        "cuda": torch.version.cuda or torch.version.hip or "unknown",
    }


@cache
def _driver() -> str:
    """Returns the version of the NVIDIA driver, which all GPUs of a machine share."""
    lines = _output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader").splitlines()
    return lines[0].strip() if lines else "unknown"


def _output(program: str, *arguments: str) -> str:
    """Returns what a program prints, or "" where it does not exist or fails, because it only describes the
    machine."""
    if not shutil.which(program):
        return ""
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False, timeout=30)
    return done.stdout.strip() if done.returncode == 0 else ""


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
