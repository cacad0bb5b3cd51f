"""Reads the YAML of a matrix: lists, texts and numbers, in a time that is bounded by its length."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import yaml

from hasten.errors import InputError

LONGEST = 1 << 16
"""The most bytes of a file. The lists of a matrix are short, and this much is read in about a second."""
DATES = "tag:yaml.org,2002:timestamp"


class _Plain(yaml.SafeLoader):
    """A loader without aliases, of which a few can stand for gigabytes, and without dates."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {
        first: [(tag, form) for tag, form in forms if tag != DATES]
        for first, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(
                problem="an alias: write out what it stands for", problem_mark=self.peek_event().start_mark
            )
        return super().compose_node(parent, index)


def read_yaml(path: str | Path) -> Any:
    """Returns the content of a YAML or JSON file. Raises InputError."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(LONGEST + 1)
        if len(content) > LONGEST:
            raise ValueError(f"it has more than {LONGEST} bytes")
        return yaml.load(content.decode("utf-8-sig"), _Plain)
    except RecursionError:
        reason = "it is nested too deeply"
    except (OSError, ValueError, yaml.YAMLError) as error:  # ValueError also for a number with too many digits
        reason = _said(error)
    raise InputError(f"The matrix {str(path)!r} cannot be read: {reason}.")


def _said(error: Exception) -> str:
    """Returns the error's message in one line."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return (isinstance(error, OSError) and error.strerror) or " ".join(str(error).split())
