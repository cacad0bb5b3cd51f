"""Pyramid Attention Broadcast: in the middle of a run, the outputs of attention change little from step to
step."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, NamedTuple

from hasten.denoisers import attentions, denoiser_of, is_crossing, is_joint, no_attention
from hasten.methods.base import MAX_STEPS, USUAL_STEPS, Method, Mode, Parameter, Patching, State, Step, at_shares
from hasten.plan import Parameters

if TYPE_CHECKING:
    from hasten.methods._patch import Current, Wrapper

FIRST, LAST = (0.4, 0.3, 0.2, 0.1), (0.8, 1.0)
"""Shares of the number of steps at which a search lets reuse begin and end."""


class PyramidAttention(Method):
    """Reuses the outputs of attention at some steps between ``first_step`` and ``last_step``.

    There self-attention runs at every ``self_interval``-th step and cross-attention at every
    ``cross_interval``-th. Attention over image and text together counts as self-attention.

    Example:
        >>> with hasten.accelerate(pipe, "pyramid_attention(self_interval=2,cross_interval=3)"):
        ...     image = pipe("a strawberry").images[0]
    """

    name = "pyramid_attention"
    title = "Pyramid Attention Broadcast"
    aliases = ("pyramid attention", "pab", "attention broadcast", "金字塔注意力广播", "金字塔注意力")
    summary = "gives attention's last output again at some steps in the middle of a run"
    paper = "Zhao et al.: Real-Time Video Generation with Pyramid Attention Broadcast. ICLR 2025, arXiv:2408.12588"
    order = 24
    replaces = ("attention",)
    denoisers = ("unet", "transformer")
    by_default = False

    def parameters(self, pipe: Any = None, steps: int | None = None) -> tuple[Parameter, ...]:
        most = steps or MAX_STEPS
        return (
            _interval("self_interval", 2, (1, 2, 3, 4), "self-attention", most),
            _cross(pipe, most),
            Parameter(
                "first_step",
                int,
                low=1,
                high=most,
                default=max(1, round(0.2 * (steps or USUAL_STEPS))),
                neutral=1,
                grid=at_shares(FIRST, steps or USUAL_STEPS),
                meaning="the first step that may reuse; attention runs at all steps before it",
            ),
            Parameter(
                "last_step",
                int,
                low=0,
                high=MAX_STEPS,
                default=most - 1,
                neutral=most - 1,
                grid=tuple(n - 1 for n in at_shares(LAST, steps or USUAL_STEPS)),
                meaning="the last step that may reuse; attention runs at all steps after it",
            ),
        )

    def unsupported(self, pipe: Any) -> str | None:
        return no_attention(pipe, self.title)

    def install(self, pipe: Any, parameters: Parameters, patches: Patching) -> None:
        modes = _Modes.of(parameters)
        current = patches.listen(self, lambda: _State(modes))
        broadcast = _broadcast(current, is_joint(patches.denoiser))
        for attention in attentions(patches.denoiser) if modes.reuse else ():
            patches.wrap(self, attention, broadcast)

    def steps(
        self, pipe: Any, parameters: Parameters, steps: int, refreshes: Collection[int] = ()
    ) -> tuple[Step, ...]:
        modes = _Modes.of(parameters)
        return tuple(_step(*modes.at(number), anew=number in refreshes) for number in range(steps))


def _interval(name: str, default: int, grid: tuple[int, ...], what: str, most: int) -> Parameter:
    legal = tuple(n for n in grid if n <= most)
    meaning = f"the interval of steps at which {what} runs; 1 means always"
    return Parameter(
        name, int, low=1, high=most, default=min(default, most), neutral=1, grid=legal, meaning=meaning
    )


def _cross(pipe: Any, most: int) -> Parameter:
    """Returns the parameter of cross-attention's interval, which can only be 1 where the model has no
    cross-attention."""
    has = pipe is None or not is_joint(denoiser_of(pipe))
    grid, default, most = ((1, 2, 3, 5), 3, most) if has else ((1,), 1, 1)
    return _interval("cross_interval", default, grid, "cross-attention", most)


def _step(own: Mode, cross: Mode, anew: bool) -> Step:
    """Returns the work of a step at which attentions have these modes; with ``anew``, they have nothing stored."""
    return Step(
        self_attention=float(anew or own != "reuse"),
        cross_attention=float(anew or cross != "reuse"),
        self_mode="store" if anew and own == "reuse" else own,
    )


class _Modes(NamedTuple):
    """What the attentions do at each step. Steps count from the first of the run, not of the window, as in
    diffusers. An output that no step can reuse is not stored."""

    own: int
    cross: int
    first: int
    last: int

    @classmethod
    def of(cls, parameters: Parameters) -> _Modes:
        return cls(*(int(parameters[n]) for n in ("self_interval", "cross_interval", "first_step", "last_step")))

    @property
    def reuse(self) -> bool:
        """Whether any attention is reused at some step of a run that is long enough."""
        return self._rests(max(self.own, self.cross))

    def at(self, step: int) -> tuple[Mode, Mode]:
        """Returns the modes of self-attention and of cross-attention."""
        return self._mode(self.own, step), self._mode(self.cross, step)

    def _mode(self, interval: int, step: int) -> Mode:
        if self.first <= step <= self.last and step % interval:
            return "reuse"
        return "store" if self._rests(interval) and step < self.last else "run"

    def _rests(self, interval: int) -> bool:
        return interval > 1 and self.first <= self.last


class _State(State):
    """The stored outputs of the attentions."""

    def __init__(self, modes: _Modes) -> None:
        self._modes = modes
        self._own: Mode = "run"
        self._cross: Mode = "run"
        self._outputs: dict[Any, Any] = {}

    def start(self) -> None:
        self._outputs.clear()

    def step(self, number: int) -> None:
        self._own, self._cross = self._modes.at(number)

    @property
    def idle(self) -> bool:
        """Whether nothing is reused or stored at this step."""
        return self._own == self._cross == "run"

    def output(self, attention: Any, crossing: bool, compute: Callable[[], Any]) -> Any:
        """Returns the output of the attention at this call."""
        mode = self._cross if crossing else self._own
        if mode == "reuse" and attention in self._outputs:
            self.did_reused = True
            return self._outputs[attention]
        output = compute()
        if mode != "run":
            self._outputs[attention] = output
        return output


def _broadcast(current: Current[_State], joint: bool) -> Wrapper:
    def wrapper(call_next: Callable[..., Any], module: Any, *args: Any, **kwargs: Any) -> Any:
        state = current()
        if state.idle:
            return call_next(*args, **kwargs)
        return state.output(module, is_crossing(joint, args, kwargs), lambda: call_next(*args, **kwargs))

    return wrapper


METHOD = PyramidAttention()
