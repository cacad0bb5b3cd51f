"""Turns a request in words into a task."""

from __future__ import annotations

from hasten.errors import InputError
from hasten.language._meaning import Meaning
from hasten.language._text import Text
from hasten.language._understood import understood
from hasten.task import Task


def parse(text: str) -> Task:
    """Returns the task that a sentence asks for, English or Chinese, in any letter case.

    What the sentence leaves open is taken from the model and the defaults and is listed in ``assumptions``,
    together with readings that are not literal and words that ask for nothing. An error says what was understood
    and gives a sentence that is a valid request.

    Raises:
        RequestError: the sentence has words that were not understood, contradictions, or no model.
        UnknownNameError: a model, scheduler or method is unknown.
        ParameterError: a method has no such parameter, or a value is out of range.
        InputError: a number is impossible, such as 0 steps or a loss limit of 1.5.
    """
    request = Meaning(Text(text))
    try:
        return request.task()
    except InputError as error:
        error.args = (f"{error} {understood(request)}",)
        raise
