"""A request in words becomes a task."""

from __future__ import annotations

from hasten.errors import InputError
from hasten.language._meaning import Meaning
from hasten.language._text import Text
from hasten.language._understood import understood
from hasten.task import Task


def parse(text: str) -> Task:
    """The task that a sentence asks for, English or Chinese, in any letter case.

    What the sentence leaves open is taken from the model and the defaults, and said in ``assumptions``, as are
    readings that are not literal and words that ask for nothing. An error shows what was understood, and a
    sentence that is a request.

    Raises:
        RequestError: words that found no place, contradictions, or no model.
        UnknownNameError: an unknown model, scheduler or method.
        ParameterError: a parameter that its method does not have, or a value out of range.
        InputError: a number that is impossible, such as 0 steps or a loss limit of 1.5.
    """
    request = Meaning(Text(text))
    try:
        return request.task()
    except InputError as error:
        error.args = (f"{error} {understood(request)}",)
        raise
