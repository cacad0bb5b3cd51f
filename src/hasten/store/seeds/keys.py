"""The keys of the original's files: the text of a tuple that names a search."""

from __future__ import annotations

import ast
import math
import re
import warnings
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from hasten.errors import InputError, UnknownNameError, simplify
from hasten.limits import Limits
from hasten.methods import METHODS
from hasten.models import model_name
from hasten.schedulers import find_scheduler
from hasten.store.seeds.scan import shortened
from hasten.task import Target, Task

UPBOUND = "upbound_speedup"
METRIC = "clip_score"
ANY = ("any",)
LONGEST = 2000
_LIMIT = re.compile(r"\s*(\w+|\|\w+\|)\s*<\s*([^<>,]+?)\s*")


@dataclass(frozen=True)
class Key:
    """The description of a search. The names are canonical, so that keys in different spellings are equal.

    ``speedup`` is None for the upper bound. ``methods`` is None for a key that does not name them, because newer
    files name them in the value; ``ANY`` means any method. ``limit`` is the limit on the loss of the CLIP score;
    limits on other metrics, which the original did not have, are text: ``clip_score<0.02,ssim<0.1``. ``text`` is
    the key as it was read.
    """

    model: str
    scheduler: str
    steps: int
    speedup: float | None
    limit: float | str
    methods: tuple[str, ...] | None = None
    text: str = field(default="", compare=False)

    @classmethod
    def parse(cls, text: str) -> Key:
        """Reads a key in any of its forms: with and without methods, with a pipeline's class or a model's name.

        Raises:
            InputError: the text is no such tuple, or one of its parts is impossible.
            UnknownNameError: hasten does not have one of the methods.
        """
        parts = _tuple(text)
        if not isinstance(parts, list) or len(parts) not in (5, 6):
            raise InputError(
                f"{shortened(text)} is no key: a tuple of model, scheduler, steps, speedup, limit and, perhaps, "
                "methods was expected."
            )
        model, scheduler, steps, speedup, limit = (one(part) for part in parts[:5])
        return cls(
            model_name(_word("model", model)),
            scheduler_name(_word("scheduler", scheduler)),
            _steps(steps),
            None if speedup == UPBOUND else _speedup(speedup),
            _limit(limit),
            method_names(parts[5]) if len(parts) == 6 else None,
            text,
        )

    @classmethod
    def of(cls, task: Task, speedup: float | None = None) -> Key:
        """Returns the key of a task under a speedup, or under its upper bound for None."""
        limits, plain = task.max_loss, task.max_loss.keys() == {METRIC} and not task.two_sided
        side = "|" if task.two_sided else ""
        text = ",".join(f"{side}{metric}{side}<{limit!r}" for metric, limit in sorted(limits.items()))
        limit = float(limits[METRIC]) if plain else text
        model, scheduler = model_name(task.model), scheduler_name(task.scheduler)
        methods = ANY if task.methods is None else task.methods
        return cls(model, scheduler, task.steps, None if speedup is None else float(speedup), limit, methods)

    @property
    def limits(self) -> Limits:
        """The limits by metric."""
        if not isinstance(self.limit, str):
            return Limits({METRIC: self.limit})
        parts = (part.partition("<") for part in self.limit.split(",") if part)
        return Limits({name.strip("|"): float(limit) for name, _, limit in parts}, "|" in self.limit)

    def task(self) -> Task:
        """Returns the task that the key stands for. The upper bound has no target."""
        return Task(
            model=self.model,
            scheduler=self.scheduler,
            steps=self.steps,
            methods=None if self.methods == ANY else self.methods,
            target=None if self.speedup is None else Target(speedup=self.speedup),
            max_loss=dict(self.limits),
            two_sided=self.limits.two_sided,
        )

    def __str__(self) -> str:
        if self.text:
            return self.text
        parts: list[Any] = [self.model, _class_name(self.scheduler), str(self.steps)]
        parts += [UPBOUND if self.speedup is None else self.speedup, self.limit]
        parts += [] if self.methods is None else [list(self.methods)]
        return repr(tuple(parts))


@lru_cache
def scheduler_name(name: str) -> str:
    """Returns the canonical name of a scheduler or its class. Other names stay as they are."""
    try:
        return find_scheduler(name).name
    except UnknownNameError:
        return name


def method_names(value: Any) -> tuple[str, ...]:
    """Returns the canonical names, sorted, from a list or from text with commas, or ``ANY``. Raises InputError."""
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"The methods are {value!r}: a list of names was expected.")
    if names == list(ANY):
        return ANY
    return tuple(sorted({_method(name) for name in names if name.strip()}))


def figure(what: str, value: Any) -> float:
    """Returns a finite number, given as a number, as text or as a list of one. Raises InputError."""
    value = one(value)
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"The {what} is {value!r}: a finite number was expected.")
    return number


def one(value: Any) -> Any:
    """Returns the content of a list of one, which the oldest files have for every value; others are unchanged."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _tuple(text: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # hides Python's warnings about literals that are nearly numbers
        try:
            tree = ast.parse(text.strip() if len(text) <= LONGEST else "", mode="eval")
            return _literal(tree.body)
        except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
            return None


def _literal(node: ast.expr) -> Any:
    """Returns the value of a literal, also of ``inf``, ``nan`` and NumPy's notation: ``np.float64(4.1)``."""
    match node:
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            return [_literal(part) for part in parts]
        case ast.Name(id="inf" | "nan" as name):
            return float(name)
        case ast.Call(func=ast.Attribute() | ast.Name(), args=[value], keywords=[]):
            return _literal(value)
    return ast.literal_eval(node)


def _word(what: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"The {what} is {value!r}: a name was expected.")
    return value


def _steps(value: Any) -> int:
    number = figure("number of steps", value)
    if number != int(number) or not 1 <= number <= 1000:
        raise InputError(f"The number of steps is {value!r}: allowed is 1 to 1000.")
    return int(number)


def _speedup(value: Any) -> float:
    number = figure("speedup", value)
    if not 0 < number <= 1000:
        raise InputError(f"The speedup is {value!r}: allowed is more than 0, at most 1000, or {UPBOUND!r}.")
    return number


def _limit(value: Any) -> float | str:
    if isinstance(value, str) and ("<" in value or not value):
        limits = {match[1]: _share(match[2]) for part in value.split(",") if (match := _LIMIT.fullmatch(part))}
        sides = {metric.startswith("|") for metric in limits}
        if len(limits) != len(value.split(",")) * bool(value) or len(sides) > 1:
            raise InputError(f"The loss limit is {value!r}: metric<limit, with commas between, was expected.")
        return ",".join(f"{metric}<{limit!r}" for metric, limit in sorted(limits.items()))
    return _share(value)


def _share(value: Any) -> float:
    number = figure("loss limit", value)
    if not 0 <= number <= 1:
        raise InputError(f"The loss limit is {value!r}: allowed is 0 to 1.")
    return number


def _class_name(scheduler: str) -> str:
    try:
        return find_scheduler(scheduler).identifier
    except UnknownNameError:
        return scheduler


@lru_cache
def _methods() -> dict[str, str]:
    return {simplify(name): m.name for m in METHODS.all() for name in (m.name, m.title, *m.aliases)}


def _method(name: str) -> str:
    found = _methods().get(simplify(name))
    if found is None:
        raise UnknownNameError("method", name, METHODS.names())
    return found
