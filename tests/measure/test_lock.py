"""One measuring process a device."""

from __future__ import annotations

import subprocess
import sys
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
def another_process() -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock until it is told to end."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
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
