"""Prompts longer than the text encoder reads: told once, not with every image."""

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
"""A tokenizer counts the whole prompt, and says that the model could not take it. The pipeline cuts it."""
CUT = re.compile(r"input was truncated because .{0,80}?(\d+) tokens", re.DOTALL)
"""What diffusers says of a prompt that it cuts, before all the text that was left out."""


@contextmanager
def cut_prompts_told_once(pipe: Any) -> Iterator[None]:
    """Meanwhile diffusers' own words about each cut prompt become one warning of hasten for each length."""
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
    """Whether the record goes on to the user."""
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
