"""The report: one self-contained page with an answer and everything behind it."""

from __future__ import annotations

from hasten.report.images import ReportImages
from hasten.report.render import render_report

__all__ = ["ReportImages", "render_report"]
