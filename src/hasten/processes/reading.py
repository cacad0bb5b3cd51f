"""Reads from a child's pipe, and stops when the child has ended.

The end of the file is no sign of that: it comes only when the last process that holds the other end has gone, and
that may be one that nobody can reach.
"""

from __future__ import annotations

import io
import os
import select
from collections.abc import Callable
from typing import IO, Any

LOOK_MS = 200


class UntilEnded(io.RawIOBase):
    """The reading end of a pipe. It also ends when the child has ended and nothing is left to be read."""

    def __init__(self, pipe: IO[bytes], ended: Callable[[], bool]) -> None:
        super().__init__()
        self._pipe, self._ended, self._cut = pipe, ended, False
        self._poll = select.poll()
        self._poll.register(pipe.fileno(), select.POLLIN)

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._pipe.fileno()

    def readinto(self, buffer: Any, /) -> int:
        while not self._cut:
            over = self._ended()  # asked first: what it wrote before its end is then there to be read
            if self._poll.poll(0 if over else LOOK_MS):
                found = os.read(self.fileno(), len(buffer))
                buffer[: len(found)] = found
                return len(found)
            if over:
                break
        return 0

    def cut(self) -> None:
        """Nothing more is read, whoever may still write."""
        self._cut = True

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._pipe.close()
