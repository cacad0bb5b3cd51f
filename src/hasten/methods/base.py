"""What a method declares and does. Each method has its own file, and the suite in tests/contracts holds all to the
contract."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from hasten.errors import ParameterError
from hasten.methods._parameter import MAX_STEPS, USUAL_STEPS, Parameter, at_shares, named
from hasten.methods._work import Mode, Replay, Step, Work
from hasten.plan import Parameters, Plan, Value

if TYPE_CHECKING:
    from hasten.methods._conversion import Conversion
    from hasten.methods._site import Wrapper

__all__ = [
    "EFFECTS",
    "MAX_STEPS",
    "USUAL_STEPS",
    "Current",
    "Method",
    "Mode",
    "Parameter",
    "Patching",
    "Replay",
    "State",
    "Step",
    "Work",
    "at_shares",
    "named",
]

EFFECTS = ("reused", "forecast", "merged", "guidance_dropped")
"""What a method can do at a step instead of computing everything; these are fields of ``MethodStats``."""


class OwnCalls(Protocol):
    """The calls of the denoiser that a state belongs to, as the clock knows them."""

    @property
    def size(self) -> tuple[int, int]:
        """The last two sides of the sample: rows and columns of latents, or tokens and channels."""

    @property
    def is_last_call(self) -> bool:
        """Whether this call is known to be the last, so that nothing stored at it would ever be used."""

    def refresh(self, by: State | None = None) -> None:
        """Makes the states of all methods but ``by`` drop what they stored, because the layout of the batch
        changes at this step."""


class State(ABC):
    """The memory of one installed method during a run, for one of the calls of the denoiser that each step makes.

    Guidance in two calls, tiles, and schedulers of second order therefore never mix what they store. The clock
    makes the state at the first of its calls and drops it with the run.

    A method sets ``did_reused``, ``did_forecast``, ``did_merged`` or ``did_guidance_dropped`` to True where it
    does that. After each call of the denoiser they are counted and reset. ``lane`` has what is known of the
    call.
    """

    did_reused = did_forecast = did_merged = did_guidance_dropped = False
    lane: OwnCalls

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


S = TypeVar("S", bound=State)
Current = Callable[[], S]
"""A function that returns the state of a method for the call of the denoiser that is under way."""


class Patching(Protocol):
    """What a method can do to a pipeline in its ``install``. Removal takes all of it back."""

    denoiser: Any

    @property
    def plan(self) -> Plan:
        """All methods that are installed, with their parameters."""

    @property
    def methods(self) -> tuple[Method, ...]:
        """All methods that are installed."""

    def wrap(self, method: Method, module: Any, wrapper: Wrapper) -> None:
        """Adds one wrapper to one module."""

    def wrap_calls(self, method: Method, pipe: Any, wrapper: Wrapper) -> None:
        """Adds one wrapper to the calls of the pipeline."""

    def listen(self, method: Method, make: Callable[[], S], *, run_wide: bool = False) -> Current[S]:
        """Lets the clock make the method's states and tell them of runs and steps.

        ``make`` returns a new state: one for each call that a step of a run makes, or, with ``run_wide``, one for
        each run. The result returns the state of the call under way whenever a wrapper calls it.
        """

    def convert(self, method: Method, host: Any, conversion: Conversion) -> None:
        """Makes calls of a module, the denoiser or another, compute with converted weights. The method then has no
        state of its own."""

    def counts_left_out(self, method: Method) -> Callable[[int], None]:
        """Returns a function to tell, as a call of the pipeline begins, how many of its steps are not taken."""

    def undo(self, method: Method, action: Callable[[], object]) -> None:
        """Registers an action that takes back a change that is not a wrapper."""


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

    follows_calls: bool = False
    """Whether the method acts in calls of the pipeline that it was applied to, and in no others of its
    denoiser."""

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
    def install(self, pipe: Any, parameters: Parameters, patches: Patching) -> None:
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
        return parameter.legal(value, self.title)
