"""Keeps the libraries quiet while a model is loaded, and only then."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_loading(bars: bool = False) -> Iterator[None]:
    """Suppresses the advice to install torchvision, and progress bars: reading a folder takes little time.

    Args:
        bars: keep the progress bars, for a download.

    All other warnings pass, because a warning of missing weights is worth reading.
    """
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    modules = () if bars else (diffusers_logging, transformers_logging)
    shown = [m for m in modules if m.is_progress_bar_enabled()]
    advising = logging.getLogger("transformers.utils.import_utils")
    advising.addFilter(_no_advice)
    for module in shown:
        module.disable_progress_bar()
    try:
        yield
    finally:
        advising.removeFilter(_no_advice)
        for module in shown:
            module.enable_progress_bar()


def _no_advice(record: logging.LogRecord) -> bool:
    """Filters out the advice of Pillow's image processors: hasten's own preprocessing needs no torchvision."""
    return "requires torchvision" not in record.getMessage()
