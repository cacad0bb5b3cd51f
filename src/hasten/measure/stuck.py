"""What a process does in which a measurement hangs in code that Python cannot interrupt. Importing it is quick."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

logger = logging.getLogger(__name__)
HAS_SIGNALS = os.name == "posix"
GO_ON, GIVE_UP = (int(signal.SIGVTALRM), int(signal.SIGPROF)) if HAS_SIGNALS else (0, 0)
"""The signals that end a process which is stuck: the same work can go on without the plan, which is stored as
failed, or it would hang again. Python leaves both their usual effect, and neither leaves a core file."""
SPENT = "HASTEN_SPENT_S"
"""The environment variable with the seconds that a command took before it began anew."""
HANGS = "hangs in code that Python cannot interrupt"
ITS_PLAN = f"A trial {HANGS}; its plan is stored as failed."
NO_PLAN = f"A measurement {HANGS}, and there is no plan that could be stored as failed for it."


def tell(sentence: str, kept: bool) -> None:
    """Leaves a program of the user alone, and says what happened."""
    logger.error("%s End this process: only then does it stop.", sentence)


def end(sentence: str, kept: bool) -> None:
    """Ends this process by the signal that tells its parent whether its work can go on."""
    os.kill(os.getpid(), GO_ON if kept else GIVE_UP)


@dataclass
class Way:
    """What is done in a stuck process: ``act`` by itself, and whether the process beside it ends it."""

    act: Callable[[str, bool], None] = tell
    ended: bool = False
    again: str = ""


way = Way()


def begin_anew() -> NoReturn:
    """Replaces this process by a new one with the same command. What it has taken of its time counts there."""
    import psutil  # a command that only shows its help does without it

    passed_s = time.time() - psutil.Process().create_time()
    os.environ[SPENT] = f"{passed_s:.1f}"
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def spent_before_s() -> float:
    """Returns the seconds that this command took before it began anew; 0 where it did not."""
    return float(os.environ.get(SPENT, "0"))


def when_stuck(act: Callable[[str, bool], None], again: str) -> None:
    """Sets what this process does where a measurement hangs in C code, which is to end or to begin anew.

    Args:
        act: is called with a sentence, and with whether the plan that hangs was stored as failed.
        again: a sentence that says how the work goes on after an end from outside.
    """
    way.act, way.ended, way.again = act, True, again
