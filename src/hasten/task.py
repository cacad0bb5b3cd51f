"""A task, which is a parsed request, and a setting, which is what is measured."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from hasten.errors import InputError
from hasten.limits import Limits
from hasten.plan import Parameters

Mode = Literal["plain", "explicit", "bound", "target"]
DEFAULT_MAX_LOSS = {"clip_score": 0.02}
OWN_SETTING = ("height", "width", "guidance_scale", "batch_size", "device", "dtype")
"""The fields of the setting that a request may give besides model, scheduler and steps."""
CHOICE = ("excluded", "one_of", "lossless")
"""The fields for the choice of methods that a request may give besides their names."""


class Target(BaseModel):
    """The goal of a request: a minimum speedup, or a maximum latency in seconds an image; exactly one of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    speedup: float | None = Field(default=None, gt=0, le=1000, allow_inf_nan=False)
    latency_s: float | None = Field(default=None, gt=0, le=86_400, allow_inf_nan=False)

    @model_validator(mode="after")
    def _one(self) -> Target:
        if (self.speedup is None) == (self.latency_s is None):
            raise ValueError("a target is either a speedup or a latency_s")
        return self

    def __str__(self) -> str:
        return f"{self.speedup:g}x" if self.speedup is not None else f"{self.latency_s:g} s an image"


def check_target(target: Target | None) -> None:
    """Raises InputError for an impossible speedup. Older files contain such targets, and may be read."""
    _check_speedup(target.speedup if target else None)


def _check_speedup(speedup: float | None) -> None:
    if speedup is not None and speedup <= 1:
        raise InputError(
            f"The target is {speedup:g}x, which the plain pipeline has already: ask for more than 1x, or name no "
            "target for the highest speedup."
        )


def target_of(speedup: float | None, latency_s: float | None) -> Target | None:
    """Returns the target, or None. Raises InputError for two targets, or for an impossible speedup."""
    _check_speedup(speedup)
    if speedup is not None and latency_s is not None:
        raise InputError(
            f"Two targets are given, a speedup of {speedup:g} and a latency of {latency_s:g} s an image: "
            "give one of them."
        )
    return None if speedup is None and latency_s is None else Target(speedup=speedup, latency_s=latency_s)


class Task(BaseModel):
    """The parsed request, with canonical names. It is frozen. ``to_json`` and ``from_json`` are inverse.

    Attributes:
        model: the name of a model, or a folder.
        scheduler: the diffusion scheduler.
        steps: denoising steps of a call.
        methods: the methods that are used together; None for any method, empty for none.
        parameters: the parameters that the request fixes, by method.
        target: the requested speedup or latency; None for none.
        max_loss: the limits of the relative loss, by metric.
        two_sided: whether a score that rises by as much is over the limit too.
        assumptions: values that the request left open and defaults filled in.
        excluded: methods that *any method* does not include here.
        one_of: whether each of ``methods`` is tried alone, and the best of them is the answer.
        lossless: whether *any method* means only methods that draw the same images apart from rounding.
        height: height of the images, in pixels. This and the following are None where the model's or the machine's
            usual value is meant.
        width: width of the images, in pixels.
        guidance_scale: the scale of classifier-free guidance.
        batch_size: images of one call.
        device: a torch device.
        dtype: one of ``DTYPES``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    model: str = Field(min_length=1)
    scheduler: str = Field(min_length=1)
    steps: int = Field(ge=1, le=1000)
    methods: tuple[str, ...] | None = ()
    parameters: dict[str, Parameters] = {}
    target: Target | None = None
    max_loss: dict[str, float] = DEFAULT_MAX_LOSS
    two_sided: bool = False
    assumptions: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    one_of: bool = False
    lossless: bool = False
    height: int | None = Field(default=None, ge=1, le=16_384)
    width: int | None = Field(default=None, ge=1, le=16_384)
    guidance_scale: float | None = Field(default=None, ge=0, le=1000, allow_inf_nan=False)
    batch_size: int | None = Field(default=None, ge=1, le=1024)
    device: str | None = Field(default=None, min_length=1)
    dtype: Literal["float32", "float16", "bfloat16"] | None = None

    @field_validator("excluded")
    @classmethod
    def _each_once(cls, methods: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted(set(methods)))

    @field_validator("methods")
    @classmethod
    def _sorted(cls, methods: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if methods is None else tuple(sorted(set(methods)))

    @field_validator("max_loss")
    @classmethod
    def _limits(cls, limits: dict[str, float]) -> dict[str, float]:
        for metric, limit in limits.items():
            if not (math.isfinite(limit) and 0 <= limit <= 1):
                raise ValueError(f"the loss limit of {metric} is {limit}: allowed is 0 to 1")
        return limits

    @model_validator(mode="after")
    def _sides_of_something(self) -> Task:
        if self.two_sided and not self.max_loss:
            raise ValueError("two_sided needs a limit in max_loss")
        return self

    @model_validator(mode="after")
    def _choice_of_something(self) -> Task:
        if self.methods is not None and (self.excluded or self.lossless):
            raise ValueError("excluded and lossless narrow any method: methods must be null")
        if self.one_of and len(self.methods or ()) < 2:
            raise ValueError("one_of needs two methods or more")
        return self

    @model_serializer(mode="wrap")
    def _without_what_is_not_said(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leaves out empty fields of setting and choice, so that such tasks are written as before these fields."""
        data: dict[str, Any] = handler(self)
        said = {name for name in CHOICE if getattr(self, name)} | self.own_setting.keys()
        return {name: value for name, value in data.items() if name in said or name not in (*OWN_SETTING, *CHOICE)}

    @property
    def own_setting(self) -> dict[str, Any]:
        """The fields of the setting that the request gives besides model, scheduler and steps."""
        return {name: value for name in OWN_SETTING if (value := getattr(self, name)) is not None}

    @property
    def chooses(self) -> bool:
        """Whether the methods are chosen in another way than by their names or as any method."""
        return any(getattr(self, name) for name in CHOICE)

    def allows(self, methods: Collection[str]) -> bool:
        """Returns whether the request allows a plan of these methods. For ``lossless`` the answer is False,
        because the task does not know which methods are lossless."""
        if self.methods is None:
            return not (self.lossless or set(self.excluded) & set(methods))
        if self.one_of:
            return len(methods) == 1 and set(methods) < set(self.methods)
        return set(methods) == set(self.methods)

    def of_plan(self, parameters: Mapping[str, Parameters], methods: Collection[str]) -> Task:
        """Returns the same request for one plan."""
        alone = {"parameters": dict(parameters), "methods": tuple(sorted(methods))}
        return self.model_copy(update={**alone, "excluded": (), "one_of": False, "lossless": False})

    @property
    def limits(self) -> Limits:
        """The limits of the loss."""
        return Limits(self.max_loss, self.two_sided)

    @property
    def allows_fewer_steps(self) -> bool:
        """Whether plain fewer steps may be the answer: the choice of methods is open, and either the request says
        "any method" explicitly, or it does not name the number of steps."""
        if not self.is_open or "fewer_steps" in self.excluded:
            return False
        assumed = {text.split(" ", 1)[0] for text in self.assumptions}
        return "methods" not in assumed or "steps" in assumed

    @property
    def allows_other_solvers(self) -> bool:
        """Whether another scheduler may be followed: the choice of methods is open, and the request does not name
        the scheduler."""
        if not self.is_open or "solver" in self.excluded:
            return False
        return "scheduler" in {text.split(" ", 1)[0] for text in self.assumptions}

    @property
    def is_open(self) -> bool:
        """Whether any method may be chosen, with any parameters, within a limit of the loss."""
        return self.methods is None and not self.parameters and not self.lossless

    @property
    def mode(self) -> Mode:
        """plain: no method · explicit: parameters without target · bound: only methods · target: a target."""
        if self.target is not None:
            return "target"
        if self.methods == ():
            return "plain"
        return "explicit" if self.parameters and not self.one_of else "bound"

    def to_json(self) -> dict[str, Any]:
        """Returns plain data for JSON: a target as ``{"speedup": 2.5}``, and ``two_sided`` only where true."""
        data = self.model_dump(mode="json", exclude=None if self.two_sided else {"two_sided"})
        if self.target is not None:
            data["target"] = self.target.model_dump(exclude_none=True)
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any] | str) -> Task:
        """Reads ``to_json`` back (a dict or its text). Raises InputError with every fault in it."""
        try:
            found = cls.model_validate(json.loads(data) if isinstance(data, str) else data)
        except ValidationError as error:
            faults = (f"{'.'.join(map(str, e['loc']))}: {e['msg']} (got {e['input']!r})" for e in error.errors())
            raise InputError(f"Not a task: {'; '.join(faults)}.") from None
        except json.JSONDecodeError as error:
            raise InputError(f"Not a task: no valid JSON ({error}).") from None
        check_target(found.target)
        return found


@dataclass(frozen=True)
class Setting:
    """A measured setting. Trials of different settings are never compared.

    ``height`` and ``width`` in pixels; ``guidance_scale`` 1 means no classifier-free guidance.
    """

    model: str
    scheduler: str
    steps: int
    height: int
    width: int
    guidance_scale: float
    batch_size: int = 1
    dtype: str = "float32"
    device: str = "cpu"

    def key(self) -> str:
        """Returns one line of text that equal settings share: the name of a study, the key of a cache."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
