"""Warns once of prompts that are longer than the text encoder reads, and not with every image."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

logger = logging.getLogger(__name__)

TOKENIZER = "transformers.tokenization_utils_base"
COUNTED = "Token indices sequence length is longer"
"""The beginning of a tokenizer's warning that the model cannot take the whole prompt, which the pipeline then
cuts."""
CUT = re.compile(r"input was truncated because .{0,80}?(\d+) tokens", re.DOTALL)
"""Matches diffusers' warning about a prompt that it cuts, up to the text that was cut off."""


@contextmanager
def cut_prompts_told_once(pipe: Any) -> Iterator[None]:
    """Replaces diffusers' warnings about each cut prompt by one warning of hasten for each length of text
    encoders."""
    speaker = getattr(pipe, "encode_prompt", type(pipe)).__module__
    loggers = (logging.getLogger(speaker), logging.getLogger(TOKENIZER))
    for each in loggers:
        each.addFilter(_heard)
    try:
        yield
    finally:
        for each in loggers:
            each.removeFilter(_heard)


def _heard(record: logging.LogRecord) -> bool:
    """Returns whether the record goes on to the user."""
    message = record.getMessage()
    if found := CUT.search(message):
        _tell(int(found[1]))
    return not (found or message.startswith(COUNTED))


@lru_cache
def _tell(tokens: int) -> None:
    logger.warning(
        "Some prompts are longer than the %d tokens that the text encoder reads: the rest of them is not drawn.",
        tokens,
    )
