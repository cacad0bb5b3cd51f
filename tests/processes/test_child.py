"""Children of hasten, real ones, and real kills: no descendant outlives the process that started it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.marks import star

from hasten.processes import Child, fate_of

FAMILIES = Path(__file__).with_name("families.py")
AT_MOST_S = 3.0
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are looked at in /proc")


def alive(pid: int) -> bool:
    """Exists and runs: one that died may wait long for someone who asks."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def child(name: str, *arguments: object, limits: dict[str, int] | None = None) -> Child:
    command = [sys.executable, str(FAMILIES), name, *map(str, arguments)]
    return Child(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, limits=limits)


def told(process: Child | subprocess.Popen[bytes]) -> list[int]:
    assert process.stdout is not None
    return [int(word) for word in process.stdout.readline().split()]


@pytest.mark.parametrize(
    ("family", "number"),
    star(("has_children_everywhere", "hangs_without_a_word"), (signal.SIGKILL, signal.SIGTERM)),
)
def test_no_descendant_outlives_the_parent(family: str, number: signal.Signals) -> None:
    """Killed from outside while its child hangs; after three seconds at the latest no one is left."""
    with subprocess.Popen(
        [sys.executable, str(FAMILIES), "is_a_parent_of_one_that_hangs", family], stdout=subprocess.PIPE
    ) as parent:
        pids = told(parent)
        assert len(pids) == {"hangs_without_a_word": 2, "has_children_everywhere": 6}[family]
        assert all(map(alive, pids))
        parent.send_signal(number)
    assert within(AT_MOST_S, lambda: not any(map(alive, pids))), [pid for pid in pids if alive(pid)]


def test_a_parent_that_is_stopped_first_and_killed_leaves_no_one() -> None:
    """Also while the child is paused, when it could not notice anything."""
    with child("has_children_everywhere") as one:
        pids = told(one)
        one.pause()
        os.kill(one.pid, signal.SIGKILL)  # the guardian itself: the child's death signal remains
        assert within(AT_MOST_S, lambda: not alive(pids[0]))
    assert not any(map(alive, pids))


def test_a_child_that_kills_its_guardian_leaves_no_one() -> None:
    """Whoever reads from it comes to the end, although what is left holds the pipe."""
    with child("kills_its_guardian") as one:
        left = told(one)
        assert one.stdout is not None and one.stdout.read() == b"", "the end, though the file is still open"
        assert any(map(alive, left))
        assert one.wait(AT_MOST_S) == -signal.SIGKILL and "guardian" in one.fate
        assert not any(map(alive, left))


def test_a_thread_that_reads_does_not_keep_a_child_from_ending() -> None:
    """Also where a process holds the pipe that nothing finds: it was started without the family's mark."""
    holds = "import os, time; os.setsid(); print(os.getpid(), flush=True); time.sleep(600)"
    code = (
        "import os, signal, sys, time\n"
        f"if not os.fork(): os.execve(sys.executable, [sys.executable, '-c', {holds!r}], {{}})\n"
        "time.sleep(0.5); os.kill(os.getppid(), signal.SIGKILL)"
    )
    one = Child([sys.executable, "-c", code], stdout=subprocess.PIPE)
    (hidden,) = told(one)
    try:
        assert one.stdout is not None
        reading = threading.Thread(target=one.stdout.read, daemon=True)
        reading.start()
        assert within(10, one.ended) and alive(hidden)
        one.end()
        reading.join(AT_MOST_S)
        assert not reading.is_alive() and one.stdout.closed
    finally:
        if alive(hidden):
            os.kill(hidden, signal.SIGKILL)


def test_a_sound_family_has_its_guardian_to_the_end() -> None:
    with child("ends_as_asked", int(-signal.SIGKILL)) as one:
        one.wait(AT_MOST_S)
        assert one.fate == fate_of(-signal.SIGKILL)


def test_a_child_that_ends_takes_its_descendants_along() -> None:
    with child("has_children_everywhere") as one:
        pids = told(one)
        os.kill(pids[0], signal.SIGKILL)
        assert one.wait(AT_MOST_S) == -signal.SIGKILL
        assert not any(map(alive, pids))


def test_ending_and_terminating_leave_no_one() -> None:
    with child("has_children_everywhere") as one:
        pids = told(one)
        one.terminate()
        assert one.wait(AT_MOST_S) == -signal.SIGTERM
    assert not any(map(alive, pids)), "who ignores SIGTERM is killed when the child has ended"
    one.kill()  # nothing happens, and to no other process
    one.end()


@pytest.mark.parametrize("how", [0, 7, -signal.SIGKILL, -signal.SIGSEGV, -signal.SIGTERM])
def test_the_return_code_is_that_of_the_command(how: int) -> None:
    with child("ends_as_asked", int(how)) as one:
        assert one.wait(10) == how


def test_a_paused_family_does_nothing_until_it_is_resumed() -> None:
    with child("counts") as one:
        told(one)
        one.pause()
        assert one.stdout is not None
        pipe = one.stdout.fileno()
        while select.select([pipe], [], [], 0.1)[0]:
            os.read(pipe, 4096)
        assert not select.select([pipe], [], [], 0.2)[0]
        one.resume()
        assert select.select([pipe], [], [], 5)[0]


def test_limits_hold_for_the_child_alone() -> None:
    """It fails within them; nothing of this process changes."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_DATA)
    with child("eats_memory", limits={"RLIMIT_DATA": 1 << 28, "RLIMIT_CORE": 0}) as one:
        assert one.wait(60) == 1
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_the_environment_is_what_was_given() -> None:
    code = "import os; print(sorted(os.environ))"
    with Child([sys.executable, "-I", "-c", code], environment={"PATH": "/bin"}, stdout=subprocess.PIPE) as one:
        assert one.stdout is not None
        assert "PATH" in (found := one.stdout.read().decode()) and "HOME" not in found


def test_a_program_that_does_not_exist() -> None:
    with pytest.raises(FileNotFoundError):
        Child(["/no/such/python"])


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (7, "its process ended with code 7"),
        (-11, "killed by SIGSEGV"),
        (-9, "killed by SIGKILL (kill -9, or the system was out of memory)"),
    ],
)
def test_fates_in_words(code: int, words: str) -> None:
    assert fate_of(code) == words
