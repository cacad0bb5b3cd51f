"""Starts processes. Each of them, with everything that it starts, ends with the process that started it."""

from __future__ import annotations

from hasten.processes.child import SAFE_PATH, Child, fate_of

__all__ = ["SAFE_PATH", "Child", "fate_of"]
