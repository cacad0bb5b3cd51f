"""The end that a signal asks for comes, wherever its exception was raised."""

import subprocess
import sys

import pytest

DROPPED = """
import os, signal, sys, time
from hasten.measure.termination import Terminated, {start}

class Finalized:
    def __del__(self):
        os.kill(os.getpid(), signal.{number})
        time.sleep(0.01)  # the handler runs here, where an exception cannot leave

signal.signal(signal.SIGINT, signal.default_int_handler)  # a test in the background inherits that it is ignored
{start}()
held = Finalized()
del held
try:
    time.sleep(30)
except {exception}:
    print("ended")
"""


@pytest.mark.parametrize(
    ("start", "number", "exception"),
    [
        ("remember_interrupts", "SIGINT", "KeyboardInterrupt"),
        ("remember_interrupts", "SIGTERM", "KeyboardInterrupt"),
        ("terminated_by_signal", "SIGTERM", "Terminated"),
    ],
)
def test_an_end_that_a_finalizer_drops_comes_a_moment_later(start: str, number: str, exception: str) -> None:
    program = DROPPED.format(start=start, number=number, exception=exception)
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("ended\n", "")


def test_other_exceptions_that_are_dropped_are_printed_as_ever() -> None:
    program = "from hasten.measure.termination import remember_interrupts as r; r(); r()\n"
    program += "class F:\n    def __del__(self): raise ValueError('lost')\nx = F(); del x"
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stderr.count("ValueError: lost") == 1
