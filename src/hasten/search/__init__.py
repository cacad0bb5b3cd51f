"""The search for a plan that is fast enough within the loss limits."""

from __future__ import annotations

from hasten.search.options import Prefer, SearchOptions
from hasten.search.progress import Listener, Progress
from hasten.search.run import SearchResult, run_search
from hasten.search.task_plans import check_task

__all__ = ["Listener", "Prefer", "Progress", "SearchOptions", "SearchResult", "check_task", "run_search"]
