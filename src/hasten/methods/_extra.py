"""Packages that single methods need, which hasten itself does without. No torch."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.util import find_spec


def missing(packages: Iterable[str], extra: str) -> str | None:
    """Which of the required packages (``torchao>=0.18``) is not installed, and how it is; None when all are."""
    for name in (re.split(r"[^\w-]", package)[0] for package in packages):
        if find_spec(name.replace("-", "_")) is None:
            return f"the package {name} is not installed: pip install 'hasten[{extra}]'"
    return None
