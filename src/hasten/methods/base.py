"""What a method declares and does. Each method has its own file, and the suite in tests/contracts holds all to the
contract."""

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

MAX_STEPS = 1000
"""The upper end of ranges that are limited by the number of steps, where that is not known."""

USUAL_STEPS = 25
"""The number of steps that defaults are meant for, where it is not known."""

Work = Literal["features", "attention", "guidance", "weights"]
"""The work that a method can replace: the output of the denoiser or its blocks, the output of attentions, a half
of guidance, or the data of weights."""

Replay = Literal["always", "by_call", "never"]
"""When a recorded call of the denoiser can be replayed.

*always*: at any call with inputs of the same shapes. *by_call*: only at the same call of another run, because a
call depends on those before it. *never*: because a call depends on numbers in tensors, or is more than the
recorded kernels.
"""

Mode = Literal["run", "store", "reuse"]
"""What an attention does at a step: it computes, computes and stores its output, or returns the stored output."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a method.

    Example:
        >>> meaning = "the interval of steps at which the whole UNet runs"
        >>> Parameter("cache_interval", int, 1, 50, default=3, neutral=1, grid=(2, 3, 4, 5), meaning=meaning)

    Args:
        name: the name in plans.
        kind: int or float for numbers; str for a list of steps, or for names (see ``named``).
        low: the least legal number; for a list of steps, a step that every list must contain.
        high: the greatest legal number; for a list of steps, the last step, beyond which steps are dropped.
        default: the value where a plan gives none.
        neutral: the value with which the method does nothing; None where there is no such value.
        grid: the values that ``traversal`` tries, the mildest first.
        meaning: a short description for people.
        allowed: the legal values, where they are fewer than ``low`` to ``high``; for names, all names.
        lossy: the values with which an exact method is not exact. A lossless request tries none of them.
        ordered: whether each value of the grid is expected to be at least as fast as the values before it and no
            better in quality. Where it is not, a plan never rules out plans with another value.
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
    """Returns the given shares of ``steps``, rounded to whole steps, at least ``least``, without duplicates."""
    return tuple(dict.fromkeys(max(least, round(share * steps)) for share in shares))


def named(
    name: str,
    allowed: tuple[str, ...],
    meaning: str,
    default: str | None = None,
    neutral: str | None = None,
    lossy: tuple[str, ...] = (),
) -> Parameter:
    """Returns a parameter whose values are names, none stronger than another.

    The default is the first name that is not ``neutral``. The grid has all names but ``neutral``.
    """
    tried = tuple(value for value in allowed if value != neutral)
    more: dict[str, Any] = {"allowed": allowed, "ordered": False, "lossy": lossy}
    return Parameter(name, str, 0, 0, default or tried[0], neutral, tried, meaning, **more)


@dataclass(frozen=True)
class Step:
    """The work that is left at one step, for the cost model. The baseline's work is 1.

    ``resting``, ``self_mode`` and ``merged`` give the exact origin of the shares. They follow from the same
    parameters, so that comparisons of steps leave them out.

    Example:
        >>> Step(blocks={"mid_block": 0.0}, guidance=False)  # no mid block, and half of the batch

    Args:
        blocks: the share of layers that run in a denoiser block, by its name (``down_blocks.1``). Blocks without
            an entry run in full.
        self_attention: the share of the work of self-attentions, 0 to 1.
        cross_attention: the share of the work of cross-attentions, 0 to 1.
        guidance: False where the step computes no classifier-free guidance, so that half of the batch runs.
        old_guidance: whether guidance goes on with a difference that an earlier step computed. This costs no work,
            but changes the image.
        variant: how the step replaces the work that it leaves out, where there are several ways. This costs no
            work either.
        resting: the names of modules that return a stored output, so that nothing inside them runs.
        self_mode: the mode of all self-attentions. One that has stored nothing runs where it should reuse.
        merged: the share of tokens that is merged before self-attention, by the name of the transformer block.
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


EFFECTS = ("reused", "forecast", "merged", "guidance_dropped")
"""What a method can do at a step instead of computing everything; these are fields of ``MethodStats``."""


class State(ABC):
    """The memory of one installed method during a run, for one of the calls of the denoiser that each step makes.

    Guidance in two calls, tiles, and schedulers of second order therefore never mix what they store. The clock
    makes the state at the first of its calls and drops it with the run.

    A method sets ``did_reused``, ``did_forecast``, ``did_merged`` or ``did_guidance_dropped`` to True where it
    does that. After each call of the denoiser they are counted and reset. ``lane`` has what is known of the call,
    and the states of the other methods.
    """

    did_reused = did_forecast = did_merged = did_guidance_dropped = False
    lane: Lane

    @abstractmethod
    def start(self) -> None:
        """Drops everything that is stored, because the run has ended."""

    def refresh(self) -> None:
        """Drops stored tensors during a run, because the batch has another layout from here on."""
        self.start()

    @abstractmethod
    def step(self, number: int) -> None:
        """Prepares for step ``number`` of the run, which begins; 0 is the first. Each step makes this call of the
        denoiser once."""


class Method(ABC):
    """One way to accelerate a pipeline. It is stateless: all state of an installed method lives in its patches."""

    name: str
    title: str
    summary: str
    paper: str
    replaces: tuple[Work, ...] = ()
    """The work that the method leaves out or does otherwise. Two methods that replace the same work cannot be used
    together."""
    compilable: bool = False
    """Whether the denoiser's repeated blocks can be compiled beside it, as everything that it wraps lies outside
    of them."""
    compiles: bool = False
    """Whether it compiles the denoiser's repeated blocks, so that only compilable methods can be used beside
    it."""
    replay: Replay = "never"
    """When recorded calls of the denoiser can be replayed beside it."""
    records: bool = False
    """Whether it replays recorded calls of the denoiser, so that no method whose ``replay`` is *never* can be used
    beside it."""
    aliases: tuple[str, ...] = ()
    """Other names that requests may use, such as ``token merging``; ``name`` and ``title`` need not be
    repeated."""
    order: int
    """The rank of its wrappers. A smaller rank is nearer to the module itself: ToMe is inside T-GATE."""

    denoisers: tuple[str, ...] = ("unet",)
    """The denoisers that the method supports, as families name them. ``unsupported`` judges the pipeline
    itself."""

    implied: Mapping[str, Parameters] = {}
    """Names that stand for the method with these parameters: ``fp16`` is half precision with dtype float16."""

    cuts_work: bool = True
    """Whether the method leaves out work. Otherwise all calls are made, and each is cheaper.

    The work then does not tell how much cheaper, so that the cost model learns it from trials. The same work may
    also be rounded differently.
    """

    converts: bool = False
    """Whether the denoiser computes with converted copies of its weights, which no gradient reaches."""

    exact: bool = False
    """Whether the images are the same apart from rounding, so that a lossless request may use the method."""

    by_default: bool = True
    """Whether the method is tried where a request leaves the choice open, and not only where it is named."""

    log_speedup_sd: float = 0.03
    """Standard deviation of the log speedup around what the method's work predicts, before any trial."""

    adaptive: bool = False
    """Whether the image decides which steps the method shortens. ``steps`` is then a guess, and the cost model
    leaves more to be learned from trials."""

    shortens: bool = False
    """Whether the method takes fewer steps of the plain pipeline. Alone it is then the equal-time baseline."""

    plain: bool = False
    """Whether a plan of such methods alone is the plain pipeline, called in another way, such as with fewer steps.
    Any other plan has to do better in equal time."""

    device: str = ""
    """The type of device that the method needs, such as ``cuda``; empty for any."""

    packages: tuple[str, ...] = ()
    """Requirements that must be installed beside hasten. The extra with the method's name has them."""

    def spellings(self) -> tuple[str, ...]:
        """Returns every word that means the method in a request."""
        return (self.name, self.title, *self.aliases, *self.implied)

    @abstractmethod
    def parameters(self, pipe: Any = None, steps: int | None = None) -> tuple[Parameter, ...]:
        """Returns the parameters. A pipeline or a number of steps adapts their ranges and grids."""

    @abstractmethod
    def unsupported(self, pipe: Any) -> str | None:
        """Returns why the method cannot be used on this pipeline, as a sentence without its full stop, or None
        where it can."""

    @abstractmethod
    def install(self, pipe: Any, parameters: Parameters, patches: Patches) -> None:
        """Adds the method's wrappers to ``patches``. The parameters were checked before."""

    def steps(
        self, pipe: Any, parameters: Parameters, steps: int, refreshes: Collection[int] = ()
    ) -> tuple[Step, ...]:
        """Returns the work that is left at each step of a run; by default all of it.

        Args:
            pipe: the pipeline.
            parameters: the method's parameters, checked.
            steps: the number of steps of the run.
            refreshes: the steps at which another method makes this one drop what it stored.
        """
        return (Step(),) * steps

    def remaining_steps(self, parameters: Parameters, steps: int) -> int:
        """Returns the number of steps that a call takes when asked for ``steps``: fewer where the method
        ``shortens``.

        The parameters of the methods beside it refer to the steps that remain.
        """
        return steps

    def unreached(self, parameters: Parameters, steps: int) -> str | None:
        """Returns which part of the method a call of ``steps`` steps ends before, as a sentence without its full
        stop, or None where the call comes to all of it. It is asked only where the rest had an effect."""
        return None

    def scheduler(self, parameters: Parameters) -> str:
        """Returns the canonical name of the scheduler that calls of the pipeline follow; empty for its own."""
        return ""

    def neutral(self, pipe: Any = None, steps: int | None = None) -> Parameters | None:
        """Returns parameters with which the method does nothing, or None where there are none."""
        values = {p.name: p.neutral for p in self.parameters(pipe, steps)}
        neutral = {name: value for name, value in values.items() if value is not None}
        return neutral if len(neutral) == len(values) else None

    def refreshes(self, parameters: Parameters, steps: int) -> tuple[int, ...]:
        """Returns the steps at which this method makes the others drop what they stored."""
        return ()

    def probes(self, pipe: Any) -> tuple[Parameters, ...]:
        """Returns parameters to profile the method at, where the baseline's times do not tell what the method
        costs itself."""
        return ()

    def check(self, given: Mapping[str, Value], pipe: Any = None, steps: int | None = None) -> Parameters:
        """Returns the given parameters, completed with the defaults and converted to their kinds.

        Raises:
            ParameterError: a parameter is unknown, or its value has the wrong kind or is out of range.

        Example:
            >>> METHODS.get("deepcache").check({"cache_interval": 2.0})
            {'cache_interval': 2, 'cache_branch_id': 0}
        """
        declared = {p.name: p for p in self.parameters(pipe, steps)}
        for name in given:
            if name not in declared:
                raise ParameterError(f"{self.title} has no parameter {name!r}. It has: {', '.join(declared)}.")
        return {name: self.legal(p, given.get(name, p.default)) for name, p in declared.items()}

    def legal(self, parameter: Parameter, value: Value) -> Value:
        """Returns the value, converted to the parameter's kind. Raises ParameterError where it is not legal."""
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
