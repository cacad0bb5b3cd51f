"""A request in words becomes a task: recognisers claim what they understand, and nothing may be left over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import TypeVar

from hasten.errors import RequestError
from hasten.language import _figures, _names
from hasten.language import _words as w
from hasten.language._text import Text
from hasten.methods import METHODS
from hasten.models import assumed_scheduler, assumed_steps, model_names, usual_scheduler, usual_steps
from hasten.plan import Parameters, Value
from hasten.task import DEFAULT_MAX_LOSS, Target, Task

T = TypeVar("T")


def parse(text: str) -> Task:
    """The task that a sentence asks for, English or Chinese, in any letter case.

    What the sentence leaves open is taken from the model and the defaults, and said in ``assumptions``.

    Raises:
        RequestError: words that found no place, contradictions, or no model.
        UnknownNameError: an unknown model, scheduler or method.
        ParameterError: a parameter that its method does not have, or a value out of range.
        InputError: a number that is impossible, such as 0 steps or a loss limit of 1.5.
    """
    return _Request(Text(text)).task()


class _Request:
    """What a sentence says. The recognisers run in this order: names first, so that SD1.5 holds no number,
    then every figure with the words around it, then words that stand alone."""

    def __init__(self, text: Text) -> None:
        self.assumptions: list[str] = []
        custom = _names.take_custom_models(text)
        models, schedulers = _names.models().take(text), _names.schedulers().take(text)
        self.methods = _names.methods().take(text)
        self.max_loss = _figures.losses(text)
        self.two_sided = _says(text, w.TWO_SIDED)
        self.latency_s = _figures.latency(text)
        self.fastest = _says(text, w.FASTEST)
        self.unaccelerated = _says(text, w.NO_METHOD)
        self.speedup = _figures.speedup(text, self.assumptions)
        self.given = [*_figures.parameters(text), *_names.implied(text, self.methods)]
        self.given_steps = _figures.steps(text)
        self.any_method = _says(text, w.ANY_METHOD)
        self.accelerated = _says(text, w.ACCELERATION) or self.fastest or self.any_method
        missing = [kind for kind, found in (("model", custom + models), ("scheduler", schedulers)) if not found]
        _names.refuse_unplaced(text, [span for _, span in self.methods], missing)
        self.model = _figures.one("models", [*custom, *(name for name, _ in models)])
        self.scheduler = _figures.one("schedulers", [name for name, _ in schedulers])

    def task(self) -> Task:
        """The task, with what was left open filled in."""
        self._refuse_contradictions()
        model, methods, target = self._model(), self._methods(), self._target()
        steps = self.given_steps or self._usual_steps(model)
        parameters = self._parameters(methods, steps)
        searched = target is not None or (methods != () and not parameters)
        if not searched:
            self.assumptions += _left_to_defaults(methods or (), parameters, steps)
        return Task(
            model=model,
            scheduler=self.scheduler or self._usual_scheduler(model),
            steps=steps,
            methods=methods,
            parameters=parameters,
            target=target,
            max_loss=self._max_loss(searched),
            two_sided=self.two_sided,
            assumptions=tuple(self.assumptions),
        )

    def _refuse_contradictions(self) -> None:
        goals = {
            f"a speedup ({self.speedup or 0:g}x)": self.speedup is not None,
            f"a latency ({self.latency_s or 0:g} s an image)": self.latency_s is not None,
            "the highest speedup": self.fastest,
            "no acceleration": self.unaccelerated,
        }
        asked = [goal for goal, said in goals.items() if said]
        if self.unaccelerated and (self.methods or self.any_method or self.given):
            asked.append("a method")
        if self.fastest and self.given:
            asked.append("given parameters")
        if self.methods and self.any_method:
            asked = [f"the method {self.methods[0][0]}", "any method"]
        if self.two_sided and self.max_loss == {}:
            asked = ["a limit either way", "none"]
        if len(asked) > 1:
            raise RequestError(f"The request asks for {' and for '.join(asked)}. Ask for one of them.")

    def _model(self) -> str:
        if self.model is None:
            raise RequestError(f"The request names no model. Available: {', '.join(model_names())}, or a folder.")
        return self.model

    def _usual_steps(self, model: str) -> int:
        return self._assume(usual_steps(model), assumed_steps(model))

    def _usual_scheduler(self, model: str) -> str:
        return self._assume(usual_scheduler(model), assumed_scheduler(model))

    def _methods(self) -> tuple[str, ...] | None:
        if self.methods:
            return tuple(sorted({name for name, _ in self.methods}))
        goal = self.speedup is not None or self.latency_s is not None
        if self.unaccelerated or not (self.accelerated or goal):
            return ()
        if not self.any_method:
            self.assumptions.append("methods any: none was named")
        return None

    def _target(self) -> Target | None:
        if self.speedup is None and self.latency_s is None:
            return None
        return Target(speedup=self.speedup, latency_s=self.latency_s)

    def _max_loss(self, searched: bool) -> dict[str, float]:
        if self.max_loss is not None:
            return self.max_loss
        limit = DEFAULT_MAX_LOSS[_figures.DEFAULT_METRIC]
        return self._assume(dict(DEFAULT_MAX_LOSS), *[f"loss limit {limit:g}: the default"] * searched)

    def _parameters(self, methods: tuple[str, ...] | None, steps: int) -> dict[str, Parameters]:
        """The given parameters by method, legal for that many steps and of their kind."""
        given: dict[str, dict[str, Decimal | str]] = {}
        for said, value, position in self.given:
            owner = self._owner(said, position, methods)
            held, name = given.setdefault(owner, {}), said.removeprefix(f"{owner}_")
            if held.setdefault(name, value) != value:
                raise RequestError(f"The request gives {name} twice: {held[name]} and {value}. Name one.")
        return {method: _legal(method, values, steps) for method, values in sorted(given.items())}

    def _owner(self, parameter: str, position: int, methods: tuple[str, ...] | None) -> str:
        owners = _names.parameter_owners()[parameter]
        before = [name for name, span in self.methods if name in owners and span[0] < position]
        named = [name for name in owners if methods is None or name in methods]
        if not named:
            titles = " or ".join(METHODS.get(owner).title for owner in owners)
            raise RequestError(f"{parameter} is a parameter of {titles}, which the request does not name.")
        return before[-1] if before else named[0]

    def _assume(self, value: T, *assumptions: str) -> T:
        self.assumptions += assumptions
        return value


def _says(text: Text, phrase: str) -> bool:
    return bool(text.take(*_figures.patterns(phrase)))


def _left_to_defaults(methods: Iterable[str], given: Mapping[str, Parameters], steps: int) -> Iterator[str]:
    for entry in map(METHODS.get, methods):
        names = [p.name for p in entry.parameters(steps=steps) if p.name not in given.get(entry.name, {})]
        if names:
            yield f"{entry.title} {', '.join(names)}: the default"


def _legal(method: str, values: dict[str, Decimal | str], steps: int) -> Parameters:
    checked = METHODS.get(method).check({name: _value(v) for name, v in values.items()}, steps=steps)
    return {name: checked[name] for name in values}


def _value(said: Decimal | str) -> Value:
    if isinstance(said, str):
        return said
    return int(said) if said == said.to_integral_value() else float(said)
