"""Ratios and losses with bootstrap intervals. The seed makes equal numbers give equal intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from hasten.errors import InputError, MeasurementError
from hasten.metrics import METRICS, Metric
from hasten.records import CONFIDENCE, Interval, Latency, Loss, Trial

Numbers = npt.NDArray[np.float64]
RESAMPLES = 10_000


def bootstrap_ratio_of_medians(
    baseline: Sequence[float], plan: Sequence[float], *, confidence: float = CONFIDENCE, seed: int = 0
) -> tuple[float, Interval]:
    """Returns median(baseline) / median(plan) of paired times, and its interval. Pairs are resampled as pairs.

    Raises:
        InputError: the series are empty or of unequal length.

    Example:
        >>> bootstrap_ratio_of_medians([2.0, 2.1, 2.0], [1.0, 1.0, 1.1])[0]
        2.0
    """
    a, b = _paired(baseline, plan)
    index = _resamples(len(a), seed)
    ratios = np.median(a[index], axis=1) / np.median(b[index], axis=1)
    return float(np.median(a) / np.median(b)), _interval(ratios, len(a), confidence)


def paired_loss(
    baseline: Sequence[float],
    scores: Sequence[float],
    *,
    higher_is_better: bool = True,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> tuple[float, Interval]:
    """Returns the relative loss of the mean score, paired by prompt, and its interval over prompts.

    The loss is (baseline − score) / baseline of the means, with the opposite sign where lower is better.

    Raises:
        InputError: the series are empty or of unequal length.
        MeasurementError: the baseline's mean is not above zero, so that no relative loss exists.
    """
    a, b = _paired(baseline, scores)
    if not a.mean() > 0:
        raise MeasurementError(f"The baseline's mean score is {a.mean():g}: a relative loss needs one above 0.")
    sign = 1.0 if higher_is_better else -1.0
    index = _resamples(len(a), seed)
    means = a[index].mean(axis=1)
    losses = sign * (means - b[index].mean(axis=1)) / np.where(means > 0, means, np.nan)
    return float(sign * (a.mean() - b.mean()) / a.mean()), _interval(losses, len(a), confidence)


def loss_of(
    metric: Metric,
    baseline: Sequence[float],
    scores: Sequence[float],
    *,
    version: str,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Loss:
    """Returns the loss by a metric, from scores of baseline and plan, one a prompt. Raises what ``paired_loss``
    raises."""
    higher = metric.higher_is_better
    loss, interval = paired_loss(baseline, scores, higher_is_better=higher, confidence=confidence, seed=seed)
    return Loss(
        metric=metric.name,
        baseline=sum(baseline) / len(baseline),
        score=sum(scores) / len(scores),
        loss=loss,
        interval=interval,
        confidence=confidence,
        baseline_scores=tuple(baseline),
        scores=tuple(scores),
        version=version,
    )


def samples_of(losses: Mapping[str, Loss]) -> int:
    """Returns the number of prompts that all of the losses are scored on; 0 where there are none."""
    return min((loss.samples for loss in losses.values()), default=0)


def joined(first: Loss, more: Loss, *, seed: int = 0) -> Loss:
    """Returns one loss for the images of both losses, which are by the same metric."""
    return loss_of(
        METRICS.get(first.metric),
        (*first.baseline_scores, *more.baseline_scores),
        (*first.scores, *more.scores),
        version=first.version,
        confidence=first.confidence,
        seed=seed,
    )


def at_confidence(trial: Trial, confidence: float) -> Trial:
    """Returns the trial with intervals of another confidence, computed from its raw times and scores."""
    latency = trial.latency and _latency_at(trial.latency, confidence)
    losses = {metric: _loss_at(loss, confidence) for metric, loss in trial.losses.items()}
    return trial.model_copy(update={"latency": latency, "losses": losses})


def _latency_at(found: Latency, confidence: float) -> Latency:
    if found.confidence == confidence or found.interval is None:
        return found.model_copy(update={"confidence": confidence})
    _, interval = bootstrap_ratio_of_medians(found.baseline_times_s, found.times_s, confidence=confidence)
    return found.model_copy(update={"interval": interval, "confidence": confidence})


def _loss_at(found: Loss, confidence: float) -> Loss:
    if found.confidence == confidence:
        return found
    higher = METRICS.get(found.metric).higher_is_better
    _, interval = paired_loss(found.baseline_scores, found.scores, higher_is_better=higher, confidence=confidence)
    return found.model_copy(update={"interval": interval, "confidence": confidence})


def relative_spread(times: Sequence[float]) -> float:
    """Returns the interquartile range of the times over their median."""
    low, middle, high = np.percentile(np.asarray(times, dtype=np.float64), (25, 50, 75))
    return float((high - low) / middle)


def student_t(probability: float, freedom: int) -> float:
    """Returns a quantile of Student's t distribution for 1 or more degrees of freedom.

    It is exact for 1 and 2, and else the first terms of Hill's series in 1/freedom (at 97.5%: within 1.2%).
    """
    if freedom == 1:
        return math.tan(math.pi * (probability - 0.5))
    if freedom == 2:
        centred = 2 * probability - 1
        return centred * math.sqrt(2 / (1 - centred**2))
    z = NormalDist().inv_cdf(probability)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return sum(term / freedom**power for power, term in enumerate(terms))


def _paired(a: Sequence[float], b: Sequence[float]) -> tuple[Numbers, Numbers]:
    if len(a) != len(b) or not a:
        raise InputError(f"{len(a)} and {len(b)} numbers: pairs need equally many, one at least.")
    return np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)


def _resamples(count: int, seed: int) -> npt.NDArray[np.int64]:
    """Returns rows of ``count`` indices, drawn with replacement, (resamples, count)."""
    return np.random.default_rng(seed).integers(0, count, size=(RESAMPLES, count))


def _interval(values: Numbers, count: int, confidence: float) -> Interval:
    """Returns the expanded percentile interval (Hesterberg, What Teachers Should Know About the Bootstrap, 2015).

    The plain percentile interval is too narrow for few pairs, because it uses the normal quantile and a variance
    that is (n − 1)/n of the right one. Percentiles further out correct both.
    """
    if count == 1:
        return float(values[0]), float(values[0])
    wide = math.sqrt(count / (count - 1)) * student_t((1 + confidence) / 2, count - 1)
    outside = NormalDist().cdf(-wide)
    low, high = np.nanpercentile(values, (100 * outside, 100 * (1 - outside)))
    return float(low), float(high)
