"""Many commands of ``hasten`` in one process: for what is refused before anything is loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

EACH = """
import contextlib, io, json, os, sys
from hasten.cli import main
stream = lambda: io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
given, found = json.load(sys.stdin), {}
for case, (folder, words) in given.items():
    os.chdir(folder)
    sys.stdin, sys.argv, out, errors, code = stream(), ["hasten", *words], stream(), stream(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        try:
            main()
        except SystemExit as stop:
            code = stop.code
    found[case] = code, *(s.buffer.getvalue().decode() for s in (out, errors))
print(json.dumps(found))
"""


class Done(NamedTuple):
    """A command's exit code and what it printed, and the files that were in its folder before and after."""

    code: int
    output: str
    errors: str
    before: list[Path]
    after: list[Path]


def each(commands: Mapping[str, tuple[Path, Sequence[str]]], **surroundings: str) -> dict[str, Done]:
    """Runs each command in its folder, with nothing on standard input and no terminal."""
    before = {case: sorted(folder.rglob("*")) for case, (folder, _) in commands.items()}
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": "200", **surroundings}
    given = json.dumps({case: (str(folder), list(words)) for case, (folder, words) in commands.items()})
    how = {"capture_output": True, "text": True, "encoding": "utf-8", "env": environment}
    done = subprocess.run([sys.executable, "-X", "utf8", "-c", EACH], input=given, check=False, **how)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr
    return {
        case: Done(*found, before[case], sorted(commands[case][0].rglob("*")))
        for case, found in json.loads(done.stdout).items()
    }
