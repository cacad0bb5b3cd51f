"""One measuring process a device."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hasten.errors import MeasurementError
from hasten.measure.lock import device_lock, lock_path

HOLD = """
from hasten.measure.lock import device_lock
with device_lock("cpu"):
    print("held", flush=True)
    input()
"""


@contextmanager
def another_process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock until it is told to end."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_second_process_is_told_to_wait() -> None:
    with another_process(), pytest.raises(MeasurementError, match="Another process measures on 'cpu'"):
        device_lock("cpu", wait=False).__enter__()


def test_who_holds_it_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """By number, command without secrets, and time; also while it is waited for."""
    with another_process("--storage", "postgresql://me:geheim@host/db") as process:
        named = rf"process {process.pid} \(-c --storage .*://me:\*\*\*@host/db.*\), since \d\d:\d\d:\d\d"
        with pytest.raises(MeasurementError, match=named):
            device_lock("cpu", wait=False).__enter__()
        threading.Timer(1.2, process.kill).start()
        with device_lock("cpu"):
            pass
    (told,) = [record.getMessage() for record in caplog.records]
    assert re.search(rf"measures on cpu: {named}. Waiting for its end", told)
    assert "geheim" not in told


LEFT = """
import os, subprocess, sys, time
from pathlib import Path
from hasten.measure.lock import device_lock
with device_lock("cpu") as path:
    for fd in map(int, os.listdir("/proc/self/fd")):
        if Path(f"/proc/self/fd/{fd}").resolve() == path.resolve():
            os.set_inheritable(fd, True)
    sleeps = [sys.executable, "-c", "import time; time.sleep(600)"]
    print(subprocess.Popen(sleeps, close_fds=False, stdout=subprocess.DEVNULL).pid, flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="open files are looked up in /proc")
def test_a_lock_that_a_dead_process_left_to_its_child_is_taken_over(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever comes next has it at once, and the one after waits for that one."""
    process = subprocess.Popen([sys.executable, "-c", LEFT], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    left = int(process.stdout.readline())
    try:
        with pytest.raises(MeasurementError, match=f"process {process.pid} "):
            device_lock("cpu", wait=False).__enter__()
        process.kill()
        process.wait()
        os.kill(left, 0)
        with device_lock("cpu", wait=False):
            assert "It is taken over" in caplog.text
            attempt = "from hasten.measure.lock import device_lock\nwith device_lock('cpu', wait=False): pass"
            done = subprocess.run([sys.executable, "-c", attempt], check=False, capture_output=True, text=True)
            assert f"process {os.getpid()} " in done.stderr
        with another_process():
            pass
    finally:
        os.kill(left, signal.SIGKILL)
        process.stdout.close()


def test_waiting_ends_with_the_other_process(caplog: pytest.LogCaptureFixture) -> None:
    with another_process() as process:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        with device_lock("cpu"):
            pass


def test_a_killed_process_leaves_no_lock() -> None:
    with another_process() as process:
        process.kill()
        process.wait()
        with device_lock("cpu", wait=False) as path:
            assert path.exists()


def test_other_devices_are_free() -> None:
    with another_process(), device_lock("mps", wait=False):
        pass


def test_reentrant() -> None:
    with device_lock("cpu", wait=False), device_lock("cpu", wait=False):
        pass
    with device_lock("cpu", wait=False):
        pass


def test_released_after_a_crash_inside() -> None:
    with pytest.raises(ZeroDivisionError), device_lock("cpu"):
        raise ZeroDivisionError
    check = "from hasten.measure.lock import device_lock\nwith device_lock('cpu', wait=False): pass"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_a_state_folder_that_cannot_be_made_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert lock_path("cpu").parent.parent == tmp_path
    with device_lock("cpu", wait=False):
        pass
