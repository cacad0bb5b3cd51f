"""CUDA graph: records the kernels of a denoiser call once and replays them as a whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from hasten.denoisers import denoiser_of, no_denoiser, weights_in_other_hands
from hasten.methods.base import Method, Parameter, State
from hasten.plan import Parameters

if TYPE_CHECKING:
    from hasten.methods._graph_tape import Tape
    from hasten.methods._patch import Current, Patches, Wrapper


class CudaGraph(Method):
    """Records the denoiser's kernels in a CUDA graph and launches them together.

    A call of the denoiser launches thousands of kernels one after another, and where they are short, the GPU waits
    for the processor. A graph launches the same kernels on the same numbers at once.

    The first call with inputs of a shape records. Beside a method that stores at one step what it reuses at
    another, each call of a run is recorded separately. The recording is kept for the denoiser, even while the
    method is removed, until something else is recorded for it.

    Example:
        >>> with hasten.accelerate(pipe, "cuda_graph(warm_up_calls=1)"):
        ...     image = pipe("a strawberry").images[0]
    """

    name = "cuda_graph"
    title = "CUDA graph"
    aliases = ("cuda graphs", "CUDA图")
    summary = "replays the denoiser's kernels instead of launching each anew"
    paper = (
        "Kwon et al.: Nimble. Lightweight and Parallel GPU Task Scheduling for Deep Learning. NeurIPS 2020, "
        "arXiv:2012.02732"
    )
    order = 21
    records = True
    compilable = True
    denoisers = ("unet", "transformer")
    device = "cuda"
    cuts_work = False
    exact = True
    by_default = False
    log_speedup_sd = 0.7

    def parameters(self, pipe: Any = None, steps: int | None = None) -> tuple[Parameter, ...]:
        meaning = "the number of calls before one is recorded, because set-up at the first must not be recorded"
        return (
            Parameter("warm_up_calls", int, low=1, high=10, default=1, neutral=None, grid=(1,), meaning=meaning),
        )

    def unsupported(self, pipe: Any) -> str | None:
        if reason := no_denoiser(pipe, self.title):
            return reason
        denoiser = denoiser_of(pipe)
        if hasattr(denoiser, "_hf_hook"):
            return (
                f"the {type(denoiser).__name__} is moved to the GPU and off again, and a graph needs it in place"
            )
        if others := weights_in_other_hands(denoiser):
            return f"{others}, and a graph needs them in place"
        device = next(denoiser.parameters()).device
        return (
            None
            if device.type == self.device
            else f"it needs a GPU with CUDA, and the pipeline is on the {device}"
        )

    def install(self, pipe: Any, parameters: Parameters, patches: Patches) -> None:
        warm_up = int(parameters["warm_up_calls"])
        current = patches.listen(self, lambda: _State(patches, warm_up), run_wide=True)
        patches.wrap(self, patches.denoiser, _replay(current))


_TAPES: WeakKeyDictionary[Any, tuple[object, Tape]] = WeakKeyDictionary()
"""The tape that was recorded last for each denoiser, and what it depends on."""


class _State(State):
    """The tape of this run, and the number of calls that it has had."""

    def __init__(self, patches: Patches, warm_up: int) -> None:
        self._patches, self._warm_up = patches, warm_up
        self._tape: Tape | None = None
        self._calls = 0

    def start(self) -> None:
        self._tape, self._calls = None, 0

    def refresh(self) -> None:
        """Does nothing: a batch of another layout has graphs of its own."""

    def step(self, number: int) -> None:
        """Does nothing: calls are counted instead, because a step may have several."""

    def call(self, call_next: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        if self._tape is None:
            self._tape = _tape_of(self._patches, self._warm_up)
            self._tape.begin()
        self._calls += 1
        return self._tape.call(self._calls - 1, call_next, args, kwargs)


def _tape_of(patches: Patches, warm_up: int) -> Tape:
    """Returns the tape that was recorded for the denoiser in its present state, or a new one."""
    from hasten.methods._graph_tape import Tape

    denoiser, made_with = patches.denoiser, (patches.plan, *made_of(patches.denoiser))
    recorded = _TAPES.get(denoiser)
    if recorded is None or recorded[0] != made_with:
        _TAPES[denoiser] = recorded = made_with, Tape(warm_up, by_call=_calls_differ(patches))
    return recorded[1]


def _calls_differ(patches: Patches) -> bool:
    """Returns whether another method makes a call depend on the calls of its run before it."""
    return any(method.replay == "by_call" for method in patches.methods)


def made_of(denoiser: Any) -> tuple[object, object]:
    """Returns what a graph of the denoiser is bound to: the addresses of its weights, and its attention
    processors."""
    places = tuple(tensor.data_ptr() for tensor in (*denoiser.parameters(), *denoiser.buffers()))
    return places, tuple(vars(module).get("processor") for module in denoiser.modules())


def _replay(current: Current[_State]) -> Wrapper:
    def wrapper(call_next: Callable[..., Any], module: Any, *args: Any, **kwargs: Any) -> Any:
        return current().call(call_next, args, kwargs)

    return wrapper


METHOD = CudaGraph()
