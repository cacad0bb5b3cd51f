"""Collects what a request says, kind by kind (names, figures and words), before it becomes a task."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any

from hasten.errors import RequestError
from hasten.language import _chatter, _choice, _dtypes, _latency, _names, _quality, _refused, _setting, _speed
from hasten.language._choice import Given
from hasten.language._forms import Form, readings
from hasten.language._text import HOLE, METHOD, MODEL, SCHEDULER, Text
from hasten.methods import METHODS
from hasten.models import model_names
from hasten.plan import Parameters, Value

LARGE = 10**15
"""Whole numbers from this value on become floats, as other numbers do. No method takes an integer of hundreds of
digits, and such an integer cannot be converted to a float."""
PLURALS = {"speedup": "speedups", "latency": "latency targets", "steps": "numbers of steps"}


@lru_cache
def all_forms() -> tuple[Form, ...]:
    """Returns the forms of everything that a request may say besides names."""
    own = (
        *_speed.FORMS,
        *_latency.FORMS,
        *_quality.quality_forms(),
        *_setting.FORMS,
        *_choice.FORMS,
        *_refused.FORMS,
    )
    return (*own, *_choice.parameter_forms(), *_chatter.FORMS)


class Request:
    """The contents of a sentence. Names are found first, so that the digits of SD1.5 are not read as a number.
    Figures with the words around them and words that stand alone follow."""

    def __init__(self, text: Text) -> None:
        self.text, self.assumptions = text, list[str]()
        self.custom = _names.take_custom_models(text)
        self.dtypes = [_setting.dtype_of(match) for match in text.take(_setting.IN_DTYPE)]
        self.models = _names.models().take(text, MODEL)
        self.schedulers = _names.schedulers().take(text, SCHEDULER)
        self.methods = _names.methods().take(text, METHOD)
        self.families = _names.take_version_2(text) + _names.families().take(text, MODEL)
        self._settle_dtypes()
        self.readings = readings(text, all_forms())
        self.one_of = _choice.take_alternatives(text) or self.says("one of")
        text.take(_choice.BUT)

    def _settle_dtypes(self) -> None:
        """Takes a dtype that stands alone for the setting's, where it is not introduced as a method."""
        alone = set(_dtypes.standing_alone(self.text, self.methods))
        self.methods = [found for found in self.methods if found not in alone]
        for start, end in sorted(span for _, span in alone):
            said = self.text.original[start:end]
            dtype = _dtypes.dtype_of_words(said)
            self.dtypes.append({"dtype": dtype})
            self.assumptions.append(
                f"dtype {dtype}: the reading of {said!r}, of baseline and plan; a method is 'with half precision'"
            )
            self.text.view = self.text.view[:start] + HOLE * (end - start) + self.text.view[end:]

        self.assumptions += _dtypes.notes_in_lists(self.text, self.methods)

    def says(self, kind: str) -> bool:
        """Returns whether the request has a reading of this kind."""
        return any(reading.kind == kind for reading in self.readings)

    def values(self, kind: str) -> list[Any]:
        """Returns the values of all readings of a kind. Raises InputError for an impossible value."""
        return [reading.value() for reading in self.readings if reading.kind == kind]

    def model(self) -> str:
        """Returns the model that the request names, or the first model of the family that it names."""
        name = one("models", [*self.custom, *(name for name, _ in self.models)])
        family = None if name else one("models", [name for name, _ in self.families])
        if family:
            said = self.text.original[slice(*self.families[0][1])]
            self.assumptions.append(f"model {family}: what {said!r} is taken for")
        if not (name or family):
            raise RequestError(f"The request names no model. Available: {', '.join(model_names())}, or a folder.")
        return name or family or ""

    def speedup(self) -> float | None:
        """Returns the only speedup. Raises InputError where there are several."""
        return _only("speedup", "x", self.values("speedup"))

    def latency(self, steps: int) -> float | None:
        """Returns the only latency of an image of ``steps`` steps. Raises InputError where there are several."""
        of_steps = [_latency.of_steps(seconds, steps) for seconds in self.values("step time")]
        return _only("latency", " s", self.values("latency") + of_steps)

    def steps(self) -> int | None:
        """Returns the number of denoising steps."""
        chosen = one(PLURALS["steps"], map(str, self.values("steps")))
        return int(chosen) if chosen else None

    def setting(self, named: tuple[str, ...]) -> dict[str, Any]:
        """Returns what the request says about the setting. Raises InputError where it gives one field twice."""
        said = [*self.dtypes, *self.values("setting"), *self._dtype_alone(named)]
        found: dict[str, Any] = {}
        for name, value in (pair for one_said in said for pair in one_said.items()):
            if found.setdefault(name, value) != value:
                raise RequestError(f"The request gives {name} twice: {found[name]} and {value}. Name one.")
        if len({"height", "width"} & found.keys()) == 1:
            (side,) = {"height", "width"} & found.keys()
            other = "width" if side == "height" else "height"
            self.assumptions.append(f"{other} {found[side]}: as the {side}")
            found[other] = found[side]
        return found

    def _dtype_alone(self, named: tuple[str, ...]) -> Iterator[dict[str, str]]:
        """Yields a ``dtype bfloat16`` that belongs to the setting because no method that has a dtype is named."""
        for given in self.values("parameter"):
            if given.name == "dtype" and "half_precision" not in named:
                yield {"dtype": str(given.value)}

    def chosen(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Returns the methods that are named, and the methods that are excluded."""
        out = [reading.said.span() for reading in self.readings if reading.kind == "excluded"]
        away = {name for name, (start, _) in self.methods if any(a <= start < b for a, b in out)}
        named = {name for name, (start, _) in self.methods if not any(a <= start < b for a, b in out)}
        if both := named & away:
            title = METHODS.get(min(both)).title
            raise RequestError(f"The request asks for {title} and excludes it. Ask for one of them.")
        away |= {"fewer_steps"} if self.says("keep steps") else set()
        away |= {"solver"} if self.says("keep scheduler") else set()
        return tuple(sorted(named)), tuple(sorted(away))

    def given(self, named: tuple[str, ...]) -> list[Given]:
        """Returns the given parameters under their full names."""
        full = [given for given in self.values("parameter") if given.name != "dtype" or "half_precision" in named]
        short = [given for given in full if named and not set(_names.parameter_owners()[given.name]) & set(named)]
        short = [given for given in short if _choice.meant(given.name, named)] + self.values("short")
        found = [given for given in full if given not in short]
        for given in short:
            names = _choice.meant(given.name, named)
            if len(names) != 1:
                several = (
                    f": {' or '.join(names)}" if names else f" of {', '.join(named) or 'any method that it names'}"
                )
                raise RequestError(
                    f"It is not plain which parameter {given.written!r} is{several}. Write its full name.",
                    [given.written],
                )
            self.assumptions.append(f"{names[0]} {given.value}: the reading of {given.written!r}")
            found.append(Given(names[0], given.value, given.position))
        said = [
            Given(name, value, position) for name, value, position in _names.implied(self.text, self.included())
        ]
        return sorted(found, key=lambda given: given.position) + said

    def included(self) -> list[tuple[str, tuple[int, int]]]:
        named = self.chosen()[0]
        return [(name, span) for name, span in self.methods if name in named]


def _only(kind: str, unit: str, values: Iterable[float]) -> float | None:
    found = {f"{value:g}{unit}": value for value in values}
    chosen = one(PLURALS[kind], found)
    return found[chosen] if chosen else None


def one(what: str, found: Iterable[str]) -> str | None:
    """Returns the only name found, or None. Raises RequestError for several; ``what`` is a plural noun."""
    different = list(dict.fromkeys(found))
    if len(different) > 1:
        raise RequestError(f"The request has {len(different)} {what}: {' and '.join(different)}. Name one.")
    return different[0] if different else None


def legal(method: str, values: Mapping[str, Decimal | str], steps: int) -> Parameters:
    """Returns the values as the method takes them in a generation of ``steps`` steps. Raises ParameterError."""
    checked = METHODS.get(method).check({name: _value(v) for name, v in values.items()}, steps=steps)
    return {name: checked[name] for name in values}


def _value(said: Decimal | str) -> Value:
    if isinstance(said, str):
        return said
    return int(said) if said == said.to_integral_value() and abs(said) < LARGE else float(said)
