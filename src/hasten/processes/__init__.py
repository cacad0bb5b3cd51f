"""Processes that hasten starts: each, and all that it starts in turn, ends with the one that started it."""

from __future__ import annotations

from hasten.processes.child import SAFE_PATH, Child, fate_of

__all__ = ["SAFE_PATH", "Child", "fate_of"]
