"""What is declared of one option."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hasten.options import values
from hasten.options.values import Reader


@dataclass(frozen=True)
class Option:
    """One option. ``name`` is its keyword in Python. None stands for a choice of the model or the machine.

    ``flags``: the flags of the command line, without the leading dashes. A dash inside a flag may be typed as an
    underscore. An option without flags is only a keyword. ``also``: another keyword for the same option.
    ``unset``: what the command line takes where the flag is not given, if that is not the default.
    """

    name: str
    group: str
    read: Reader
    meaning: str
    default: Any = None
    flags: tuple[str, ...] = ()
    metavar: str = ""
    also: str = ""
    repeated: bool = False
    unset: Any = None

    @property
    def is_switch(self) -> bool:
        """Whether the option is a switch, which is set or not and takes no value."""
        return self.read is values.switch
