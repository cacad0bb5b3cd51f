"""Describes what was understood of a refused request, and gives a similar sentence that is a valid request."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from copy import copy
from itertools import islice, pairwise
from typing import Any

from hasten.errors import InputError
from hasten.language._latency import of_steps
from hasten.language._meaning import meant
from hasten.language._numbers import read
from hasten.language._request import Request, legal
from hasten.language._speed import SPEEDUP
from hasten.language.render import render
from hasten.methods import METHODS
from hasten.models import usual_scheduler, usual_steps
from hasten.task import DEFAULT_MAX_LOSS, Target, Task

MOST, LONGEST = 16, 120
"""At most ``MOST`` things are told, with at most ``LONGEST`` characters each."""
MODEL = "SD1.5"
"""The model of the corrected sentence where the request names no model that can be used."""


def understood(request: Request) -> str:
    """Returns a text such as ``Understood: SDXL, 2x. This is a request: '…'.``"""
    parts = list(islice(_parts(request), MOST + 1))
    known = ", ".join(part[:LONGEST] for part in parts[:MOST]) + (" …" if len(parts) > MOST else "")
    return f"{f'Understood: {known}. ' if known else ''}This is a request: {corrected(request)!r}."


def corrected(request: Request) -> str:
    """Returns a sentence with everything that was understood and is not contradicted. ``parse`` accepts it."""
    request = _without_negated(request)
    for model in (_model(request), MODEL):
        try:
            sentence = render(_draft(request, model))
            meant(sentence)
        except InputError:
            continue
        return sentence
    return render(Task(model=MODEL, scheduler=usual_scheduler(MODEL), steps=usual_steps(MODEL)))


_NEGATION = re.compile(
    r"(?<![a-z])(?:not?|never|neither|nor|without|except\w*|exclud\w*|avoid\w*|don't|slow\w*|instead|rather)(?![a-z])"
    r"|[不别勿没无除非慢]"
)
_CLAUSE_ENDS = re.compile(r"[,;.，；。、](?!\d)")


def _without_negated(request: Request) -> Request:
    """Returns the request without the methods and figures of clauses that have a negation nobody understood, since
    the sentence could ask for the opposite of what was meant."""
    plain = request.text.plain
    ends = [0, *(match.end() for match in _CLAUSE_ENDS.finditer(plain)), len(plain)]
    unread = [start for start, end in request.text.unplaced() if _NEGATION.search(plain[start:end])]
    clauses = [(a, b) for a, b in pairwise(ends) if any(a <= start < b for start in unread)]
    if not clauses:
        return request
    kept = copy(request)
    kept.readings = [r for r in request.readings if not any(a <= r.said.span()[0] < b for a, b in clauses)]
    kept.methods = [m for m in request.methods if not any(a <= m[1][0] < b for a, b in clauses)]
    return kept


def _parts(request: Request) -> Iterator[str]:
    yield from dict.fromkeys([*request.custom, *(name for name, _ in (*request.models, *request.families))])
    yield from dict.fromkeys(name for name, _ in request.schedulers)
    yield from (METHODS.get(name).title for name in dict.fromkeys(name for name, _ in request.methods))
    silent = ("chatter", "accelerated", "either end")
    yield from dict.fromkeys(repr(r.written) for r in request.readings if r.kind not in silent and _legal(r.value))


def _legal(value: Callable[[], Any]) -> bool:
    try:
        value()
    except InputError:
        return False
    return True


def _first(request: Request, kind: str) -> Any:
    legal_ones = (r.value() for r in request.readings if r.kind == kind and _legal(r.value))
    return next(legal_ones, None)


def _least(request: Request) -> float | None:
    """Returns the number of a speedup whose end is open, taken as the least speedup."""
    for reading in request.readings:
        number = reading.said.get("number") if reading.kind == "either end" else ""
        if number and not reading.said.get("percent"):
            try:
                return SPEEDUP.check(read(number), number)
            except InputError:
                continue
    return None


def _model(request: Request) -> str:
    named = [*request.custom, *(name for name, _ in (*request.models, *request.families))]
    return named[0] if named else MODEL


def _draft(request: Request, model: str) -> Task:
    steps = _first(request, "steps") or usual_steps(model)
    speedup, latency_s = _first(request, "speedup") or _least(request), _first(request, "latency")
    if step_s := _first(request, "step time"):
        latency_s = latency_s or of_steps(step_s, steps)
    target = (
        Target(speedup=speedup) if speedup and speedup > 1 else Target(latency_s=latency_s) if latency_s else None
    )
    methods = _methods(request, target is not None)
    schedulers = [name for name, _ in request.schedulers] or [usual_scheduler(model)]
    given = None if target is None and request.says("fastest") else request
    return Task(
        model=model,
        scheduler=schedulers[0],
        steps=steps,
        methods=methods,
        parameters=dict(_parameters(given, methods, steps)) if given else {},
        target=target,
        max_loss=_limits(request),
        **_choice(request, methods),
        **_setting(request),
    )


def _choice(request: Request, methods: tuple[str, ...] | None) -> dict[str, Any]:
    """Returns what the request says about the choice of methods besides their names."""
    if methods is not None:
        return {"one_of": request.one_of and len(methods) > 1}
    try:
        excluded = request.chosen()[1]
    except InputError:
        excluded = ()
    return {"excluded": excluded, "lossless": request.says("lossless")}


def _methods(request: Request, goal: bool) -> tuple[str, ...] | None:
    if request.says("unaccelerated") and not goal:
        return ()
    try:
        named = request.chosen()[0]
    except InputError:
        named = ()
    wanted = goal or any(
        map(request.says, ("accelerated", "fastest", "any method", "lossless", "either end", "excluded"))
    )
    return named or (None if wanted else ())


def _parameters(
    request: Request, methods: tuple[str, ...] | None, steps: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the legal parameters of the named methods."""
    found = [r.value() for r in request.readings if r.kind == "parameter" and _legal(r.value)]
    for method in methods or ():
        known = {p.name for p in METHODS.get(method).parameters()}
        given = {one.name: one.value for one in reversed(found) if one.name in known}
        try:
            values = legal(method, given, steps)
        except InputError:
            continue
        if values:
            yield method, values


def _limits(request: Request) -> dict[str, float]:
    if request.says("no limit"):
        return {}
    found = [r.value() for r in request.readings if r.kind == "loss" and _legal(r.value)]
    return dict(reversed(found)) or dict(DEFAULT_MAX_LOSS)


def _setting(request: Request) -> dict[str, Any]:
    said = [*request.dtypes, *(r.value() for r in request.readings if r.kind == "setting" and _legal(r.value))]
    found: dict[str, Any] = {}
    for one in said:
        found |= {name: value for name, value in one.items() if name not in found}
    if len({"height", "width"} & found.keys()) == 1:
        side = found.get("height") or found.get("width")
        found |= {"height": side, "width": side}
    return found
