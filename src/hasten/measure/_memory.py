"""The memory of this process."""

from __future__ import annotations

import sys
from pathlib import Path


def peak_resident_bytes() -> int | None:
    """The most memory that this process has held so far (its peak resident size); None where no one says.

    Linux' own mark comes first: what ``getrusage`` gives there begins at that of the process that started this.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
