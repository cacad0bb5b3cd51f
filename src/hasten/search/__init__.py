"""The search: which plan is fast enough within the loss limit."""

from __future__ import annotations

from hasten.search.options import Prefer, SearchOptions
from hasten.search.progress import Progress
from hasten.search.run import SearchResult, check_task, run_search

__all__ = ["Prefer", "Progress", "SearchOptions", "SearchResult", "check_task", "run_search"]
