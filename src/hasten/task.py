"""A task: a request, parsed. And a setting: what is measured."""

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
"""What a request may say of its setting beside model, scheduler and steps."""
CHOICE = ("excluded", "one_of", "lossless")
"""What a request may say of the choice of its methods beside their names."""
DTYPES = ("float32", "float16", "bfloat16")


class Target(BaseModel):
    """What is asked for: a minimum speedup, or a maximum latency in seconds an image; exactly one of them."""

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
    """Raises InputError for a speedup that is none. Older files hold such targets: reading these is no fault."""
    _check_speedup(target.speedup if target else None)


def _check_speedup(speedup: float | None) -> None:
    if speedup is not None and speedup <= 1:
        raise InputError(
            f"The target is {speedup:g}x, which the plain pipeline has already: ask for more than 1x, or name no "
            "target for the highest speedup."
        )


def target_of(speedup: float | None, latency_s: float | None) -> Target | None:
    """The target that is asked for, if any. Raises InputError where there are two, or a speedup that is none."""
    _check_speedup(speedup)
    if speedup is not None and latency_s is not None:
        raise InputError(
            f"Two targets are given, a speedup of {speedup:g} and a latency of {latency_s:g} s an image: "
            "give one of them."
        )
    return None if speedup is None and latency_s is None else Target(speedup=speedup, latency_s=latency_s)


class Task(BaseModel):
    """The parsed request; names are canonical. Frozen; ``to_json`` and ``from_json`` are inverse.

    Attributes:
        model: the name of a model, or a folder.
        scheduler: the diffusion scheduler.
        steps: denoising steps of a call.
        methods: the methods that are used together; None for any method, empty for none.
        parameters: the parameters that the request fixes, by method.
        target: the speedup or latency that is asked for; None for none.
        max_loss: the limits of the relative loss, by metric.
        two_sided: whether a score that rises by as much is over the limit too.
        assumptions: what the request did not say, and was filled in.
        excluded: methods that *any method* does not include here.
        one_of: whether each of ``methods`` is tried alone, and the best of them is the answer.
        lossless: whether *any method* means only methods that draw the same images apart from rounding.
        height: of the images, in pixels. This and the following are None where the model's or the machine's usual
            value is meant.
        width: of the images, in pixels.
        guidance_scale: of classifier-free guidance.
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
        """Files of requests that say nothing of setting and choice stay as they were before these fields."""
        data: dict[str, Any] = handler(self)
        said = {name for name in CHOICE if getattr(self, name)} | self.own_setting.keys()
        return {name: value for name, value in data.items() if name in said or name not in (*OWN_SETTING, *CHOICE)}

    @property
    def own_setting(self) -> dict[str, Any]:
        """What the request says of its setting beside model, scheduler and steps."""
        return {name: value for name in OWN_SETTING if (value := getattr(self, name)) is not None}

    @property
    def chooses(self) -> bool:
        """Its methods are not just those that it names, or any."""
        return any(getattr(self, name) for name in CHOICE)

    def allows(self, methods: Collection[str]) -> bool:
        """Whether such a plan is one that the request leaves open; of ``lossless`` none is known here."""
        if self.methods is None:
            return not (self.lossless or set(self.excluded) & set(methods))
        if self.one_of:
            return len(methods) == 1 and set(methods) < set(self.methods)
        return set(methods) == set(self.methods)

    def of_plan(self, parameters: Mapping[str, Parameters], methods: Collection[str]) -> Task:
        """The same request for one plan."""
        alone = {"parameters": dict(parameters), "methods": tuple(sorted(methods))}
        return self.model_copy(update={**alone, "excluded": (), "one_of": False, "lossless": False})

    @property
    def limits(self) -> Limits:
        """The limits of the loss."""
        return Limits(self.max_loss, self.two_sided)

    @property
    def allows_fewer_steps(self) -> bool:
        """Plain fewer steps may be the answer: the choice of methods is open, and either any method is asked for
        in so many words, or the number of steps is none that the request names."""
        if self.methods is not None or self.parameters or self.lossless or "fewer_steps" in self.excluded:
            return False
        assumed = {text.split(" ", 1)[0] for text in self.assumptions}
        return "methods" not in assumed or "steps" in assumed

    @property
    def mode(self) -> Mode:
        """plain: no method · explicit: parameters, no target · bound: methods alone · target: a target."""
        if self.target is not None:
            return "target"
        if self.methods == ():
            return "plain"
        return "explicit" if self.parameters and not self.one_of else "bound"

    def to_json(self) -> dict[str, Any]:
        """As DESIGN's interfaces have it: a target as ``{"speedup": 2.5}``, ``two_sided`` only where true."""
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
    """What is measured. Trials of different settings are never compared.

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
        """One line of text that equal settings share: the name of a study, the key of a cache."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
