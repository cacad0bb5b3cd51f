"""The metrics, found by their files."""

from __future__ import annotations

from hasten.metrics.base import Metric
from hasten.registry import Registry

METRICS: Registry[Metric] = Registry("metric", "hasten.metrics", "METRIC")
