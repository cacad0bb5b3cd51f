"""Work in a process of its own: one side asks a module, which does the work there and writes it down."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hasten.errors import HastenError, InputError, MeasurementError
from hasten.processes import Child
from hasten.records import Record
from hasten.texts import fit, last_line

MARK = "\0answer\0"
"""Begins an answer: an import may have printed something before."""


def ask(module: str, given: Mapping[str, Any], what: str, python: str = sys.executable) -> Any:
    """What ``module`` answers, run by ``python -m`` in a fresh process, as JSON data.

    Args:
        given: JSON data that the module's ``work`` gets.
        what: names the work in errors.
        python: the interpreter, one that has hasten.

    Raises:
        InputError: the interpreter cannot be run, or the work raised one there.
        MeasurementError: the process died, or the work failed.
    """
    # -P: a torch.py in the working folder would be imported. -B: no caches beside a script.
    answered, said, fate = _run([python, "-B", "-P", "-m", module], json.dumps(given))
    _, mark, text = answered.rpartition(MARK)
    if not mark:
        raise MeasurementError(f"The process of {what} died ({fate}): {last_line(said)}")
    result = json.loads(text)
    if "input_error" in result:
        raise InputError(result["input_error"])
    if "error" in result:
        raise MeasurementError(f"{what} fails: {result['error']}")
    return result["found"]


def _run(command: Sequence[str], given: str) -> tuple[str, str, str]:
    """What the process answered and said on standard error, and how it ended. It ends with this one.

    The files have no names: nothing of them is left when this process is killed.
    """
    with tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as found, tempfile.TemporaryFile() as said:
        told.write(given.encode())
        told.seek(0)
        try:
            child = Child(command, stdin=told, stdout=found, stderr=said)
        except OSError as error:
            raise InputError(f"{command[0]} cannot be run: {error.strerror}.") from None
        with child:
            child.wait()
            fate = child.fate
        found.seek(0)
        said.seek(0)
        return found.read().decode(errors="replace"), said.read().decode(errors="replace"), fate


def answer(work: Callable[[dict[str, Any]], Record]) -> None:
    """The other side: does the work and answers what it found, or what went wrong, on standard output.

    What is printed meanwhile goes to standard error.
    """
    answers = os.dup(1)
    os.dup2(2, 1)
    try:
        result: dict[str, Any] = {"found": work(json.load(sys.stdin)).model_dump(mode="json")}
    except InputError as error:
        result = {"input_error": str(error)}
    except HastenError as error:
        result = {"error": str(error)}
    except (Exception, SystemExit) as error:
        result = {"error": fit(f"{type(error).__name__}: {error}")}
    with os.fdopen(answers, "wb") as file:
        file.write(f"{MARK}{json.dumps(result)}".encode())
