"""T-GATE: cross-attention and guidance matter early, while the image is planned, and can be left out later."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from hasten.denoisers import no_transformer_blocks, sample_of, transformer_blocks
from hasten.methods.base import MAX_STEPS, Method, Mode, Parameter, Patching, State, Step
from hasten.plan import Parameters

if TYPE_CHECKING:
    from hasten.methods._patch import Current, Wrapper


class TGate(Method):
    """Stops cross-attention and guidance at ``gate_step``.

    Before the gate self-attention runs in full for ``warm_up`` steps, then at every ``sp_interval``-th. From the
    gate on it runs at every ``fi_interval``-th, cross-attention returns the mean of its two guidance halves from
    the step before, and only the unconditional half runs.

    Example:
        >>> with hasten.accelerate(pipe, "tgate(gate_step=10,sp_interval=5,fi_interval=1,warm_up=2)"):
        ...     image = pipe("a strawberry", num_inference_steps=25).images[0]
    """

    name = "tgate"
    title = "T-GATE"
    summary = "stops cross-attention and guidance once the image is planned"
    paper = "Liu et al.: Faster Diffusion via Temporal Attention Decomposition. 2024, arXiv:2404.02747"
    order = 30
    replaces = ("attention", "guidance")
    denoisers = ("unet", "transformer")

    def parameters(self, pipe: Any = None, steps: int | None = None) -> tuple[Parameter, ...]:
        most = steps or MAX_STEPS
        gates = tuple(gate for gate in range(19, 4, -1) if gate < most)
        return (
            Parameter(
                "gate_step",
                int,
                low=1,
                high=most,
                default=10 if most > 10 else max(1, most // 2),
                neutral=most,
                grid=gates,
                meaning="the first step without cross-attention and guidance; the number of steps means never",
            ),
            _interval(
                "sp_interval", 5, range(2, 10), most, "the interval at which self-attention runs before the gate"
            ),
            _interval(
                "fi_interval", 1, range(1, 6), most, "the interval at which self-attention runs after the gate"
            ),
            Parameter(
                "warm_up",
                int,
                low=0,
                high=MAX_STEPS,
                default=2,
                neutral=0,
                grid=tuple(n for n in (3, 2, 1) if n <= most),
                meaning="the number of first steps at which self-attention always runs",
            ),
        )

    def unreached(self, parameters: Parameters, steps: int) -> str | None:
        gate = parameters["gate_step"]
        if not isinstance(gate, int) or gate <= steps or gate == MAX_STEPS:
            return None  # the number of steps means never, and so does the greatest number where it is not known
        return (
            f"T-GATE's gate_step is {gate}, and a call had {steps} step{'s' * (steps != 1)}: cross-attention and "
            f"guidance ran at all of them"
        )

    def unsupported(self, pipe: Any) -> str | None:
        return no_transformer_blocks(pipe, self.title)

    def install(self, pipe: Any, parameters: Parameters, patches: Patching) -> None:
        schedule = _Schedule(parameters)
        blocks = [block.module for block in transformer_blocks(patches.denoiser)]
        resting = [block.attn1 for block in blocks if schedule.self_attention_rests or _crosses_twice(block)]
        attentions = [*resting, *(block.attn2 for block in blocks if block.attn2 is not None)]

        def wrap() -> None:
            while attentions:  # this happens once, when the outputs of attentions are first stored
                patches.wrap(self, attentions.pop(), _attention(current))

        current = patches.listen(self, lambda: _State(schedule, wrap))
        patches.wrap(self, patches.denoiser, _half_batch(current))

    def steps(
        self, pipe: Any, parameters: Parameters, steps: int, refreshes: Collection[int] = ()
    ) -> tuple[Step, ...]:
        schedule = _Schedule(parameters)
        return tuple(
            Step(
                self_attention=float(schedule.self_attention(number) != "reuse"),
                cross_attention=float(schedule.cross_attention(number) != "reuse"),
                guidance=number < schedule.gate,
                self_mode=schedule.self_attention(number),
            )
            for number in range(steps)
        )

    def refreshes(self, parameters: Parameters, steps: int) -> tuple[int, ...]:
        gate = int(parameters["gate_step"])
        return tuple(number for number in (gate - 1, gate) if number < steps)


def _crosses_twice(block: Any) -> bool:
    """Returns whether the block's first attention is cross-attention, too."""
    return bool(getattr(block, "only_cross_attention", False))


def _interval(name: str, default: int, grid: range, most: int, meaning: str) -> Parameter:
    legal = tuple(n for n in grid if n <= most)
    return Parameter(name, int, low=1, high=MAX_STEPS, default=default, neutral=1, grid=legal, meaning=meaning)


class _Schedule:
    """What the attentions do at each step. An output that no step can reuse is not stored."""

    def __init__(self, parameters: Parameters) -> None:
        self.gate = int(parameters["gate_step"])
        self._before, self._after = int(parameters["sp_interval"]), int(parameters["fi_interval"])
        self._warm_up = int(parameters["warm_up"])

    @property
    def self_attention_rests(self) -> bool:
        """Whether self-attention rests at some step, before the gate or after it."""
        return max(self._before, self._after) > 1

    def cross_attention(self, step: int) -> Mode:
        return "run" if step < self.gate - 1 else "store" if step == self.gate - 1 else "reuse"

    def self_attention(self, step: int) -> Mode:
        if step >= self.gate - 1:
            fresh, interval = step == self.gate - 1 or step % self._after == 0, self._after
        elif step < self._warm_up:
            return "run"
        else:
            fresh, interval = step == self._warm_up or step % self._before == 0, self._before
        return "reuse" if not fresh else "store" if interval > 1 else "run"


class _State(State):
    """The stored outputs of the attentions, what runs at this step, and whether the batch is a guided one."""

    def __init__(self, schedule: _Schedule, wrap: Callable[[], None]) -> None:
        """Keeps ``wrap`` to call it when outputs are first stored. Until then the attentions' wrappers would only
        cost time, in a large UNet more than 1%."""
        self._wrap = wrap
        self.outputs: dict[Any, Any] = {}
        self.self_attention: Mode = "run"
        self.cross_attention: Mode = "run"
        self.planned = self.gated = self.guided = False
        self._schedule, self._undecided = schedule, True

    def start(self) -> None:
        self.outputs.clear()
        self._undecided = True

    def step(self, number: int) -> None:
        gate = self._schedule.gate
        self.self_attention = self._schedule.self_attention(number)
        self.cross_attention = self._schedule.cross_attention(number)
        self.planned, self.gated = number >= gate - 1, number >= gate
        if self.lane.is_last_call:
            self.self_attention, self.cross_attention = map(_unkept, (self.self_attention, self.cross_attention))
            self.planned = self.gated
        if (self.self_attention, self.cross_attention) != ("run", "run"):
            self._wrap()
        if number in (gate - 1, gate):
            self._undecided = True
            self.lane.refresh(by=self)

    def decide(self, sample: Any) -> None:
        """Finds out whether the batch is guided, before its mean is stored and again before it is halved.

        One look would not do: with the gate at the first step, equal seeds could be mistaken for guidance.
        """
        if not self._undecided:
            return
        from hasten.methods._guidance import is_guided

        guided = is_guided(sample)
        if guided != self.guided:
            self.outputs.clear()
        self.guided, self._undecided = guided, False

    @property
    def averages(self) -> bool:
        return self.guided and self.planned and not self.gated


def _unkept(mode: Mode) -> Mode:
    return "run" if mode == "store" else mode


def _half_batch(current: Current[_State]) -> Wrapper:
    from hasten.methods._guidance import UNCONDITIONAL, doubled, half

    def wrapper(call_next: Callable[..., Any], module: Any, *args: Any, **kwargs: Any) -> Any:
        state = current()
        if not state.planned:
            return call_next(*args, **kwargs)
        sample = sample_of(module, args, kwargs)
        state.decide(sample)
        if not (state.gated and state.guided):
            return call_next(*args, **kwargs)
        batch, state.did_guidance_dropped = sample.shape[0], True
        return doubled(call_next(*half(args, batch, UNCONDITIONAL), **half(kwargs, batch, UNCONDITIONAL)))

    return wrapper


def _attention(current: Current[_State]) -> Wrapper:
    from hasten.methods._guidance import mean_of_halves

    def wrapper(
        call_next: Callable[..., Any],
        module: Any,
        hidden: Any,
        encoder_hidden_states: Any = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        state, crossing = current(), encoder_hidden_states is not None
        mode = state.cross_attention if crossing else state.self_attention
        if mode == "reuse" and module in state.outputs:
            state.did_reused = True
            return state.outputs[module]
        output = call_next(hidden, encoder_hidden_states, *args, **kwargs)
        if mode == "store" or (mode == "reuse" and crossing):
            state.outputs[module] = mean_of_halves(output) if state.averages else output
        return output

    return wrapper


METHOD = TGate()
