"""Says which options each function and its command take: all of them, except for those with a reason here.

In Python the options of a request are in the request itself, or in the pipeline of ``tune``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hasten.errors import InputError
from hasten.options import canonical
from hasten.options.table import OPTIONS, OUTPUT, REQUEST, SEARCH

_NO_BOUNDS = "it writes no file of bounds"
_NO_SCRIPT = "it writes no script"
_NO_SEARCH = "it measures what is given, and searches nothing"
_NO_SCORES = "it takes times, and scores no images"
_EACH = "each request of the list says it"


def _all(reason: str, group: str, but: Iterable[str] = ()) -> dict[str, str]:
    """Returns the options of a group, except for some, with a reason that they share."""
    return {one.name: reason for one in OPTIONS if one.group == group and one.name not in but}


_OF_SEARCHES = ("strategy", "prefer", "max_trials", "max_time_s", "search_pairs", "confirmations")
_OF_METHODS = ("methods", "speedup", "latency_s", "max_loss", "two_sided")

LEFT_OUT: Mapping[str, Mapping[str, str]] = {
    "run": {"margin": _NO_BOUNDS},
    "search": {
        "plan": "a plan leaves nothing to search for",
        "margin": "it writes bounds as they were measured, because one setting needs no planning",
        **_all(_NO_SCRIPT, OUTPUT, but=("margin",)),
    },
    "explore": {
        "plan": "a plan leaves nothing to search for",
        "speedup": "it finds the highest speedup",
        "latency_s": "it finds the highest speedup",
        **_all(_NO_SCRIPT, OUTPUT, but=("margin",)),
    },
    "generate": {"margin": _NO_BOUNDS, **_all(_EACH, REQUEST)},
    "compare": {
        "plan": "plans are its arguments",
        **dict.fromkeys((*_OF_METHODS, *_OF_SEARCHES), _NO_SEARCH),
        **_all(_NO_SCRIPT, OUTPUT),
    },
    "profile": {
        **dict.fromkeys((*_OF_METHODS, *_OF_SEARCHES), _NO_SEARCH),
        "scorer": _NO_SCORES,
        **_all(_NO_SCORES, SEARCH, but=(*_OF_SEARCHES, "pairs", "confidence", "storage", "trial_timeout_s")),
        "storage": "it measures anew each time, and keeps no trials",
        **_all(_NO_SCRIPT, OUTPUT),
    },
    "tune": {
        "model": "the pipeline has its model",
        "scheduler": "the pipeline has its scheduler",
        "plan": "a plan leaves nothing to search for",
        **_all(_NO_SCRIPT, OUTPUT),
    },
}
"""The options that a function and its command do not take, each with the reason."""
SEVERAL: Mapping[str, Mapping[str, str]] = {"profile": {"batch_size": "batch_sizes"}}
"""The options of which a function takes several values, each with its keyword for them."""
KEYWORDS_ONLY: Mapping[str, str] = {
    "search_pairs": "the number of pairs of the verdict, --pairs, is what a user needs to set",
    "confirmations": "a budget of time or of trials, --max-time or --max-trials, is what a user needs to set",
}
"""The options that have no flag, each with the reason."""


def refuse_ignored(function: str, given: Mapping[str, Any]) -> None:
    """Raises InputError where a function is given a keyword that has no effect on it. None has none anywhere."""
    for keyword in (keyword for keyword, value in given.items() if value is not None):
        name = canonical(keyword)
        if reason := LEFT_OUT[function].get(name):
            raise InputError(f"{function}() takes no {keyword}, because {reason}. Leave it out.")
        if several := SEVERAL.get(function, {}).get(name):
            raise InputError(f"{function}() takes no {keyword}: give {several}.")


def taken(function: str) -> tuple[str, ...]:
    """Returns the names of the options that a function and its command take, in the order of the table."""
    return tuple(one.name for one in OPTIONS if one.name not in LEFT_OUT[function])
