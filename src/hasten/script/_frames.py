"""Messages through a pair of pipes: JSON followed by bytes. Nothing that is received is executed."""

from __future__ import annotations

import json
from typing import IO, Any

LONGEST_TEXT = 1 << 20


class GarbledError(ValueError):
    """The received data is no message, or is longer than expected."""


class Frames:
    """Sends and receives messages, one after the other."""

    def __init__(self, source: IO[bytes], target: IO[bytes]) -> None:
        self._source, self._target = source, target

    def send(self, told: dict[str, Any], content: bytes = b"") -> None:
        text = json.dumps(told).encode()
        self._target.write(len(text).to_bytes(4, "big") + len(content).to_bytes(8, "big") + text + content)
        self._target.flush()

    def receive(self, most: int = 0) -> tuple[dict[str, Any], bytes] | None:
        """Returns the next message, or None at the end of the channel.

        Args:
            most: the most bytes that may follow the JSON.

        Raises:
            GarbledError: the data is no message, or its sender sent less than it announced.
        """
        head = self._source.read(12)
        if not head:
            return None
        text, content = int.from_bytes(head[:4], "big"), int.from_bytes(head[4:], "big")
        if len(head) < 12 or text > LONGEST_TEXT or content > most:
            raise GarbledError(f"a message of {text} and {content} bytes, where up to {most} are expected")
        told, pixels = self._source.read(text), self._source.read(content)
        if len(told) < text or len(pixels) < content:
            raise GarbledError("half a message")
        found = json.loads(told)
        if not isinstance(found, dict):
            raise GarbledError("a message of another form")
        return found, pixels
