"""Profiles the layers of a pipeline's denoiser, from runs of the baseline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from hasten.denoisers import denoiser_of, not_declared
from hasten.errors import InputError, UnsupportedError
from hasten.measure.environment import environment
from hasten.measure.failures import plan_failures
from hasten.measure.lock import device_lock
from hasten.measure.merging import merged_share
from hasten.measure.pipeline import Pipeline
from hasten.plan import Plan
from hasten.records import Record

if TYPE_CHECKING:
    from hasten.measure._halves import Seconds
    from hasten.measure._runs import Runs

PROFILED_STEPS = 4
"""The number of steps of a profiled run. Parts are timed call by call, so that more steps would tell no more."""
Kind = Literal[
    "resnet", "self_attention", "cross_attention", "feed_forward", "transformer", "sampler", "block", "denoiser"
]
"""What a part computes. *transformer*, *block* and *denoiser* are what such a module does beside the parts inside
it."""


class Merged(Record):
    """The seconds of a self-attention with ``share`` of its tokens merged, including the merging."""

    share: float
    full_s: float
    half_s: float


class Part(Record):
    """A part of the denoiser and its seconds per call, without those of the parts inside it.

    Attributes:
        module: the name of the layer (``down_blocks.1.attentions.0``) or, for what a block does itself, of the
            block; ``""`` for the denoiser.
        kind: what it computes.
        full_s: the seconds at the setting's batch.
        half_s: the seconds without guidance.
        tokens: the number of tokens of a self-attention.
        merged: the times of a self-attention with merged tokens.
    """

    module: str
    kind: Kind
    full_s: float
    half_s: float
    tokens: int = 0
    merged: tuple[Merged, ...] = ()

    @property
    def block(self) -> str:
        """The block that the part belongs to (``down_blocks.1``), or ``""`` for the denoiser itself."""
        names = self.module.split(".")
        return ".".join(names[:2] if names[1:2] and names[1].isdecimal() else names[:1])

    def seconds(self, *, guidance: bool = True, share: float = 0.0) -> float:
        """Returns the seconds per call with ``share`` of the tokens merged, from a polynomial through the measured
        shares.

        Raises:
            InputError: the profile has no time of this part with merged tokens.
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
    """Times of one setting's baseline in seconds, as lower quartiles over the denoiser's calls in ``repeats``
    runs.

    They sum to the time of a run without hooks: ``latency_s`` = ``text_s`` + ``decode_s`` + ``rest_s`` + ``calls``
    · (``between_s`` + the sum of all ``full_s``). On a GPU that is never idle they are those of a whole run, in
    which it gets slower.

    Attributes:
        setting: the setting, as JSON text.
        environment: hardware and versions.
        repeats: the number of runs of each kind.
        steps: the number of steps of a run.
        calls: the number of the denoiser's calls in a run.
        guided: whether the setting has guidance. Without it both halves are the same.
        latency_s: the time of a run.
        half_latency_s: the time of a run without guidance.
        text_s: text encoding.
        decode_s: decoding.
        between_s: the scheduler's and the pipeline's time after each call of the denoiser.
        half_between_s: the same without guidance; None in older profiles, where it equals ``between_s``.
        rest_s: everything else in a run.
        hook_s: the cost of a hooked module, which was subtracted from all parts.
        parts: the parts of the denoiser.
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
    half_between_s: float | None = None
    parts: tuple[Part, ...]

    def between(self, *, guidance: bool = True) -> float:
        """Returns the seconds after each call of the denoiser."""
        return self.between_s if guidance or self.half_between_s is None else self.half_between_s

    def by_block(self) -> dict[str, dict[Kind, float]]:
        """Returns the seconds per call of the denoiser, by block and kind of part."""
        found: dict[str, dict[Kind, float]] = {}
        for part in self.parts:
            kinds = found.setdefault(part.block, {})
            kinds[part.kind] = kinds.get(part.kind, 0.0) + part.full_s
        return found


def profile_blocks(
    pipeline: Pipeline,
    *,
    steps: int = PROFILED_STEPS,
    repeats: int = 3,
    warmup: int = 1,
    report: Callable[[str], None] | None = None,
) -> BlockProfile:
    """Profiles the baseline of a setting, with guidance and without, alone on the device.

    Each repeat has a plain and a hooked run of both, and hooked ones at the methods' probes. With one method that
    has three probes, these are 10 runs; on a GPU there are also plain ones at the probes, 16 in all. Runs are
    timed call by call of the denoiser, so that a disturbance of some calls, or of all runs in one repeat of three,
    does not count.

    Args:
        pipeline: the pipeline in its setting.
        steps: the number of steps of each run; the setting's own where that is smaller.
        repeats: the number of runs of each kind.
        warmup: the number of untimed runs of each kind before.
        report: called with a few words about what is being done.

    Raises:
        InputError: ``steps`` or ``repeats`` is below 1, or ``warmup`` below 0.
        UnsupportedError: the denoiser's class is not declared, it is compiled, or modules cannot be timed on the
            device.
        MeasurementError: a run failed.
    """
    if min(steps, repeats) < 1 or warmup < 0:
        raise InputError(
            f"{repeats} repeats of {steps} steps after {warmup} warm-up runs: allowed are 1 or more, 1 or more, "
            "and 0 or more."
        )
    from hasten.measure._runs import Runs

    _require_profilable(pipeline)
    own = pipeline.setting
    short = pipeline.at(replace(own, steps=min(own.steps, steps)))
    with device_lock(own.device), plan_failures():
        runs = Runs(short, pipeline if own.steps > steps > 1 else None)
        for _ in range(warmup):
            runs.warm_up()
        for turn in range(repeats):
            if report:
                report(f"profile {turn + 1}/{repeats}")
            runs.take()
    return _profile(runs, repeats)


def _require_profilable(pipeline: Pipeline) -> None:
    pipe, device = pipeline.pipe, pipeline.setting.device
    if reason := not_declared(pipe, "the cost model"):
        raise UnsupportedError(f"The pipeline's blocks cannot be profiled: {reason}.")
    if pipeline.denoiser is not denoiser_of(pipe):
        raise UnsupportedError(
            "The denoiser is compiled, so that its blocks cannot be timed apart. Profile it before it is compiled."
        )
    if not device.startswith(("cpu", "cuda")):
        raise UnsupportedError(f"The device is {device!r}: blocks can be timed on the CPU and on CUDA.")


def _profile(runs: Runs, repeats: int) -> BlockProfile:
    from hasten.measure._halves import Half
    from hasten.measure._runs import hides_hook_cost

    full, setting = Half(runs, "full"), runs.pipeline.setting
    half, between_s = Half(runs, "half") if runs.guided else full, full.outside["between"]
    if gpu := hides_hook_cost(setting.device):
        # Schedulers wait for a GPU that lags behind. This wait belongs to a call with guidance, and does not occur
        # in a cheaper call.
        between_s = min(between_s, half.outside["between"])
    half_between_s = half.outside["between"] if gpu else between_s
    return BlockProfile(
        setting=setting.key(),
        environment=environment(setting.device, setting.dtype),
        repeats=repeats,
        steps=setting.steps,
        calls=full.calls,
        guided=runs.guided,
        latency_s=full.latency_s,
        half_latency_s=half.latency_s,
        text_s=full.outside["text"],
        decode_s=full.outside["decode"],
        between_s=between_s,
        half_between_s=half_between_s,
        rest_s=full.outside["rest"],
        hook_s=full.hook_s,
        parts=_parts(runs, full.seconds(between_s), half.seconds(half_between_s)),
    )


def _parts(runs: Runs, full: Seconds, half: Seconds) -> tuple[Part, ...]:
    from hasten.measure._halves import ratios_of, tokens_of

    tokens, ratios = tokens_of(runs), {plan: ratios_of(runs, plan) for plan in runs.probes}

    def merged(module: str, kind: Kind) -> tuple[Merged, ...]:
        shares = {merged_share(module, tokens.get(module, 0), ratios[p]): p for p in reversed(runs.probes)}
        return tuple(
            Merged(share=share, full_s=full[plan][module, kind], half_s=half[plan][module, kind])
            for share, plan in sorted(shares.items())
            if share
        )

    return tuple(
        Part(
            module=module,
            kind=kind,
            full_s=full[Plan()][module, kind],
            half_s=half[Plan()][module, kind],
            tokens=tokens.get(module, 0) if kind == "self_attention" else 0,
            merged=merged(module, kind) if kind == "self_attention" else (),
        )
        for module, kind in full[Plan()]
    )
