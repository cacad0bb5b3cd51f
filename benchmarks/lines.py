"""Measurements kept as they are made, a JSON document a line, so that a stopped command goes on where it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hasten.measure.environment import environment_key
from hasten.task import Setting


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The lines of a file, none where there is no file; one that was cut off while it was written is dropped."""
    if not path.exists():
        return []
    *whole, cut = path.read_text(encoding="utf-8").split("\n")
    if cut:
        path.write_text("".join(f"{line}\n" for line in whole), encoding="utf-8")
    return [json.loads(line) for line in whole]


class Lines:
    """The measurements of one setting in one environment, by name, in a file that others share."""

    def __init__(self, path: Path, setting: Setting, environment: dict[str, str]) -> None:
        self._path = path
        self._key = f"{setting.key()} {environment_key(environment)}"
        self.found = {line["name"]: line for line in lines_of(path) if line["key"] == self._key}

    def add(self, name: str, **values: Any) -> None:
        """Keeps a measurement."""
        self.found[name] = {"key": self._key, "name": name, **values}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(self.found[name]) + "\n")
