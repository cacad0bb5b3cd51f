"""CUDA graph: records the kernels of a denoiser call once and replays them as a whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from hasten.denoisers import denoiser_of, no_denoiser, weights_in_other_hands
from hasten.methods._baked import Baked
from hasten.methods.base import Method, Parameter, Patching, State
from hasten.plan import Parameters, Plan

if TYPE_CHECKING:
    from hasten.methods._graph_tape import Tape
    from hasten.methods._patch import Current, Wrapper


class CudaGraph(Method):
    """Records the denoiser's kernels in a CUDA graph and launches them together.

    A call of the denoiser launches thousands of kernels one after another, and where they are short, the GPU waits
    for the processor. A graph launches the same kernels on the same numbers at once.

    The first call with inputs of a shape records. Beside a method that stores at one step what it reuses at
    another, each call of a run is recorded separately. The recording is kept for the denoiser, even while the
    method is removed, until something else is recorded for it: a call with another scale of an adapter, other
    weights or other settings of torch is recorded anew.

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

    def install(self, pipe: Any, parameters: Parameters, patches: Patching) -> None:
        warm_up = int(parameters["warm_up_calls"])
        current = patches.listen(self, lambda: _State(patches, warm_up), run_wide=True)
        patches.wrap(self, patches.denoiser, _replay(current))


class MadeOf:
    """All that a graph of the denoiser is bound to, beside its inputs: the addresses of its weights, the plain
    Python values that it computes with, and torch's own switches.

    Example:
        >>> made_of = MadeOf(pipe.unet)
        >>> pipe.set_ip_adapter_scale(0.5)
        >>> made_of.holds()
        False
    """

    def __init__(self, denoiser: Any) -> None:
        self._baked, self._places, self._switches = Baked(denoiser), _places(denoiser), _switches()

    def is_of(self, denoiser: Any) -> bool:
        """Returns whether a graph that was recorded then draws what the denoiser draws now."""
        return self._places == _places(denoiser) and self._baked.is_of(denoiser) and self._switches == _switches()

    def holds(self) -> bool:
        """Returns whether nothing has changed within a run, where callbacks may set scales. It takes less than a
        millisecond."""
        return self._baked.holds()


def _places(denoiser: Any) -> tuple[int, ...]:
    return tuple(tensor.data_ptr() for tensor in (*denoiser.parameters(), *denoiser.buffers()))


def _switches() -> tuple[object, ...]:
    """Returns the settings of torch by which kernels are chosen."""
    import torch

    cuda, cudnn = torch.backends.cuda, torch.backends.cudnn
    return (
        torch.get_float32_matmul_precision(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_autocast_enabled("cuda") and torch.get_autocast_dtype("cuda"),
        (cudnn.enabled, cudnn.allow_tf32, cudnn.deterministic),
        (cuda.flash_sdp_enabled(), cuda.mem_efficient_sdp_enabled(), cuda.math_sdp_enabled()),
        cuda.cudnn_sdp_enabled(),
    )


class _Recorded(NamedTuple):
    plan: Plan
    made_of: MadeOf
    tape: Tape


_RECORDED: WeakKeyDictionary[Any, _Recorded] = WeakKeyDictionary()
"""What was recorded last for each denoiser."""


class _State(State):
    """The tape of this run, and the number of calls that it has had."""

    def __init__(self, patches: Patching, warm_up: int) -> None:
        self._patches, self._warm_up = patches, warm_up
        self._recorded: _Recorded | None = None
        self._calls = 0

    def start(self) -> None:
        self._recorded, self._calls = None, 0

    def refresh(self) -> None:
        """Does nothing: a batch of another layout has graphs of its own."""

    def step(self, number: int) -> None:
        """Does nothing: calls are counted instead, because a step may have several."""

    def call(self, call_next: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        if self._recorded is None or not self._recorded.made_of.holds():
            self._recorded = recorded(self._patches, self._warm_up)
            self._recorded.tape.begin()
        self._calls += 1
        return self._recorded.tape.call(self._calls - 1, call_next, args, kwargs)


def recorded(patches: Patching, warm_up: int) -> _Recorded:
    """Returns what was recorded for the denoiser in its present state, or a tape that is empty yet."""
    from hasten.methods._graph_tape import Tape

    denoiser = patches.denoiser
    last = _RECORDED.get(denoiser)
    if last is None or last.plan != patches.plan or not last.made_of.is_of(denoiser):
        last = _Recorded(patches.plan, MadeOf(denoiser), Tape(warm_up, by_call=_calls_differ(patches)))
        _RECORDED[denoiser] = last
    return last


def _calls_differ(patches: Patching) -> bool:
    """Returns whether another method makes a call depend on the calls of its run before it."""
    return any(method.replay == "by_call" for method in patches.methods)


def _replay(current: Current[_State]) -> Wrapper:
    def wrapper(call_next: Callable[..., Any], module: Any, *args: Any, **kwargs: Any) -> Any:
        return current().call(call_next, args, kwargs)

    return wrapper


METHOD = CudaGraph()
