"""CUDA graph: the denoiser's kernels are launched once, recorded, and from then on replayed as a whole."""

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
    """A call of the denoiser launches thousands of kernels one after another; where they are short, the GPU waits
    for the processor. Recorded in a CUDA graph, they are launched at once, the same kernels on the same numbers.

    The first call with inputs of a shape records; beside a method that stores at one step what it reuses at
    another, each step of a run is recorded for itself. What is recorded is kept for the denoiser, also while the
    method is off, until something else is recorded for it.
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
    presence = 0.7

    def parameters(self, pipe: Any = None, steps: int | None = None) -> tuple[Parameter, ...]:
        meaning = "so many calls run before one is recorded: what is set up at the first must not be"
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
"""Of each denoiser the tape that was recorded last, and what it depends on."""


class _State(State):
    """The tape of this run, and how many calls it has had."""

    def __init__(self, patches: Patches, warm_up: int) -> None:
        self._patches, self._warm_up = patches, warm_up
        self._tape: Tape | None = None
        self._calls = 0

    def start(self) -> None:
        self._tape, self._calls = None, 0

    def refresh(self) -> None:
        """A batch of another layout has graphs of its own."""

    def step(self, number: int) -> None:
        """The calls are counted instead: a step may have several."""

    def call(self, call_next: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        if self._tape is None:
            self._tape = _tape_of(self._patches, self._warm_up)
            self._tape.begin()
        self._calls += 1
        return self._tape.call(self._calls - 1, call_next, args, kwargs)


def _tape_of(patches: Patches, warm_up: int) -> Tape:
    """The tape that was recorded for the denoiser as it is now, or a new one."""
    from hasten.methods._graph_tape import Tape

    denoiser, made_with = patches.denoiser, (patches.plan, *made_of(patches.denoiser))
    known = _TAPES.get(denoiser)
    if known is None or known[0] != made_with:
        _TAPES[denoiser] = known = made_with, Tape(warm_up, by_call=_differ(patches))
    return known[1]


def _differ(patches: Patches) -> bool:
    """What a call does depends on those of its run before it, by what another method does."""
    return any(method.replay == "by_call" for method in patches.methods)


def made_of(denoiser: Any) -> tuple[object, object]:
    """What a graph of the denoiser is good for: where its weights are, and what computes its attentions."""
    places = tuple(tensor.data_ptr() for tensor in (*denoiser.parameters(), *denoiser.buffers()))
    return places, tuple(vars(module).get("processor") for module in denoiser.modules())


def _replay(current: Current[_State]) -> Wrapper:
    def wrapper(call_next: Callable[..., Any], module: Any, *args: Any, **kwargs: Any) -> Any:
        return current().call(call_next, args, kwargs)

    return wrapper


METHOD = CudaGraph()
