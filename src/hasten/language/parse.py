"""A request in words becomes a task: forms claim what they understand, and nothing may be left over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, TypeVar

from hasten.errors import InputError, RequestError
from hasten.language import _chatter, _choice, _latency, _names, _quality, _setting, _speed
from hasten.language._choice import Given
from hasten.language._forms import Form, readings
from hasten.language._instead import refuse_foreign
from hasten.language._text import METHOD, MODEL, SCHEDULER, Text
from hasten.language._unplaced import refuse_unplaced
from hasten.methods import METHODS
from hasten.models import assumed_scheduler, assumed_steps, model_names, usual_scheduler, usual_steps
from hasten.plan import Parameters, Value
from hasten.task import DEFAULT_MAX_LOSS, Target, Task

T = TypeVar("T")
PLURALS = {"speedup": "speedups", "latency": "latency targets", "steps": "numbers of steps"}


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
    request = Request(Text(text))
    try:
        return request.task()
    except InputError as error:
        from hasten.language._understood import understood  # it renders a sentence, and that is parsed again

        error.args = (f"{error} {understood(request)}",)
        raise


@lru_cache
def all_forms() -> tuple[Form, ...]:
    """Everything that a request may say beside names."""
    own = (*_speed.FORMS, *_latency.FORMS, *_quality.quality_forms(), *_setting.FORMS, *_choice.FORMS)
    return (*own, *_choice.parameter_forms(), *_chatter.FORMS)


class Request:
    """What a sentence says. Names are found first, so that SD1.5 holds no number; then every figure with the words
    around it, and words that stand alone."""

    def __init__(self, text: Text) -> None:
        self.text, self.assumptions = text, list[str]()
        self.custom = _names.take_custom_models(text)
        self.dtypes = [_setting.dtype_of(match) for match in text.take(_setting.IN_DTYPE)]
        self.models = _names.models().take(text, MODEL)
        self.schedulers = _names.schedulers().take(text, SCHEDULER)
        self.methods = _names.methods().take(text, METHOD)
        self.families = _names.families().take(text, MODEL)
        self.readings = readings(text, all_forms())
        self.one_of = _choice.take_alternatives(text) or self.says("one of")
        text.take(_choice.BUT)

    def says(self, kind: str) -> bool:
        """Whether there is such a form."""
        return any(reading.kind == kind for reading in self.readings)

    def values(self, kind: str) -> list[Any]:
        """The values of all forms of a kind. Raises InputError for one that cannot be."""
        return [reading.value() for reading in self.readings if reading.kind == kind]

    def task(self) -> Task:
        """The task, with what was left open filled in."""
        self.values("either end")
        refuse_foreign(self.text)
        self._refuse_unplaced()
        self._note()
        model, scheduler = self.model(), one("schedulers", [name for name, _ in self.schedulers])
        speedup, latency_s = self.figure("speedup"), self.figure("latency")
        self._refuse_contradictions(speedup, latency_s)
        named, excluded = self.chosen()
        goal = speedup is not None or latency_s is not None
        methods = self._methods(named, excluded, goal)
        steps = self.steps() or self._assume(usual_steps(model), assumed_steps(model))
        given, setting = self.given(named), self.setting(named)
        parameters = self._parameters(given, methods, steps)
        one_of = self._one_of(named)
        searched = goal or (methods != () and (not parameters or one_of))
        if not searched:
            self.assumptions += _left_to_defaults(methods or (), parameters, steps)
        return Task(
            model=model,
            scheduler=scheduler or self._assume(usual_scheduler(model), assumed_scheduler(model)),
            steps=steps,
            methods=methods,
            parameters=parameters,
            target=Target(speedup=speedup, latency_s=latency_s) if goal else None,
            lossless=self._lossless(methods),
            max_loss=self._max_loss(searched, methods),
            two_sided=self.says("two-sided"),
            excluded=excluded if methods is None else (),
            one_of=one_of,
            assumptions=tuple(dict.fromkeys(self.assumptions)),
            **setting,
        )

    def model(self) -> str:
        """The model that is named, or the first of a family that is."""
        name = one("models", [*self.custom, *(name for name, _ in self.models)])
        family = None if name else one("models", [name for name, _ in self.families])
        if family:
            said = self.text.original[slice(*self.families[0][1])]
            self.assumptions.append(f"model {family}: what {said!r} is taken for")
        if not (name or family):
            raise RequestError(f"The request names no model. Available: {', '.join(model_names())}, or a folder.")
        return name or family or ""

    def figure(self, kind: str) -> float | None:
        """The only speedup, or the only latency. Raises InputError where there are several."""
        unit = "x" if kind == "speedup" else " s"
        found = {f"{value:g}{unit}": value for value in self.values(kind)}
        chosen = one(PLURALS[kind], found)
        return found[chosen] if chosen else None

    def steps(self) -> int | None:
        """The number of denoising steps."""
        chosen = one(PLURALS["steps"], map(str, self.values("steps")))
        return int(chosen) if chosen else None

    def setting(self, named: tuple[str, ...]) -> dict[str, Any]:
        """What is said of the setting. Raises InputError where one thing is said twice."""
        said = [*self.dtypes, *self.values("setting"), *self._dtype_alone(named)]
        found: dict[str, Any] = {}
        for name, value in (pair for one_said in said for pair in one_said.items()):
            if found.setdefault(name, value) != value:
                raise RequestError(f"The request gives {name} twice: {found[name]} and {value}. Name one.")
        if len({"height", "width"} & found.keys()) == 1:
            (side,) = {"height", "width"} & found.keys()
            other = "width" if side == "height" else "height"
            found[other] = self._assume(found[side], f"{other} {found[side]}: as the {side}")
        return found

    def _dtype_alone(self, named: tuple[str, ...]) -> Iterator[dict[str, str]]:
        """``dtype bfloat16`` is the setting's, unless the method that has such a parameter is named."""
        for given in self.values("parameter"):
            if given.name == "dtype" and "half_precision" not in named:
                yield {"dtype": str(given.value)}

    def chosen(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The methods that are named, and those that are excluded."""
        out = [reading.said.span() for reading in self.readings if reading.kind == "excluded"]
        away = {name for name, (start, _) in self.methods if any(a <= start < b for a, b in out)}
        named = {name for name, (start, _) in self.methods if not any(a <= start < b for a, b in out)}
        if both := named & away:
            title = METHODS.get(min(both)).title
            raise RequestError(f"The request asks for {title} and excludes it. Ask for one of them.")
        away |= {"fewer_steps"} if self.says("keep steps") else set()
        return tuple(sorted(named)), tuple(sorted(away))

    def given(self, named: tuple[str, ...]) -> list[Given]:
        """The parameters by their full names."""
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
            Given(name, value, position) for name, value, position in _names.implied(self.text, self._included())
        ]
        return sorted(found, key=lambda given: given.position) + said

    def _included(self) -> list[tuple[str, tuple[int, int]]]:
        named = self.chosen()[0]
        return [(name, span) for name, span in self.methods if name in named]

    def _refuse_unplaced(self) -> None:
        found = (("model", self.custom or self.models or self.families), ("scheduler", self.schedulers))
        missing = [kind for kind, names in found if not names]
        refuse_unplaced(self.text, [span for _, span in self.methods], missing)

    def _note(self) -> None:
        for reading in self.readings:
            self.assumptions += reading.notes()
            if reading.kind == "chatter" and not self.text.only_fillers(reading.written):
                self.assumptions.append(f"skipped {reading.written!r}: it asks for nothing")

    def _refuse_contradictions(self, speedup: float | None, latency_s: float | None) -> None:
        goals = {
            f"a speedup ({speedup or 0:g}x)": speedup is not None,
            f"a latency ({latency_s or 0:g} s an image)": latency_s is not None,
            "the highest speedup": self.says("fastest"),
            "no acceleration": self.says("unaccelerated"),
        }
        asked = [goal for goal, said in goals.items() if said]
        given = self.says("parameter") or self.says("short")
        if self.says("unaccelerated") and (self.methods or self.says("any method") or given):
            asked.append("a method")
        if self.says("fastest") and given:
            asked.append("given parameters")
        included = [name for name, _ in self._included()]
        if included and self.says("any method"):
            asked = [f"the method {included[0]}", "any method"]
        if self.says("two-sided") and self.says("no limit"):
            asked = ["a limit either way", "none"]
        if self.says("no limit") and self.values("loss"):
            asked = ["a loss limit", "none"]
        if len(asked) > 1:
            raise RequestError(f"The request asks for {' and for '.join(asked)}. Ask for one of them.")

    def _methods(self, named: tuple[str, ...], excluded: tuple[str, ...], goal: bool) -> tuple[str, ...] | None:
        if named:
            return named
        wanted = (
            goal
            or self.says("accelerated")
            or self.says("fastest")
            or self.says("any method")
            or self.says("lossless")
        )
        if self.says("unaccelerated") or not wanted:
            if excluded:
                titles = " and ".join(METHODS.get(name).title for name in excluded)
                raise RequestError(
                    f"The request excludes {titles}, and asks for no acceleration. Say how fast it is to be."
                )
            return ()
        if excluded:
            titles = ", ".join(METHODS.get(name).title for name in excluded)
            self.assumptions.append(f"methods any but {titles}: the others are open")
        elif not self.says("any method"):
            self.assumptions.append("methods any: none was named")
        return None

    def _one_of(self, named: tuple[str, ...]) -> bool:
        if not self.one_of or len(named) < 2:
            return False
        spans = sorted(span for _, span in self._included())
        between = list(_choice.joined(self.text, spans))
        if not self.says("one of") and any(_choice.AND.search(words) for words in between):
            raise RequestError("The request joins methods by 'and' and by 'or'. Use one of them for all.", ["or"])
        titles = " or ".join(METHODS.get(name).title for name in named)
        return self._assume(True, f"{titles}: each is tried alone")

    def _lossless(self, methods: tuple[str, ...] | None) -> bool:
        if not self.says("lossless") or methods is not None:
            return False
        exact = ", ".join(method.title for method in METHODS.all() if method.exact)
        return self._assume(
            True, f"lossless: only methods that draw the same images apart from rounding ({exact})"
        )

    def _max_loss(self, searched: bool, methods: tuple[str, ...] | None) -> dict[str, float]:
        if self.says("no limit"):
            return {}
        limits: dict[str, dict[str, float]] = {}
        for name, limit in self.values("loss"):
            limits.setdefault(name, {})[f"{limit:g}"] = limit
        if limits:
            return {name: some[one(f"loss limits of {name}", some) or ""] for name, some in limits.items()}
        if self.says("lossless"):
            strict = f"loss limit {_quality.STRICTEST:g}: the strictest that can be told from none"
            why = "" if methods is None else ", since the methods that are named are not exact"
            return self._assume({_quality.DEFAULT_METRIC: _quality.STRICTEST}, strict + why)
        limit = DEFAULT_MAX_LOSS[_quality.DEFAULT_METRIC]
        words = [reading.written for reading in self.readings if reading.kind == "default quality"]
        why = f", for {words[0]!r}" if words else ""
        return self._assume(
            dict(DEFAULT_MAX_LOSS), *[f"loss limit {limit:g}: the default{why}"] * (searched or bool(words))
        )

    def _parameters(
        self, said: Iterable[Given], methods: tuple[str, ...] | None, steps: int
    ) -> dict[str, Parameters]:
        """The given parameters by method, legal for that many steps and of their kind."""
        given: dict[str, dict[str, Decimal | str]] = {}
        for one_said in said:
            owner = self._owner(one_said, methods)
            held, name = given.setdefault(owner, {}), one_said.name.removeprefix(f"{owner}_")
            if held.setdefault(name, one_said.value) != one_said.value:
                raise RequestError(f"The request gives {name} twice: {held[name]} and {one_said.value}. Name one.")
        return {method: legal(method, values, steps) for method, values in sorted(given.items())}

    def _owner(self, given: Given, methods: tuple[str, ...] | None) -> str:
        owners = _names.parameter_owners()[given.name]
        before = [name for name, span in self._included() if name in owners and span[0] < given.position]
        named = [name for name in owners if methods is None or name in methods]
        if not named:
            titles = " or ".join(METHODS.get(owner).title for owner in owners)
            raise RequestError(f"{given.name} is a parameter of {titles}, which the request does not name.")
        return before[-1] if before else named[0]

    def _assume(self, value: T, *assumptions: str) -> T:
        self.assumptions += assumptions
        return value


def one(what: str, found: Iterable[str]) -> str | None:
    """The only one of the found, or None. Raises RequestError when there are several; ``what`` is a plural."""
    different = list(dict.fromkeys(found))
    if len(different) > 1:
        raise RequestError(f"The request has {len(different)} {what}: {' and '.join(different)}. Name one.")
    return different[0] if different else None


def _left_to_defaults(methods: Iterable[str], given: Mapping[str, Parameters], steps: int) -> Iterator[str]:
    for entry in map(METHODS.get, methods):
        names = [p.name for p in entry.parameters(steps=steps) if p.name not in given.get(entry.name, {})]
        if names:
            yield f"{entry.title} {', '.join(names)}: the default"


def legal(method: str, values: Mapping[str, Decimal | str], steps: int) -> Parameters:
    """The values that a method takes at so many steps. Raises ParameterError."""
    checked = METHODS.get(method).check({name: _value(v) for name, v in values.items()}, steps=steps)
    return {name: checked[name] for name in values}


def _value(said: Decimal | str) -> Value:
    if isinstance(said, str):
        return said
    return int(said) if said == said.to_integral_value() else float(said)
