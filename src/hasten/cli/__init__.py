"""The command line. torch is imported only by the commands that need it."""

from __future__ import annotations

from hasten.cli import batch, compare, profile  # these modules add their commands to the app
from hasten.cli.app import app
from hasten.cli.out import open_streams

__all__ = ["app", "batch", "compare", "main", "profile"]


def main() -> None:
    """Runs the command line; this is the entry point ``hasten``."""
    open_streams()
    app(prog_name="hasten")
