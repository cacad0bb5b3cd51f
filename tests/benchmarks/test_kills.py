"""Commands that are killed by SIGKILL while their script hangs leave no process, and the device free.

In ``make test`` test_workers.py kills what started workers, and test_hostile_scripts.py what watches a script.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from benchmarks.kills import AT_MOST_S, COMMANDS, killed


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process that hangs cannot be told of the death")
@pytest.mark.full
@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_is_left_of_a_killed_command(command: str, tmp_path: Path) -> None:
    processes, took_s, free = killed(command, tmp_path)
    assert processes >= {"verify": 6, "run": 6, "generate": 8}[command], "both sides, their guardians, and a fork"
    assert took_s < AT_MOST_S
    assert free
