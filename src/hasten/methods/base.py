"""What a method declares and does. One file a method; the contract suite in tests/contracts holds all to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from hasten.errors import ParameterError
from hasten.plan import Parameters, Value, step_list, steps_of

if TYPE_CHECKING:
    from hasten.methods._patch import Patches
    from hasten.methods._run import Lane

MOST = 1000
"""The upper end of ranges that the number of steps would limit, where it is not known."""

USUAL = 25
"""The number of steps that defaults are meant for, where it is not known."""

Work = Literal["features", "attention", "guidance", "weights"]
"""What a method may replace: what the denoiser or its blocks give at a step, what its attentions give, the halves
of guidance, the data of its weights."""

Replay = Literal["always", "by_call", "never"]
"""A recorded call of the denoiser can be replayed at any call with inputs of the same shapes; or only at the same
call of another run, because what a call does depends on those before it; or never, because what it does depends on
numbers in tensors, or is more than the recorded kernels."""

Mode = Literal["run", "store", "reuse"]
"""What an attention does at a step: computes, computes and keeps its output, or gives the one that it kept."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a method.

    Example::

        Parameter("cache_interval", int, 1, steps, 3, 1, (2, 3, 4, 5), "every how many steps the whole UNet runs")

    Args:
        name: as plans write it.
        kind: int or float for numbers; str for a list of steps, or for a name (see ``named``).
        low: the least legal number; in a list of steps, a step that is always in it.
        high: the greatest legal number; in a list of steps, later ones are left out.
        default: the value where a plan gives none.
        neutral: the value with which the method does nothing; None where there is no such value.
        grid: the values that ``traversal`` walks, the mildest first.
        meaning: a few words for people.
        allowed: the legal values, where not all from ``low`` to ``high`` are; of a name, all names.
        lossy: the values with which an exact method is exact no more; a lossless request tries none of them.
        ordered: whether each value of the grid is expected to be no slower than those before it, and no better in
            quality. Where it is not, a plan rules out no plan with another value.
    """

    name: str
    kind: type[int] | type[float] | type[str]
    low: int | float
    high: int | float
    default: Value
    neutral: Value | None
    grid: tuple[Value, ...]
    meaning: str
    allowed: tuple[Value, ...] | None = None
    ordered: bool = True
    lossy: tuple[Value, ...] = ()


def at_shares(shares: Iterable[float], steps: int, least: int = 1) -> tuple[int, ...]:
    """The given shares of ``steps``, rounded to whole steps, at least ``least``, without duplicates."""
    return tuple(dict.fromkeys(max(least, round(share * steps)) for share in shares))


def named(
    name: str,
    allowed: tuple[str, ...],
    meaning: str,
    default: str | None = None,
    neutral: str | None = None,
    lossy: tuple[str, ...] = (),
) -> Parameter:
    """A parameter whose values are names, none stronger than another. The default is the first not neutral."""
    tried = tuple(value for value in allowed if value != neutral)
    more: dict[str, Any] = {"allowed": allowed, "ordered": False, "lossy": lossy}
    return Parameter(name, str, 0, 0, default or tried[0], neutral, tried, meaning, **more)


@dataclass(frozen=True)
class Step:
    """The work that is left at one step, for the cost model; 1 is the baseline's.

    ``resting``, ``self_mode`` and ``merged`` say exactly where the shares come from. They follow from the same
    parameters, so they do not count when steps are compared.

    Args:
        blocks: the share of its layers that run, by the name of a denoiser block (``down_blocks.1``). A block that
            is not named runs in full.
        self_attention: the share of the self-attentions' work.
        cross_attention: the share of the cross-attentions' work.
        guidance: False where the step computes no classifier-free guidance, so that half of the batch runs.
        old_guidance: whether guidance then goes on by what an earlier step computed. That is no work, but another
            image.
        variant: how the step makes up for the work left out, where there are several ways. That is no work either.
        resting: the modules that give a stored output, so that nothing within them runs.
        self_mode: the mode of all self-attentions. One that has stored nothing runs where it should reuse.
        merged: the share of tokens that is merged away before self-attention, by transformer block.
    """

    blocks: Mapping[str, float] = field(default_factory=dict)
    self_attention: float = 1.0
    cross_attention: float = 1.0
    guidance: bool = True
    old_guidance: bool = False
    variant: str = ""
    resting: frozenset[str] = field(default=frozenset(), compare=False, repr=False)
    self_mode: Mode = field(default="run", compare=False, repr=False)
    merged: Mapping[str, float] = field(default_factory=dict, compare=False, repr=False)


DEEDS = ("reused", "forecast", "merged", "guidance_dropped")
"""What a method can do at a step instead of computing all of it; fields of ``MethodStats``."""


class State(ABC):
    """What one installed method remembers during a run, for one of the calls of the denoiser that each step makes:
    calls that guide in turn, tiles and schedulers of second order never mix what they store. The clock makes it
    when that call is first made, and drops it with the run.

    The method sets ``did_reused`` and so on to True where it does that. After each call of the denoiser they are
    counted, and set back. ``lane`` tells what is known of the call, and has the other methods' states.
    """

    did_reused = did_forecast = did_merged = did_guidance_dropped = False
    lane: Lane

    @abstractmethod
    def start(self) -> None:
        """The run has ended: nothing of it may be used again, and nothing is held any more."""

    def refresh(self) -> None:
        """The batch has another layout from here on, within a run: stored tensors no longer fit."""
        self.start()

    @abstractmethod
    def step(self, number: int) -> None:
        """Step ``number`` (0 is the run's first) begins; it makes this call once."""


class Method(ABC):
    """One way to accelerate a pipeline. Stateless: all state of an installed method lives in its patches."""

    name: str
    title: str
    summary: str
    paper: str
    replaces: tuple[Work, ...] = ()
    """The work that it leaves out or does otherwise. Of two methods that replace the same one can be used."""
    compilable: bool = False
    """The denoiser's repeated blocks can be compiled beside it: what it wraps lies outside of them."""
    compiles: bool = False
    """It compiles the denoiser's repeated blocks: only compilable methods can be used beside it."""
    replay: Replay = "never"
    """What a recording of the denoiser's calls is good for beside it."""
    records: bool = False
    """It replays recorded calls of the denoiser: no method can be used beside it whose ``replay`` is never."""
    aliases: tuple[str, ...] = ()
    """Other names that requests may use, e.g. ``token merging``; name and title need not be repeated."""
    order: int
    """Rank of the wrappers: a smaller one is nearer to the module itself (ToMe is inside T-GATE)."""

    denoisers: tuple[str, ...] = ("unet",)
    """The denoisers, as families name them, that the method is for. ``unsupported`` judges the pipeline itself."""

    implied: Mapping[str, Parameters] = {}
    """Parameters that other names stand for as well: ``fp16`` is half precision with dtype float16."""

    cuts_work: bool = True
    """Whether the method leaves work out. Otherwise all calls are made and each is cheaper. The work does not tell
    by how much, so the cost model learns it from trials; and the same work may be rounded differently."""

    exact: bool = False
    """Whether the images are the same apart from rounding, so that a lossless request may use the method."""

    by_default: bool = True
    """Whether the method is tried where a request leaves the choice open, and not only where it is named."""

    presence: float = 0.03
    """How far the method moves the log speedup beyond what its work tells: the standard deviation."""

    adaptive: bool = False
    """Whether the image decides which steps the method shortens. What ``steps`` declares is then a guess, and the
    cost model leaves more to be learned from trials."""

    shortens: bool = False
    """Whether the method takes fewer steps of the plain pipeline. Alone it is then the equal-time baseline."""

    device: str = ""
    """The type of device that the method needs, such as ``cuda``; empty for any."""

    packages: tuple[str, ...] = ()
    """Requirements that must be installed beside hasten. The extra with the method's name has them."""

    measured: bool = False
    """Whether a search tries the lists of steps that ``hasten.measure.sensitivity`` finds for the setting."""

    def spellings(self) -> tuple[str, ...]:
        """Every word that means the method in a request."""
        return (self.name, self.title, *self.aliases, *self.implied)

    @abstractmethod
    def parameters(self, pipe: Any = None, steps: int | None = None) -> tuple[Parameter, ...]:
        """The parameters; with a pipeline or a number of steps, their ranges and grids for it."""

    @abstractmethod
    def unsupported(self, pipe: Any) -> str | None:
        """Why the method cannot be used on this pipeline, a sentence without its full stop; None when it can."""

    @abstractmethod
    def install(self, pipe: Any, parameters: Parameters, patches: Patches) -> None:
        """Adds the method's wrappers to ``patches``; legality was checked before."""

    def steps(
        self, pipe: Any, parameters: Parameters, steps: int, refreshes: Collection[int] = ()
    ) -> tuple[Step, ...]:
        """The work that is left at each of ``steps`` steps. At ``refreshes`` another method makes it start anew.

        A method that does not cut work leaves all of it.
        """
        return (Step(),) * steps

    def left(self, parameters: Parameters, steps: int) -> int:
        """How many steps a call of ``steps`` steps takes: fewer where the method ``shortens``. The parameters of
        the methods beside it count the steps that are left."""
        return steps

    def neutral(self, pipe: Any = None, steps: int | None = None) -> Parameters | None:
        """The parameters that do nothing; None where there are none."""
        found = {p.name: p.neutral for p in self.parameters(pipe, steps)}
        known = {name: value for name, value in found.items() if value is not None}
        return known if len(known) == len(found) else None

    def refreshes(self, parameters: Parameters, steps: int) -> tuple[int, ...]:
        """The steps at which this method makes the others drop what they stored."""
        return ()

    def probes(self, pipe: Any) -> tuple[Parameters, ...]:
        """Parameters to profile the method at, where the baseline's times do not tell what it adds."""
        return ()

    def check(self, given: Mapping[str, Value], pipe: Any = None, steps: int | None = None) -> Parameters:
        """The given parameters, completed by the defaults and converted to their kinds.

        Raises:
            ParameterError: unknown parameter, wrong kind, or value out of range.
        """
        known = {p.name: p for p in self.parameters(pipe, steps)}
        for name in given:
            if name not in known:
                raise ParameterError(f"{self.title} has no parameter {name!r}. It has: {', '.join(known)}.")
        return {name: self.legal(p, given.get(name, p.default)) for name, p in known.items()}

    def legal(self, parameter: Parameter, value: Value) -> Value:
        """The value, converted to the parameter's kind. Raises ParameterError when it is not legal."""
        p = parameter
        if p.kind is str:
            return self._legal_name(p, value) if p.allowed else self._legal_steps(p, value)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        fits = number and p.low <= float(value) <= p.high and (p.kind is float or value == int(value))
        if not fits or (p.allowed is not None and value not in p.allowed):
            what = ", ".join(map(str, p.allowed)) if p.allowed else f"{p.low} to {p.high}"
            kind = "an integer" if p.kind is int else "a number"
            raise ParameterError(f"{self.title}'s {p.name} is {value!r}: allowed is {kind}, {what}.")
        return p.kind(value)

    def _legal_name(self, p: Parameter, value: Value) -> Value:
        allowed = p.allowed or ()
        if value not in allowed or not isinstance(value, str):
            raise ParameterError(
                f"{self.title}'s {p.name} is {value!r}: allowed is {', '.join(map(str, allowed))}."
            )
        return value

    def _legal_steps(self, p: Parameter, value: Value) -> Value:
        try:
            steps = [step for step in steps_of(value) if step <= p.high]
        except ValueError:
            steps = []
        if p.low not in steps:
            raise ParameterError(
                f"{self.title}'s {p.name} is {value!r}: allowed is a list of steps with {p.low} in it, single "
                "ones and runs with colons between, such as 0-3:5:9."
            )
        return step_list(steps)
