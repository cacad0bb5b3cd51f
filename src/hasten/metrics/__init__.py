"""The metrics. Each file of this package declares one."""

from __future__ import annotations

from hasten.metrics._dino import named_dino
from hasten.metrics._scorer import ClipScorer, find_scorer, load_scorer, scorer_folder
from hasten.metrics.base import Metric
from hasten.registry import Registry

__all__ = ["METRICS", "ClipScorer", "Metric", "find_scorer", "load_scorer", "named_dino", "scorer_folder"]

METRICS: Registry[Metric] = Registry("metric", "hasten.metrics", "METRIC", Metric, Metric.spellings)
