"""FasterCache: the difference between the halves of guidance changes slowly, so that one half can stand for
both."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from hasten.denoisers import attentions, is_crossing, is_joint, no_guided_batch, sample_of
from hasten.methods.base import MAX_STEPS, USUAL_STEPS, Method, Parameter, Patching, State, Step, at_shares
from hasten.plan import Parameters

if TYPE_CHECKING:
    from hasten.methods._patch import Current, Wrapper

SHARES = (0.6, 0.5, 0.4, 0.3, 0.2)
"""Shares of the number of steps at which the search lets the unconditional half begin to rest."""
FORWARD = 0.5
"""The factor by which the outputs of attention continue their last change; diffusers' default."""


class FasterCache(Method):
    """Computes the unconditional half of guidance from the conditional one at most steps.

    From ``first_step`` on, the unconditional half runs at every ``unconditional_interval``-th step. At the others
    it is the conditional half plus the last difference of the two. Each such step scales the low frequencies of
    that difference by ``alpha_low_frequency`` or, from ``high_frequency_step`` on, its high ones by
    ``alpha_high_frequency``. At those steps self-attention runs at every ``attention_interval``-th step, and
    otherwise continues by half of its last change.

    Example:
        >>> with hasten.accelerate(pipe, "faster_cache(unconditional_interval=5,first_step=10)"):
        ...     image = pipe("a strawberry").images[0]
    """

    name = "faster_cache"
    title = "FasterCache"
    aliases = ("faster cache", "cfg-cache", "cfg cache")
    summary = "makes the unconditional half of guidance of the conditional one at most steps"
    paper = (
        "Lv et al.: FasterCache: Training-Free Video Diffusion Model Acceleration with High Quality. "
        "ICLR 2025, arXiv:2410.19355"
    )
    order = 26
    replaces = ("features", "attention", "guidance")
    denoisers = ("unet", "transformer")
    by_default = False

    def parameters(self, pipe: Any = None, steps: int | None = None) -> tuple[Parameter, ...]:
        unconditional = "the interval of steps at which the unconditional half runs; 1 means always"
        attention = "the interval of steps at which self-attention runs beside a resting half; 1 means always"
        first, high = (
            "the first step that may do without the unconditional half",
            "the first step at which high frequencies are scaled instead of low ones",
        )
        return (
            _interval("unconditional_interval", 5, (2, 3, 5, 8), steps, unconditional),
            _interval("attention_interval", 2, (1, 2, 3), steps, attention),
            _from_step("first_step", 0.4, SHARES, steps, first),
            _from_step("high_frequency_step", 0.7, (0.7,), steps, high),
            _alpha("alpha_low_frequency", "low"),
            _alpha("alpha_high_frequency", "high"),
        )

    def unsupported(self, pipe: Any) -> str | None:
        return no_guided_batch(pipe, self.title)

    def install(self, pipe: Any, parameters: Parameters, patches: Patching) -> None:
        rhythm = _Rhythm(parameters)
        current = patches.listen(self, lambda: _State(rhythm))
        if rhythm.rests:
            patches.wrap(self, patches.denoiser, _guide(current))
        for attention in attentions(patches.denoiser) if rhythm.attention_rests else ():
            patches.wrap(self, attention, _go_on(current, is_joint(patches.denoiser)))

    def steps(
        self, pipe: Any, parameters: Parameters, steps: int, refreshes: Collection[int] = ()
    ) -> tuple[Step, ...]:
        rhythm = _Rhythm(parameters)
        return tuple(Step() if n in refreshes else rhythm.work(n) for n in range(steps))


def _interval(name: str, default: int, grid: tuple[int, ...], steps: int | None, meaning: str) -> Parameter:
    most = steps or MAX_STEPS
    legal = tuple(n for n in grid if n <= most)
    return Parameter(name, int, 1, most, min(default, most), neutral=1, grid=legal, meaning=meaning)


def _from_step(name: str, share: float, shares: tuple[float, ...], steps: int | None, meaning: str) -> Parameter:
    default = max(1, round(share * (steps or USUAL_STEPS)))
    grid = at_shares(shares, steps or USUAL_STEPS)
    return Parameter(name, int, 1, steps or MAX_STEPS, default, neutral=default, grid=grid, meaning=meaning)


def _alpha(name: str, which: str) -> Parameter:
    meaning = f"the factor for {which} frequencies of the difference at each step without the unconditional half"
    return Parameter(name, float, 0.0, 2.0, 1.1, neutral=1.1, grid=(1.1, 1.0), meaning=meaning, ordered=False)


class _Rhythm:
    """What runs at each step. Steps count from the first of the run, as in diffusers."""

    def __init__(self, parameters: Parameters) -> None:
        self.first, self._high = int(parameters["first_step"]), int(parameters["high_frequency_step"])
        self._both, self._attention = (
            int(parameters[name]) for name in ("unconditional_interval", "attention_interval")
        )
        self._alpha = float(parameters["alpha_low_frequency"]), float(parameters["alpha_high_frequency"])

    @property
    def rests(self) -> bool:
        """Whether the unconditional half rests at some step."""
        return self._both > 1

    @property
    def attention_rests(self) -> bool:
        """Whether self-attention rests at some step."""
        return self.rests and self._attention > 1

    def halves(self, step: int) -> bool:
        """Returns whether the unconditional half rests at this step."""
        return step >= self.first and step % self._both != 0

    def goes_on(self, step: int) -> bool:
        """Returns whether self-attention rests at this step as well."""
        return self.halves(step) and step % self._attention != 0

    def keeps(self, step: int) -> bool:
        """Returns whether the difference of the halves at this step can be needed later."""
        return self.rests and step >= self.first - 1

    def keeps_attention(self, step: int) -> bool:
        """Returns whether the output of self-attention at this step can be needed later.

        It can be from two steps before the first that may rest.
        """
        return self.attention_rests and step >= self.first - 2

    def scales(self, step: int) -> tuple[float, float]:
        """Returns the factors for the low and the high frequencies of the difference."""
        return (self._alpha[0], 1.0) if step < self._high else (1.0, self._alpha[1])

    def work(self, step: int) -> Step:
        """Returns the work that is left at this step."""
        rests = self.goes_on(step)
        return Step(
            self_attention=float(not rests),
            guidance=not self.halves(step),
            old_guidance=self.halves(step),
            variant=f"scaled {self.scales(step)}" if self.halves(step) else "",
            self_mode="reuse" if rests else "store" if self.keeps_attention(step) else "run",
        )


class _State(State):
    """The last difference of the halves, and the outputs of the attentions for the conditional half at the last
    two steps.

    ``half``: the conditional half runs alone at this step. ``keeps_attention``: the outputs of self-attention are
    stored at this step, as they are at all steps at which it may rest.
    """

    def __init__(self, rhythm: _Rhythm) -> None:
        self.half = self.keeps_attention = False
        self._rhythm, self._number = rhythm, 0
        self._spectrum: Any = None
        self._outputs: dict[Any, tuple[Any, Any]] = {}
        self._is_guided: bool | None = None

    def start(self) -> None:
        self._outputs.clear()
        self._spectrum = self._is_guided = None

    def step(self, number: int) -> None:
        self._number = number
        self.keeps_attention = self._rhythm.keeps_attention(number)

    def begin(self, sample: Any) -> None:
        """Decides whether the conditional half runs alone, for a sample (batch, channels, height, width)."""
        kept = self._spectrum is not None
        self.half = kept and self._rhythm.halves(self._number) and self._guided(sample)
        self.did_guidance_dropped = self.half

    def _guided(self, sample: Any) -> bool:
        """Returns whether the batch is a guided one. It asks after the first step, when equal seeds no longer look
        guided."""
        if self._is_guided is None:
            from hasten.methods._guidance import is_guided

            self._is_guided = is_guided(sample)
        return self._is_guided

    def keep(self, noise: Any) -> None:
        """Stores the difference of the halves after both ran and gave this noise (2n, channels, height, width)."""
        from hasten.methods._frequency import spectrum_between

        if noise.shape[0] % 2:
            self._is_guided = False
        if self._rhythm.keeps(self._number) and self._is_guided is not False:
            self._spectrum = spectrum_between(noise)

    def completed(self, noise: Any) -> Any:
        """Returns the noise (2n, …) with the conditional half (n, channels, height, width) below an estimate of
        the other."""
        import torch

        from hasten.methods._frequency import scaled, shifted

        self._spectrum = scaled(self._spectrum, *self._rhythm.scales(self._number))
        return torch.cat([shifted(noise, self._spectrum), noise])

    def attention(self, module: Any, compute: Callable[[], Any]) -> Any:
        """Returns the output of a self-attention at a step at which such outputs are stored."""
        if self.half and self._rhythm.goes_on(self._number) and module in self._outputs:
            output = _further(*self._outputs[module])
            self.did_forecast = True
        else:
            output = compute()
        if self._is_guided is not False:
            kept = output if self.half else _conditional(output)
            self._outputs[module] = (self._outputs.get(module, (kept, kept))[1], kept)
        return output


def _further(before: Any, last: Any) -> Any:
    """Returns what follows after two outputs, tensors or tuples of tensors, by continuing their change."""
    if isinstance(last, tuple):
        return tuple(map(_further, before, last))
    return last + (last - before) * FORWARD


def _conditional(output: Any) -> Any:
    """Returns the conditional half of an output, or all of it where the number of rows is odd and the batch
    unguided."""
    if isinstance(output, tuple):
        return tuple(map(_conditional, output))
    return output if output.shape[0] % 2 else output.chunk(2)[1]


def _guide(current: Current[_State]) -> Wrapper:
    from hasten.methods._guidance import CONDITIONAL, run_half, with_noise

    def wrapper(call_next: Callable[..., Any], module: Any, *args: Any, **kwargs: Any) -> Any:
        state, sample = current(), sample_of(module, args, kwargs)
        state.begin(sample)
        if state.half:
            output = run_half(call_next, args, kwargs, sample.shape[0], CONDITIONAL)
            return with_noise(output, state.completed(output[0]))
        output = call_next(*args, **kwargs)
        state.keep(output[0])
        return output

    return wrapper


def _go_on(current: Current[_State], joint: bool) -> Wrapper:
    def wrapper(call_next: Callable[..., Any], module: Any, *args: Any, **kwargs: Any) -> Any:
        state = current()
        if not state.keeps_attention or is_crossing(joint, args, kwargs):
            return call_next(*args, **kwargs)
        return state.attention(module, lambda: call_next(*args, **kwargs))

    return wrapper


METHOD = FasterCache()
