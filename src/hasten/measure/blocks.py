"""Where the time of a pipeline goes: layer by layer of the denoiser, from profiled runs of the baseline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from hasten.errors import InputError, UnsupportedError
from hasten.measure.environment import environment
from hasten.measure.failures import plan_failures
from hasten.measure.lock import device_lock
from hasten.measure.pipeline import Pipeline
from hasten.methods import work
from hasten.methods._denoiser import ANY, denoiser_of, not_among
from hasten.plan import Plan
from hasten.records import Record

if TYPE_CHECKING:
    from hasten.measure._runs import Runs

PROFILED_STEPS = 4
"""A profile of so few steps tells the time of each part as well as one of all: parts are timed call by call."""
Kind = Literal[
    "resnet", "self_attention", "cross_attention", "feed_forward", "transformer", "sampler", "block", "denoiser"
]
"""What a part computes; the last four but *sampler* are what their module does beside its own parts."""


class Merged(Record):
    """A self-attention's seconds with ``share`` of its tokens merged away, the merging included."""

    share: float
    full_s: float
    half_s: float


class Part(Record):
    """A part of the denoiser and its seconds a call, without those of the parts within it.

    ``module`` is the layer's name (``down_blocks.1.attentions.0``), the block's for its rest, ``""`` for the
    denoiser's own. ``full_s`` is at the setting's batch, ``half_s`` without guidance. ``tokens``: how many a
    self-attention has.
    """

    module: str
    kind: Kind
    full_s: float
    half_s: float
    tokens: int = 0
    merged: tuple[Merged, ...] = ()

    @property
    def block(self) -> str:
        """The block that the part belongs to (``down_blocks.1``), ``""`` for the denoiser itself."""
        names = self.module.split(".")
        return ".".join(names[:2] if names[1:2] and names[1].isdecimal() else names[:1])

    def seconds(self, *, guidance: bool = True, share: float = 0.0) -> float:
        """Seconds a call with ``share`` of the tokens merged away: the polynomial through what was measured.

        Raises:
            InputError: the profile never saw this part's tokens merged.
        """
        if share == 0:
            return self.full_s if guidance else self.half_s
        if not self.merged:
            raise InputError(f"The profile has no time of {self.module} with merged tokens: profile it anew.")
        import numpy as np

        times = [m.full_s if guidance else m.half_s for m in self.merged]
        shares = [m.share for m in self.merged]
        curve = np.polynomial.Polynomial.fit(shares, times, min(2, len(shares) - 1), domain=[0, 1], window=[0, 1])
        return max(0.0, float(curve(share)))


class BlockProfile(Record):
    """Times of one setting's baseline, medians over the denoiser's calls in ``repeats`` runs, in seconds.

    They sum to what a run without hooks takes: ``latency_s`` = ``text_s`` + ``decode_s`` + ``rest_s`` +
    ``calls`` · (``between_s`` + the sum of all ``full_s``). ``calls`` are the denoiser's; ``between_s`` is the
    scheduler's and the pipeline's time after each, ``rest_s`` what is left once a run. ``half_latency_s`` is
    the latency without guidance; where the setting has none (``guided`` False) both halves are the same.
    ``hook_s`` is what a hooked module costs, taken off all parts.
    """

    setting: str
    environment: dict[str, str]
    repeats: int
    steps: int
    calls: int
    guided: bool
    latency_s: float
    half_latency_s: float
    text_s: float
    decode_s: float
    between_s: float
    rest_s: float
    hook_s: float
    parts: tuple[Part, ...]

    def by_block(self) -> dict[str, dict[Kind, float]]:
        """Seconds a call of the denoiser, by block and kind of part."""
        found: dict[str, dict[Kind, float]] = {}
        for part in self.parts:
            kinds = found.setdefault(part.block, {})
            kinds[part.kind] = kinds.get(part.kind, 0.0) + part.full_s
        return found


def merged_share(module: str, tokens: int, merged: Mapping[str, float]) -> float:
    """The share of a layer's tokens that is really merged: whole tokens, of the blocks within the layer."""
    ratio = max((r for name, r in merged.items() if within(name, module)), default=0.0)
    return int(tokens * ratio) / tokens if tokens else 0.0


def within(module: str, outer: str) -> bool:
    """The module is the outer one or inside it, by their names."""
    return module == outer or module.startswith(f"{outer}.")


def profile_blocks(
    pipeline: Pipeline,
    *,
    steps: int = PROFILED_STEPS,
    repeats: int = 3,
    warmup: int = 1,
    report: Callable[[str], None] | None = None,
) -> BlockProfile:
    """Profiles the baseline of a setting, with guidance and without, alone on the device.

    Each repeat has a plain and a hooked run of both, and hooked ones at the methods' probes: with one method
    that has three probes, 10 runs; on a GPU also plain ones at the probes, 16. Runs are timed call by call of the
    denoiser, so that what disturbs a few calls, or all runs of one repeat in three, does not count.

    Args:
        steps: of each run; the setting's own where those are fewer.

    Raises:
        InputError: ``steps`` or ``repeats`` below 1, or ``warmup`` below 0.
        UnsupportedError: the denoiser's blocks are not known, it is compiled, or the device keeps no times of
            modules.
        MeasurementError: a run failed.
    """
    if min(steps, repeats) < 1 or warmup < 0:
        raise InputError(
            f"{repeats} repeats of {steps} steps after {warmup} warm-up runs: allowed are 1 or more, 1 or more, "
            "and 0 or more."
        )
    from hasten.measure._runs import Runs

    _require_profilable(pipeline)
    pipeline = pipeline.at(replace(pipeline.setting, steps=min(pipeline.setting.steps, steps)))
    with device_lock(pipeline.setting.device), plan_failures():
        runs = Runs(pipeline)
        for _ in range(warmup):
            runs.warm_up()
        for turn in range(repeats):
            if report:
                report(f"profile {turn + 1}/{repeats}")
            runs.take()
    return _profile(runs, repeats)


def _require_profilable(pipeline: Pipeline) -> None:
    pipe, device = pipeline.pipe, pipeline.setting.device
    if reason := not_among(ANY, pipe, "the cost model"):
        raise UnsupportedError(f"The pipeline's blocks cannot be profiled: {reason}.")
    if pipeline.denoiser is not denoiser_of(pipe):
        raise UnsupportedError(
            "The denoiser is compiled, so that its blocks cannot be timed apart. Profile it before it is compiled."
        )
    if not device.startswith(("cpu", "cuda")):
        raise UnsupportedError(f"The device is {device!r}: blocks can be timed on the CPU and on CUDA.")


def _profile(runs: Runs, repeats: int) -> BlockProfile:
    from hasten.measure._hooks import outside_s
    from hasten.measure.pieces import seconds_of

    baseline, setting = runs.hooked["full", Plan()], runs.pipeline.setting
    latency_s, calls = seconds_of(runs.plain["full", Plan()]), baseline[0].calls
    hooked_s = seconds_of([run.pieces_s for run in baseline])
    hook_s = max(0.0, hooked_s - latency_s) / sum(baseline[0].modules.values())
    parts, outside = _Seconds(runs, hook_s), outside_s(baseline, hook_s)
    each_call = outside["between"] + sum(parts.full[Plan()].values())
    scale = latency_s / (outside["text"] + outside["decode"] + outside["rest"] + calls * each_call)
    return BlockProfile(
        setting=setting.key(),
        environment=environment(setting.device, setting.dtype),
        repeats=repeats,
        steps=setting.steps,
        calls=calls,
        guided=runs.guided,
        latency_s=latency_s,
        half_latency_s=seconds_of(runs.plain["half", Plan()]) if runs.guided else latency_s,
        text_s=scale * outside["text"],
        decode_s=scale * outside["decode"],
        between_s=scale * outside["between"],
        rest_s=scale * outside["rest"],
        hook_s=hook_s,
        parts=parts.scaled(scale),
    )


class _Seconds:
    """Seconds of each part a call of the denoiser, by plan, at both halves."""

    def __init__(self, runs: Runs, hook_s: float) -> None:
        from hasten.measure._hooks import parts_s

        self._runs, self._tokens = runs, runs.hooked["full", Plan()][0].tokens
        halves = {
            half: {plan: parts_s(runs.hooked[half, plan], hook_s) for plan in (Plan(), *runs.probes)}
            for half in runs.halves
        }
        self.full, self.half = halves["full"], halves.get("half", halves["full"])
        self._ratios = {plan: work(plan, runs.pipeline.pipe, 1)[0].merged for plan in runs.probes}

    def scaled(self, scale: float) -> tuple[Part, ...]:
        corrections = {key: self._correction(*key, scale) for key in self._runs.hooked}
        return tuple(
            Part(
                module=module,
                kind=kind,
                full_s=scale * self.full[Plan()][module, kind],
                half_s=scale * self.half[Plan()][module, kind],
                tokens=self._tokens.get(module, 0) if kind == "self_attention" else 0,
                merged=self._merged(module, scale, corrections) if kind == "self_attention" else (),
            )
            for module, kind in self.full[Plan()]
        )

    def _merged(
        self, module: str, scale: float, corrections: Mapping[tuple[str, Plan], float]
    ) -> tuple[Merged, ...]:
        found: dict[float, Merged] = {}
        for plan in self._runs.probes:
            share = merged_share(module, self._tokens[module], self._ratios[plan])
            if share:
                full_s, half_s = (
                    corrections.get((half, plan), corrections["full", plan])
                    * scale
                    * side[plan][module, "self_attention"]
                    for half, side in (("full", self.full), ("half", self.half))
                )
                found.setdefault(share, Merged(share=share, full_s=full_s, half_s=half_s))
        return tuple(found[share] for share in sorted(found))

    def _correction(self, half: str, plan: Plan, scale: float) -> float:
        """Of the self-attentions' hooked seconds at a probe: with it those that merge sum to what they take in the
        baseline and what the plain run at the probe takes beyond its own. 1 where there is no such run."""
        from hasten.measure.pieces import seconds_of

        plain = self._runs.plain
        if not plan or (half, plan) not in plain:
            return 1.0
        merging = [m for m, tokens in self._tokens.items() if merged_share(m, tokens, self._ratios[plan])]
        side = self.full if half == "full" else self.half
        without_s, with_s = (scale * sum(side[p][m, "self_attention"] for m in merging) for p in (Plan(), plan))
        calls = self._runs.hooked[half, plan][0].calls
        beyond_s = (seconds_of(plain[half, plan]) - seconds_of(plain[half, Plan()])) / calls
        return max(0.0, without_s + beyond_s) / with_s
