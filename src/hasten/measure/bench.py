"""The bench, which measures the speed and the quality of plans in one setting."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hasten.measure._cache import ImageCache
from hasten.measure._defaults import known_model, loaded, prompts_of, scorer_of
from hasten.measure.contract import DEFAULT_SPEC, METRIC_NAMES, TrialSpec
from hasten.measure.distilled import of_weights
from hasten.measure.environment import environment, environment_key
from hasten.measure.failures import plan_failures
from hasten.measure.identity.whole import OWN, identity_of
from hasten.measure.lock import device_lock
from hasten.measure.pipeline import Pipeline
from hasten.measure.prompts import PromptSet
from hasten.measure.quality import Losses, Quality, Report, StopEarly
from hasten.measure.setting import checked, pipeline_of
from hasten.measure.timing import Enough, interleaved
from hasten.measure.trials import Trials
from hasten.metrics import ClipScorer
from hasten.models import load_pipeline
from hasten.plan import Plan
from hasten.records import CONFIDENCE, EqualTime, Latency, Split, Trial
from hasten.schedulers import find_scheduler
from hasten.task import Setting

if TYPE_CHECKING:
    import torch


class Bench:
    """Measures plans in one setting, one at a time and alone on the device.

    Every method that runs the pipeline holds the device's lock meanwhile. Where a method takes ``steps``, it is
    the number of steps of the plan only; the baseline has the setting's number.

    Example:
        >>> bench = Bench.of(pipe, steps=50)
        >>> trial = bench.trial(Plan.parse("deepcache(cache_interval=3)"))
        >>> trial.speedup, trial.losses["clip_score"].loss
    """

    def __init__(
        self,
        pipeline: Pipeline,
        scorer: str | ClipScorer,
        cache_dir: str | Path | None = None,
        confidence: float = CONFIDENCE,
    ) -> None:
        self.pipeline, self.confidence = pipeline, confidence
        self.setting, self.pipe = pipeline.setting, pipeline.pipe
        self.environment = environment(self.setting.device, self.setting.dtype)
        self._scorer = scorer
        self.scorer_name = scorer if isinstance(scorer, str) else scorer.source
        # Nobody else could find the images of an identity that is unlike every other.
        folder = cache_dir if cache_dir and OWN not in self.identity else None
        cache = ImageCache(folder, self.setting, self.identity) if folder else None
        self._quality = Quality(pipeline, partial(loaded, scorer, self.setting.device), cache, confidence)
        self._trials = Trials(self)
        self._warm = False

    @classmethod
    def open(
        cls,
        setting: Setting,
        *,
        scorer: str | ClipScorer | None = None,
        prompts: str | Path | Sequence[str] | PromptSet | None = None,
        seed: int = 0,
        cache_dir: str | Path | None = None,
    ) -> Bench:
        """Loads the setting's model with the setting's scheduler.

        Args:
            setting: the setting.
            scorer: the CLIP of ``clip_score``; None for the model's own.
            prompts: a built-in set, a file, the prompts themselves, or a PromptSet; None for the model's own.
            seed: the seed of the images' latents and of the intervals.
            cache_dir: a folder that keeps the baseline's images for other processes.

        Raises:
            InputError: the model, scheduler, scorer, prompts or a number of the setting cannot be used.
        """
        model = known_model(setting.model)
        found = prompts_of(prompts, model)
        pipe = load_pipeline(
            model or setting.model, find_scheduler(setting.scheduler), setting.dtype, setting.device
        )
        return cls(Pipeline(pipe, checked(setting), found, seed), scorer_of(scorer, model), cache_dir)

    @classmethod
    def of(
        cls,
        pipe: Any,
        *,
        steps: int,
        scorer: str | ClipScorer | None = None,
        prompts: str | Path | Sequence[str] | PromptSet | None = None,
        seed: int = 0,
        height: int | None = None,
        width: int | None = None,
        guidance_scale: float | None = None,
        batch_size: int = 1,
        model_name: str | None = None,
        cache_dir: str | Path | None = None,
        confidence: float = CONFIDENCE,
    ) -> Bench:
        """Returns a bench for a pipeline object that the user already has, with the scheduler that it has.

        Args:
            pipe: the pipeline.
            steps: the number of denoising steps.
            scorer: the CLIP of ``clip_score``; None for the model's own.
            prompts: a built-in set, a file, the prompts themselves, or a PromptSet; None for the model's own.
            seed: the seed of the images' latents and of the intervals.
            height: the images' height in pixels; None for the pipeline's default.
            width: the images' width in pixels; None for the pipeline's default.
            guidance_scale: None for the model's usual scale where it is known, and else the pipeline's default.
            batch_size: the number of images a call.
            model_name: the name of the model; None for the registry's name or the place that it was loaded from.
            cache_dir: a folder that keeps the baseline's images for other processes.
            confidence: the probability that an interval holds the true value.

        Raises:
            InputError: the pipeline, scorer, prompts or a number cannot be used.
        """
        pipeline = pipeline_of(
            pipe,
            prompts=prompts,
            seed=seed,
            steps=steps,
            height=height,
            width=width,
            guidance_scale=guidance_scale,
            batch_size=batch_size,
            model_name=model_name,
        )
        return cls.around(pipeline, scorer=scorer, cache_dir=cache_dir, confidence=confidence)

    @classmethod
    def around(
        cls,
        pipeline: Pipeline,
        *,
        scorer: str | ClipScorer | None = None,
        cache_dir: str | Path | None = None,
        confidence: float = CONFIDENCE,
    ) -> Bench:
        """Returns a bench for a pipeline in its setting. The other arguments are those of ``of``."""
        return cls(pipeline, scorer_of(scorer, known_model(pipeline.setting.model)), cache_dir, confidence)

    @cached_property
    def identity(self) -> dict[str, str]:
        """What two benches of one setting must share for their trials to be compared, as text.

        It describes the pipeline as it is when this is first read, which is before anything is measured.
        """
        return identity_of(self.pipeline, self._scorer, environment_key(self.environment))

    def prompts(self, split: Split) -> tuple[str, ...]:
        """Returns the prompts of a split. Image i has the prompt at i modulo their number."""
        return self.pipeline.prompts.of(split)

    def images(
        self, plan: Plan, *, split: Split = "search", indices: Sequence[int], steps: int | None = None
    ) -> torch.Tensor:
        """Returns the images of a plan (the baseline's for ``Plan()``): (n, 3, h, w), 0 to 1 in steps of 1/255, on
        the CPU.

        Raises:
            MeasurementError: the plan crashed, or drew NaN or a single colour.
        """
        with device_lock(self.setting.device):
            return self._quality.images(self.pipeline.completed(plan, steps), split, indices, steps).float() / 255

    def latency(
        self,
        plan: Plan,
        *,
        pairs: int = 7,
        warmup: int = 1,
        steps: int | None = None,
        enough: Enough | None = None,
        report: Report | None = None,
    ) -> Latency:
        """Returns interleaved times of baseline and plan, from text to images, with one batch of the setting a
        call.

        ``enough``, called after each pair with the times of both, may end the timing early. Such a screening warms
        up the baseline only where this bench has not done so before.

        Raises:
            MeasurementError: a call failed.
            InputError: the plan, or a number, cannot be used.
        """
        plan = self.pipeline.completed(plan, steps)
        indices, idle = range(self.setting.batch_size), dict[str, None]()
        with device_lock(self.setting.device):
            found = interleaved(
                partial(self.pipeline.generate, "search", indices),
                partial(self.pipeline.generate, "search", indices, steps),
                pairs=pairs,
                warmup=warmup,
                warmup_a=0 if enough and self._warm else warmup,
                device=self.setting.device,
                around_a=self._of_baseline,  # only around the calls, so that errors of the caller's own pass
                around_b=partial(self._installed, plan, steps, idle.setdefault),
                denoiser=self.pipeline.denoiser,
                enough=enough,
                report=report,
                confidence=self.confidence,
                seed=self.pipeline.seed,
            )
        self._warm = True
        notes = of_weights(self.pipe, self.pipeline.denoiser, self.setting)
        return found.model_copy(update={"warnings": (*found.warnings, *idle, *notes)})

    @contextmanager
    def _of_baseline(self) -> Iterator[None]:
        with self.pipeline.time_limit.baseline(), plan_failures():
            yield

    @contextmanager
    def _installed(self, plan: Plan, steps: int | None, tell: Callable[[str], object]) -> Iterator[None]:
        with plan_failures(), self.pipeline.installed(plan, steps, tell):
            yield

    def quality(
        self,
        plan: Plan,
        *,
        split: Split = "search",
        samples: int = 32,
        offset: int = 0,
        metrics: Sequence[str] = METRIC_NAMES,
        steps: int | None = None,
        stop_early: StopEarly | None = None,
        report: Report | None = None,
    ) -> Losses:
        """Returns the loss of each metric, paired by prompt with the baseline, on ``samples`` images from
        ``offset`` on.

        ``stop_early`` is called after each batch of prompts with the losses so far; True ends the scoring.

        Raises:
            MeasurementError: the plan crashed, or drew NaN or a single colour.
            InputError: the plan, a metric or the number of samples cannot be used.
        """
        plan = self.pipeline.completed(plan, steps)
        with device_lock(self.setting.device):
            return self._quality.losses(
                plan,
                split=split,
                samples=samples,
                offset=offset,
                metrics=metrics,
                steps=steps,
                stop_early=stop_early,
                report=report,
            )

    def begin(self, split: Split, indices: Sequence[int], report: Report | None) -> None:
        """Draws the baseline's images that the trial of a plan begins with. Raises MeasurementError."""
        self._quality.references(split, indices, report)

    def attempt(self, take: Callable[[], Trial], keeps: Sequence[str] = ()) -> Trial:
        """Returns the trial that ``take`` takes alone on the device and within the limit of time, with its
        duration."""
        with device_lock(self.setting.device), self.pipeline.time_limit.trial(keeps):
            start = time.perf_counter()
            return take().model_copy(update={"seconds": time.perf_counter() - start})

    def trial(
        self,
        plan: Plan,
        spec: TrialSpec = DEFAULT_SPEC,
        *,
        steps: int | None = None,
        report: Report | None = None,
    ) -> Trial:
        """Returns the plan's trial, as ``Trials.trial`` describes. Where the plan fails, it is a failed one."""
        return self._trials.trial(plan, spec, steps=steps, report=report)

    def equal_time(
        self,
        plan_latency: Latency,
        spec: TrialSpec = DEFAULT_SPEC,
        *,
        plan_losses: Losses | None = None,
        report: Report | None = None,
    ) -> EqualTime:
        """Returns the baseline with so few steps that it is about as fast as a plan, as ``Trials.equal_time``
        describes."""
        return self._trials.equal_time(plan_latency, spec, plan_losses=plan_losses, report=report)
