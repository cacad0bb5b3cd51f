"""Step schedule: lists say what each step computes, as measured for the setting, instead of an interval."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Any

from hasten.denoisers import sample_of, transformer_blocks
from hasten.methods._branch import branch_parameter, copied, no_branch, partial_step, scales_in_place, skipped
from hasten.methods._least_costly import least_costly
from hasten.methods._measured import Drawing, MeasuresGrid
from hasten.methods._reuse_costs import ReuseCosts, no_costs
from hasten.methods.base import MAX_STEPS, Mode, Parameter, Patching, State, Step, at_shares
from hasten.plan import Parameters, Value, step_list, steps_of

if TYPE_CHECKING:
    from hasten.methods._patch import Current, Wrapper

SHARES = (1.0, 0.88, 0.76, 0.64, 0.56, 0.48, 0.4, 0.36, 0.32, 0.28, 0.24, 0.2, 0.16, 0.12, 0.08)
"""Shares of the number of steps that the lists of a search contain."""
FULL_POWER, GUIDED_POWER = 1.2, 1.6
"""How much denser the lists are at early steps where nothing was measured; 1 spreads them evenly."""
REUSED = "1: at the other steps guidance goes on by the difference of its halves at the last one; 0: it does not"


class Schedule(MeasuresGrid):
    """Runs the whole UNet at ``full_steps``, and both halves of guidance at ``guided_steps``.

    At steps without the whole UNet only the layers outside the skip branch run, as in DeepCache. At steps without
    both halves the conditional half runs alone. Guidance continues there with the difference between the halves
    that was computed last; with ``reuse_guidance`` 0 there is none, as behind T-GATE's gate.

    A step that reuses features which were stored without guidance runs without it as well, whatever the list says:
    its halves would have different ages, and guidance would amplify their difference.

    Between full steps the self-attention of the layers that still run computes at every ``attention_interval``-th
    step, counted from the full one, and otherwise returns its last output, as T-GATE's does.

    Example:
        >>> with hasten.accelerate(pipe, "schedule(full_steps=0-3:6:9,guided_steps=0-9)"):
        ...     image = pipe("a strawberry", num_inference_steps=12).images[0]
    """

    name = "schedule"
    title = "Step schedule"
    aliases = ("schedule of steps",)
    summary = "reuses deep features and guidance at the steps where that was measured to cost least"
    paper = "hasten's own; the reuse is that of Ma, Fang, Wang: DeepCache. CVPR 2024, arXiv:2312.00858"
    order = 25
    replaces = ("features", "attention", "guidance")
    compilable = True
    kept_as = "step sensitivity"

    def parameters(self, pipe: Any = None, steps: int | None = None) -> tuple[Parameter, ...]:
        return (
            branch_parameter("branch_id", pipe),
            _list("full_steps", steps, FULL_POWER, "the steps at which the whole UNet runs"),
            _list("guided_steps", steps, GUIDED_POWER, "the steps at which both halves of guidance run"),
            Parameter("reuse_guidance", int, 0, 1, 1, 1, (1, 0), REUSED, allowed=(0, 1), ordered=False),
            _attention_interval(steps or MAX_STEPS),
        )

    def unsupported(self, pipe: Any) -> str | None:
        return no_branch(pipe, self.title)

    def install(self, pipe: Any, parameters: Parameters, patches: Patching) -> None:
        current = patches.listen(self, lambda: _State(parameters, patches.denoiser))
        patches.wrap(self, patches.denoiser, _guide(current))
        resting = [module for _, module in skipped(patches.denoiser, int(parameters["branch_id"]))]
        for module in resting:
            patches.wrap(self, module, _reuse(current))
        rests = int(parameters["attention_interval"]) > 1
        for attention in _running(patches.denoiser, resting) if rests else ():
            patches.wrap(self, attention, _attend(current))

    def steps(
        self, pipe: Any, parameters: Parameters, steps: int, refreshes: Collection[int] = ()
    ) -> tuple[Step, ...]:
        full = {*steps_of(parameters["full_steps"]), *refreshes}
        guided = {*steps_of(parameters["guided_steps"]), *refreshes}
        reusing = partial_step(pipe, int(parameters["branch_id"]))
        reuses = bool(parameters["reuse_guidance"])
        attends = _Attends(int(parameters["attention_interval"]))
        runs: Mode = "store" if attends.interval > 1 else "run"
        kinds = {
            (whole, both, attending): replace(
                Step() if whole else reusing,
                guidance=both,
                old_guidance=reuses and not both,
                self_attention=float(attending),
                self_mode=runs if attending else "reuse",
            )
            for whole, both, attending in product((True, False), repeat=3)
        }
        found, stored_both = [], True
        for number in range(steps):
            whole = number in full
            both = number in guided and (whole or stored_both)
            stored_both = both if whole else stored_both
            attends.step(number, whole)
            found.append(kinds[whole, both, attends.at(half=not both)])
        return tuple(found)

    def measure(self, drawing: Drawing) -> Mapping[str, Any]:
        """Measures the costs of reusing deep features, for ``full_steps``, and of reusing guidance, for
        ``guided_steps``.

        Those of guidance are zero where the setting has none.
        """
        costs = ReuseCosts(drawing)
        guided = bool(drawing.pipe.do_classifier_free_guidance)
        return {
            "full_steps": costs.of("full_steps", "deep features"),
            "guided_steps": costs.of("guided_steps", "guidance") if guided else no_costs(drawing.steps),
        }

    def measured_grid(self, found: Mapping[str, Any], steps: int) -> Mapping[str, tuple[Value, ...]]:
        """Returns the lists of least cost, one of each length. A list whose reuse costs nothing keeps all
        steps."""
        return {name: _least_costly_lists(costs, steps) for name, costs in found.items()}


def _least_costly_lists(costs: Sequence[Sequence[float]], steps: int) -> tuple[Value, ...]:
    by_count = least_costly(costs)
    counts = at_shares(SHARES, steps) if any(map(any, costs)) else (steps,)
    return tuple(step_list(by_count[steps - count]) for count in counts)


class _Attends:
    """Whether self-attention runs at a step, and whether its stored output is of one half only."""

    def __init__(self, interval: int) -> None:
        self.interval = interval
        self.half = False
        self._last, self._due = 0, True

    def step(self, number: int, full: bool) -> None:
        self._last = number if full else self._last
        self._due = (number - self._last) % self.interval == 0

    def at(self, half: bool) -> bool:
        """Returns whether self-attention runs at a call with one half or both; stored outputs of one half cannot
        serve both."""
        attends = self._due or (self.half and not half)
        self.half = half if attends else self.half
        return attends


def _attention_interval(most: int) -> Parameter:
    grid = tuple(dict.fromkeys(n for n in (1, 2, 3, most) if n <= most))
    meaning = "the interval of steps at which self-attention runs between full steps; 1 means always"
    return Parameter(
        "attention_interval", int, low=1, high=MAX_STEPS, default=1, neutral=1, grid=grid, meaning=meaning
    )


@lru_cache(maxsize=2 * MAX_STEPS)
def _list(name: str, steps: int | None, power: float, meaning: str) -> Parameter:
    everything = step_list(range(steps or MAX_STEPS))
    counts = dict.fromkeys(max(1, round(share * steps)) for share in SHARES) if steps else ()
    lists = tuple(step_list(_spread(steps or 0, count, power)) for count in counts)
    high = (steps or MAX_STEPS) - 1
    return Parameter(name, str, 0, high, everything, everything, lists, f"{meaning}; the first always is one")


def _spread(steps: int, count: int, power: float) -> list[int]:
    """Returns ``count`` of the steps, 0 among them, denser at early steps for a larger ``power``."""
    found = [0]
    for i in range(1, count):
        found.append(max(found[-1] + 1, int(steps * (i / count) ** power)))
    return found


class _State(State):
    """What is stored, and what runs at this call.

    ``full``: nothing rests. ``half``: the conditional half runs alone. ``cuts``: only that half of stored outputs
    is used. ``difference``: the conditional minus the unconditional half, (n, channels, height, width), where both
    ran last; ``reuses``: guidance continues with it. ``attention``: the last outputs of the self-attentions, of
    both halves or one; ``attends`` tells which, and when they run.
    """

    def __init__(self, parameters: Parameters, unet: Any) -> None:
        self.outputs: dict[Any, Any] = {}
        self.attention: dict[Any, Any] = {}
        self.attends = _Attends(int(parameters["attention_interval"]))
        self.difference: Any = None
        self.full, self.half, self.cuts, self.copies = True, False, False, False
        self.attends_now = self.cuts_attention = False
        self.batch = 0
        self.reuses = bool(parameters["reuse_guidance"])
        self._unet = unet
        self._full_steps = frozenset(steps_of(parameters["full_steps"]))
        self._guided_steps = frozenset(steps_of(parameters["guided_steps"]))
        self._listed, self._stored_half = True, False
        self._is_guided: bool | None = None

    def start(self) -> None:
        self.outputs.clear()
        self.attention.clear()
        self.difference = self._is_guided = None

    def step(self, number: int) -> None:
        anew = not self.outputs
        self.full, self._listed = anew or number in self._full_steps, anew or number in self._guided_steps
        self.copies = scales_in_place(self._unet)
        self.attends.step(number, self.full)

    def call(self, sample: Any) -> None:
        """Decides what runs at this call of the denoiser, for a sample (batch, channels, height, width)."""
        self.batch = sample.shape[0]
        if self.full:
            self.half = self._stored_half = not self._listed and self._guided(sample)
        else:
            self.half = self._stored_half or (not self._listed and self._guided(sample))
        self.cuts = self.half and not self._stored_half
        self.attends_now = self.attends.at(self.half)
        self.cuts_attention = self.half and not self.attends.half
        self.did_reused, self.did_guidance_dropped = not self.full or not self.attends_now, self.half

    def _guided(self, sample: Any) -> bool:
        """Returns whether the batch is a guided one. It asks after the first step, when equal seeds no longer look
        guided."""
        if self._is_guided is None:
            from hasten.methods._guidance import is_guided

            self._is_guided = self.difference is not None and is_guided(sample)
        return self._is_guided


def _guide(current: Current[_State]) -> Wrapper:
    from hasten.methods._guidance import CONDITIONAL, between_halves, doubled, guided_by, run_half

    def wrapper(call_next: Callable[..., Any], module: Any, *args: Any, **kwargs: Any) -> Any:
        state = current()
        state.call(sample_of(module, args, kwargs))
        if state.half:
            output = run_half(call_next, args, kwargs, state.batch, CONDITIONAL)
            return guided_by(output, state.difference) if state.reuses else doubled(output)
        output = call_next(*args, **kwargs)
        state.difference = between_halves(output[0])
        return output

    return wrapper


def _reuse(current: Current[_State]) -> Wrapper:
    from hasten.methods._guidance import CONDITIONAL, half

    def wrapper(call_next: Callable[..., Any], module: Any, *args: Any, **kwargs: Any) -> Any:
        state = current()
        if state.full:
            state.outputs[module] = call_next(*args, **kwargs)
        output = state.outputs[module]
        if state.cuts:
            output = half(output, state.batch, CONDITIONAL)
        return copied(output) if state.copies else output

    return wrapper


def _running(unet: Any, resting: Sequence[Any]) -> Iterator[Any]:
    """Yields the self-attentions outside of the modules that rest."""
    inside = {module for outer in resting for module in outer.modules()}
    yield from (b.module.attn1 for b in transformer_blocks(unet) if b.module.attn1 not in inside)


def _attend(current: Current[_State]) -> Wrapper:
    from hasten.methods._guidance import CONDITIONAL, half

    def wrapper(call_next: Callable[..., Any], module: Any, *args: Any, **kwargs: Any) -> Any:
        state = current()
        if state.attends_now:
            state.attention[module] = call_next(*args, **kwargs)
            return state.attention[module]
        output = state.attention[module]
        return half(output, state.batch, CONDITIONAL) if state.cuts_attention else output

    return wrapper


METHOD = Schedule()
