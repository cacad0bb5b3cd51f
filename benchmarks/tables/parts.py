"""Part files of a recording: JSON lines, one a finished plan, below a line that says what measured them.

A process writes files of its own and never opens an old one, so that killing it anywhere loses at most the plan
under way: a line without its end is not read.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from hasten.errors import InputError

from .plans import Row

Stage = Literal["quality", "latency"]
Line = dict[str, Any]


class PartFile:
    """The finished plans of one process, one stage and one setting.

    Raises:
        InputError: what the folder holds was measured otherwise, or it cannot be written.
    """

    def __init__(self, folder: Path, stage: Stage, header: Line) -> None:
        check_alike(folder, stage, [*read(folder, stage)[0], header])
        handle, _ = tempfile.mkstemp(prefix=f"{stage}-", suffix=".jsonl", dir=folder)
        self._file = os.fdopen(handle, "w", encoding="utf-8", newline="\n")
        self.add(header)

    def add(self, line: Mapping[str, Any]) -> None:
        """Keeps a line; it is the system's once this returns."""
        self._file.write(json.dumps(line, allow_nan=False) + "\n")
        self._file.flush()


def read(folder: Path, stage: Stage) -> tuple[list[Line], dict[Row, Line]]:
    """The headers of a stage's part files and the line of each finished row."""
    headers: list[Line] = []
    rows: dict[Row, Line] = {}
    for path in sorted(folder.glob(f"{stage}-*.jsonl")):
        *whole, _ = path.read_text(encoding="utf-8").split("\n")
        lines = [json.loads(line) for line in whole]
        headers += lines[:1]
        rows |= {Row(line["plan"], line["steps"]): line for line in lines[1:]}
    return headers, rows


def check_alike(folder: Path, stage: Stage, headers: Iterable[Line]) -> None:
    """Raises InputError where the parts of a stage are not comparable.

    Times are those of one environment. Scores may come from several of the same device type: they are paired with
    baseline images that were drawn in the same process.
    """
    known: dict[str, Any] = {}
    for header in headers:
        made_by = {**header["setting"], **header["identity"], "samples": header.get("samples")}
        if stage == "quality":
            del made_by["environment"]
        for what, value in made_by.items():
            if known.setdefault(what, value) != value:
                raise InputError(
                    f"{folder} holds {stage} measured with {what} {known[what]!r}, now it is {value!r}: they "
                    "cannot be mixed. Go on with the same options on the same machine, or use another --work."
                )
