"""The errors that hasten raises on purpose. Each message says what is wrong, what is allowed, and what to do."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from hasten.texts import fit


class HastenError(Exception):
    """Base class of all errors that hasten raises on purpose. ``exit_code`` is returned by the command line.

    The message may contain foreign text, so the constructor removes control characters and secrets from it and
    cuts it.
    """

    exit_code = 1

    def __init__(self, message: object = "") -> None:
        super().__init__(fit(str(message)))


class InputError(HastenError):
    """The user's input cannot be used as it is. Nothing was written or changed."""

    exit_code = 2


class UnknownNameError(InputError):
    """A name that no entry of the registry has."""

    def __init__(self, kind: str, name: str, available: Iterable[str]) -> None:
        self.kind, self.name, self.available = kind, name, tuple(available)
        near = nearest(name, self.available)
        hint = f" Did you mean {near!r}?" if near else ""
        super().__init__(f"Unknown {kind} {name!r}.{hint} Available: {', '.join(self.available)}.")


class ParameterError(InputError):
    """A parameter that a method does not have, or a value outside its range."""


class UnsupportedError(InputError):
    """A method, scheduler or runtime that cannot be used with this model or plan. The message has the reason."""


class CallError(InputError):
    """A call of a pipeline in which an applied method cannot take part. The message has the reason."""


class RequestError(InputError):
    """A request that cannot be turned into a task. ``words`` are the words that were not understood."""

    def __init__(self, message: str, words: Iterable[str] = ()) -> None:
        self.words = tuple(words)
        super().__init__(message)


class MeasurementError(HastenError):
    """A measurement that could not be finished: NaN or black images, out of memory, a crash."""


class NoEffectWarning(UserWarning):
    """An applied method skipped no work in a whole call: its parameters, or the call, leave it nothing to skip."""


class StoreError(HastenError):
    """The store of trials is damaged, or can no longer be read or written."""


class WriteError(HastenError):
    """A file could not be written completely, e.g. on a full disk. The message says what was written before."""


def simplify(name: str) -> str:
    """Returns the form in which names are compared: lower-case letters (Chinese too), digits and "+" only
    (``T-Gate`` → ``tgate``)."""
    spelled = re.sub("[σς]", "sigma", name.lower().replace("α", "alpha"))
    return re.sub(r"[^a-z0-9+\u4e00-\u9fff]", "", spelled)


def nearest(name: str, available: Iterable[str]) -> str | None:
    """Returns the available name closest to ``name``, or None when no name is close enough to suggest."""
    by_key = {simplify(a): a for a in available}
    found = difflib.get_close_matches(simplify(name), by_key, n=1, cutoff=0.6)
    return by_key[found[0]] if found else None
