"""Checks for optional packages that single methods need. It imports no torch."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.util import find_spec


def missing(packages: Iterable[str], extra: str) -> str | None:
    """Returns a text about the first requirement (such as ``torchao>=0.18``) whose package is not installed, or
    None.

    Versions are not compared. The text ends with the command that installs the extra.
    """
    for name in (re.split(r"[^\w-]", package)[0] for package in packages):
        if find_spec(name.replace("-", "_")) is None:
            return f"the package {name} is not installed: pip install 'hasten[{extra}]'"
    return None
