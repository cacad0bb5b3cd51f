"""Runs work in a fresh process: one side asks a module, which does the work there and answers in JSON."""

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
"""The beginning of an answer, because imports may have printed something before."""


def ask(module: str, given: Mapping[str, Any], what: str, python: str = sys.executable) -> Any:
    """Returns what ``module`` answers, run by ``python -m`` in a fresh process, as JSON data.

    Args:
        module: the name of a module that calls ``answer`` when it is run.
        given: JSON data for the module's work.
        what: names the work in errors.
        python: the interpreter, which must have hasten.

    Raises:
        InputError: the interpreter cannot be run, or the work raised one there.
        MeasurementError: the process died, or the work failed.
    """
    # -P keeps a torch.py in the working folder from being imported, and -B leaves no caches beside a script.
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
    """Returns the standard output of the process, its standard error, and how it ended. It ends with this process.

    The files have no names, so that nothing of them remains when this process is killed.
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
    """Does the work in the fresh process, and prints what it found, or what went wrong, on standard output.

    Whatever else is printed meanwhile goes to standard error.
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
