"""Test suites that a method or a metric of any package proves itself with.

They need pytest (``pip install hasten[testing]``), and run on the CPU, on small pipelines with random weights of
every family. Nothing is downloaded. hasten's own methods and metrics pass the same checks.

Example, the whole of ``test_skip.py``::

    from hasten.testing import MethodContract


    class TestSkip(MethodContract):
        effective = "skip(interval=2)"

``METHOD`` of such a package is known to hasten by an entry point of the group ``hasten.methods``.
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("hasten.testing.checks", "hasten.testing.methods", "hasten.testing.metrics")

from hasten.testing.generating import FAMILIES  # noqa: E402
from hasten.testing.methods import MethodContract  # noqa: E402
from hasten.testing.metrics import MetricContract  # noqa: E402

__all__ = ["FAMILIES", "MethodContract", "MetricContract"]
