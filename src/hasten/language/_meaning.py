"""Finds what a request means: forms claim words, no word may be left over, and defaults fill in the rest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import TypeVar

from hasten.errors import RequestError
from hasten.language import _choice, _latency, _names, _quality
from hasten.language._choice import Given
from hasten.language._instead import refuse_foreign
from hasten.language._request import Request, legal, one
from hasten.language._text import Text
from hasten.language._unplaced import refuse_unplaced
from hasten.methods import METHODS
from hasten.models import assumed_scheduler, assumed_steps, usual_scheduler, usual_steps
from hasten.plan import Parameters
from hasten.schedulers import find_scheduler
from hasten.task import DEFAULT_MAX_LOSS, Task, target_of

T = TypeVar("T")


def meant(text: str) -> Task:
    """Returns the task that a sentence asks for, like ``parse``. Its errors do not say what was understood."""
    return Meaning(Text(text)).task()


class Meaning(Request):
    """The meaning of a request. It refuses contradictions and fills in what the request leaves open."""

    def task(self) -> Task:
        """Returns the task, with defaults for what the request leaves open."""
        self.values("refused")
        self.values("either end")
        refuse_foreign(self.text)
        self._refuse_unplaced()
        self._note()
        model, scheduler = self.model(), one("schedulers", [name for name, _ in self.schedulers])
        steps = self.steps() or usual_steps(model)
        speedup, latency_s = self.speedup(), self._latency(steps)
        self._refuse_contradictions(speedup, latency_s)
        target = target_of(speedup, latency_s)
        named, excluded = self.chosen()
        goal = target is not None
        methods = self._methods(named, excluded, goal)
        self.assumptions += [] if self.steps() else [assumed_steps(model)]
        given, setting = self.given(named), self.setting(named)
        parameters = self._parameters(given, methods, steps)
        one_of = self._one_of(named)
        searched = goal or (methods != () and (not parameters or one_of))
        if not searched:
            self.assumptions += _left_to_defaults(methods or (), parameters, steps)
        task = Task(
            model=model,
            scheduler=scheduler or self._assume(usual_scheduler(model), assumed_scheduler(model)),
            steps=steps,
            methods=methods,
            parameters=parameters,
            target=target,
            lossless=self._lossless(methods),
            max_loss=self._max_loss(searched, methods),
            two_sided=self.says("two-sided"),
            excluded=excluded if methods is None else (),
            one_of=one_of,
            assumptions=tuple(dict.fromkeys(self.assumptions)),
            **setting,
        )
        return task.model_copy(update={"assumptions": (*task.assumptions, *_beside_methods(task))})

    def _refuse_unplaced(self) -> None:
        found = (("model", self.custom or self.models or self.families), ("scheduler", self.schedulers))
        missing = [kind for kind, names in found if not names]
        refuse_unplaced(self.text, [span for _, span in self.methods], missing)

    def _note(self) -> None:
        for reading in self.readings:
            self.assumptions += reading.notes()
            if reading.kind == "chatter" and not self.text.only_fillers(reading.written):
                self.assumptions.append(f"skipped {reading.written!r}: it asks for nothing")

    def _latency(self, steps: int) -> float | None:
        latency_s = self.latency(steps)
        for reading in self.readings:
            if reading.kind == "step time":
                self.assumptions.append(_latency.note_of_steps(reading.value(), steps, reading.written))
        return latency_s

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
        included = [name for name, _ in self.included()]
        if included and self.says("any method"):
            asked = [f"the method {included[0]}", "any method"]
        if self.says("two-sided") and self.says("no limit"):
            asked = ["a limit either way", "none"]
        if self.says("no limit") and self.values("loss"):
            asked = ["a loss limit", "none"]
        if len(asked) > 1:
            minutes = speedup is not None and (latency_s or 0) >= 60
            hint = " A limit on the time of the search is the flag --max-time." if minutes else ""
            raise RequestError(f"The request asks for {' and for '.join(asked)}. Ask for one of them.{hint}")
        if self.says("cancelled") and speedup is None and latency_s is None:
            raise RequestError("The request says which speedup is not meant, and none that is. Name one.")

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
        spans = sorted(span for _, span in self.included())
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
        """Returns the given parameters by method, checked and converted for a generation of ``steps`` steps."""
        given: dict[str, dict[str, Decimal | str]] = {}
        for one_said in said:
            owner = self._owner(one_said, methods)
            held, name = given.setdefault(owner, {}), _names.own_name(one_said.name, owner)
            if held.setdefault(name, one_said.value) != one_said.value:
                raise RequestError(f"The request gives {name} twice: {held[name]} and {one_said.value}. Name one.")
        return {method: legal(method, values, steps) for method, values in sorted(given.items())}

    def _owner(self, given: Given, methods: tuple[str, ...] | None) -> str:
        owners = _names.parameter_owners()[given.name]
        before = [name for name, span in self.included() if name in owners and span[0] < given.position]
        named = [name for name in owners if methods is None or name in methods]
        if not named:
            titles = " or ".join(METHODS.get(owner).title for owner in owners)
            raise RequestError(f"{given.name} is a parameter of {titles}, which the request does not name.")
        return before[-1] if before else named[0]

    def _assume(self, value: T, *assumptions: str) -> T:
        self.assumptions += assumptions
        return value


def _beside_methods(task: Task) -> Iterator[str]:
    """Yields what any method includes here besides methods: fewer steps, and another solver."""
    if not task.is_open or task.mode not in ("bound", "target"):
        return
    others = task.allows_other_solvers and not find_scheduler(task.scheduler).flow_matching
    allowed = {
        "fewer steps": task.allows_fewer_steps,
        f"another solver than {task.scheduler}": others,
    }
    if also := [what for what, may in allowed.items() if may]:
        yield f"any method: also {' and '.join(also)}"


def _left_to_defaults(methods: Iterable[str], given: Mapping[str, Parameters], steps: int) -> Iterator[str]:
    for entry in map(METHODS.get, methods):
        names = [p.name for p in entry.parameters(steps=steps) if p.name not in given.get(entry.name, {})]
        if names:
            yield f"{entry.title} {', '.join(names)}: the default"
