"""Worker processes, real ones: whatever happens to one costs one job at most, and none is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import chain, repeat
from pathlib import Path
from typing import IO, Any

import pytest
from tests.support.marks import rarely

from hasten.errors import InputError
from hasten.workflow.workers import Event, Job, Outcome, run_jobs

HERE = Path(__file__).parent
PATIENCE_S = 60
TWO = ("cpu:0", "cpu:1")


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def job(function: str, name: str = "", **arguments: Any) -> Job:
    return Job(name or function, f"worker_jobs:{function}", arguments)


def ran(*jobs: Job, devices: tuple[str, ...] = ("cpu",), **options: Any) -> tuple[list[Outcome], list[Event]]:
    events: list[Event] = []
    outcomes = list(run_jobs(jobs, devices, events.append, **options))
    pids = {event.content["pid"] for event in events if event.kind == "hello"}
    assert not [pid for pid in pids if exists(pid)], "a worker is left, if only as a zombie"
    return outcomes, events


def exists(pid: int) -> bool:
    """A process with that number, also when it is dead and nobody has asked how it died."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def alive(pid: int) -> bool:
    """Exists and runs: an orphan that died may wait long for an init process that asks."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def in_short(outcomes: list[Outcome]) -> list[tuple[str, str, str]]:
    return [(o.job.name, o.status, o.reason) for o in outcomes]


def test_one_process_does_many_jobs_in_order_and_tells_what_it_does() -> None:
    jobs = [job("where"), job("count", to=3), job("raises", kind="input"), job("where", "again")]
    outcomes, events = ran(*jobs)
    assert [o.job for o in outcomes] == jobs
    assert [o.status for o in outcomes] == ["done", "done", "failed", "done"]
    pid = events[0].content["pid"]
    assert outcomes[0].result == outcomes[3].result == ("cpu", pid)
    assert pid != os.getpid()
    assert [e.content for e in events if e.job == jobs[1]] == [None, 0, 1, 2]
    assert [e.kind for e in events] == ["hello", "start", "start", "report", "report", "report", "start", "start"]
    assert events[0].content["environment"]["device"] == "cpu" and len(events[0].content["key"]) == 16
    assert all(o.seconds > 0 and o.device == "cpu" for o in outcomes)


def test_modules_of_the_current_folder_are_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by a worker nor by what it starts in turn: the names are of the standard library."""
    for name in ("pickle", "struct", "json"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.chdir(tmp_path)
    (outcome,), _ = ran(job("starts_python"))
    assert (outcome.status, outcome.result) == ("done", 0)
    assert not (tmp_path / "ran").exists()


RAISED = {
    "input": "0.5x is no speedup.",
    "measurement": "A black image.",
    "value": "ValueError: shapes differ",
    "exit": "SystemExit: 3",
    "memory": "Out of memory",
}


@pytest.mark.parametrize(
    "kinds", [("input", "value", "memory"), pytest.param(tuple(RAISED), marks=rarely())], ids=len
)
def test_what_a_job_raises_is_its_own_failure(tmp_path: Path, kinds: tuple[str, ...]) -> None:
    jobs = [job("raises", kind, kind=kind) for kind in kinds]
    outcomes, events = ran(*jobs, job("out_of_memory"), job("where"), logs=tmp_path)
    assert in_short(outcomes)[:-2] == [(kind, "failed", RAISED[kind]) for kind in kinds]
    assert outcomes[-2].status == "failed" and outcomes[-2].reason.startswith("Out of memory: ")
    assert outcomes[-1].status == "done"
    # Only after the user's own mistake did the process stay.
    assert [e.kind for e in events].count("hello") == len(jobs) + 1
    assert "lost" not in [e.kind for e in events], "a process that is replaced on purpose is waited for"
    log = (tmp_path / "worker-cpu.log").read_text()
    assert "second line" in log and "in raises" in log and "MemoryError" in log
    assert "raise InputError" not in log


NOWHERE = ("worker_jobs:nothing", "no_such_module:f", "worker_jobs", "", ":", "os:")


@pytest.mark.parametrize("function", [pytest.param(f, marks=rarely(":" not in f[1:-1])) for f in NOWHERE])
def test_a_function_that_cannot_be_imported(function: str) -> None:
    outcomes, _ = ran(Job("lost", function))
    assert outcomes[0].status == "failed"
    assert "Error: " in outcomes[0].reason


@pytest.mark.full  # as what a job raises is, above
def test_what_cannot_be_sent_is_a_failure_of_its_job_alone() -> None:
    outcomes, events = ran(
        Job("in", "worker_jobs:where", {"a": lambda: None}),
        job("answers", "out", what="unpicklable"),
        job("answers", "back", what="unreadable"),
        job("tells", "tells back", what="unreadable"),
        job("tells", "tells", what="unpicklable"),
        job("where"),
    )
    found = {o.job.name: (o.status, o.reason) for o in outcomes}
    assert found["where"] == ("done", "")
    assert found["in"][0] == "failed" and found["in"][1].startswith("Its arguments cannot be sent: ")
    assert found["out"][0] == "failed" and found["out"][1].startswith("Its result cannot be sent: ")
    assert found["back"] == ("failed", "Its result cannot be read: RuntimeError: not here")
    assert found["tells"][0] == "failed" and "pickle" in found["tells"][1]
    assert found["tells back"] == ("done", "")
    assert [e.content for e in events if e.kind == "warning"] == [
        "A report cannot be read: RuntimeError: not here"
    ]


def test_a_process_that_dies_costs_one_job_and_takes_its_children_along(tmp_path: Path) -> None:
    outcomes, events = ran(
        job("with_child", end=int(signal.SIGKILL)),
        job("dies", "crash", number=int(signal.SIGSEGV)),
        job("dies", "asked", number=int(signal.SIGTERM)),
        job("leaves", code=7),
        job("where"),
        logs=tmp_path,
    )
    log = f"; see {tmp_path / 'worker-cpu.log'}"
    assert in_short(outcomes) == [
        ("with_child", "killed", f"killed by SIGKILL (kill -9, or the system was out of memory){log}"),
        ("crash", "killed", f"killed by SIGSEGV{log}"),
        ("asked", "killed", f"killed by SIGTERM{log}"),
        ("leaves", "killed", f"its process ended with code 7{log}"),
        ("where", "done", ""),
    ]
    assert [e.kind for e in events].count("lost") == 4
    assert "Segmentation fault" in (tmp_path / "worker-cpu.log").read_text()
    _, child = next(e.content for e in events if e.kind == "report")
    until(lambda: not alive(child))


@pytest.mark.full  # its children end above
def test_a_fork_of_a_dead_worker_is_not_taken_for_it_and_ends_with_it() -> None:
    """Also one in a session of its own."""
    outcomes, events = ran(job("forks"), job("where"))
    fork = next(e.content for e in events if e.kind == "report")
    assert not alive(fork)
    assert [o.status for o in outcomes] == ["killed", "done"]


@pytest.mark.full  # those that die at a job are above
def test_a_worker_that_is_killed_between_jobs_is_replaced() -> None:
    events: list[Event] = []
    jobs = iter([job("where"), job("where")])
    outcomes = run_jobs(jobs, ["cpu"], events.append)
    first = next(outcomes)
    os.kill(first.result[1], signal.SIGKILL)
    until(lambda: not exists(first.result[1]))
    second = next(outcomes)
    assert (first.status, second.status) == ("done", "done")
    assert second.result[1] != first.result[1]
    assert list(outcomes) == []
    assert [e.kind for e in events] == ["hello", "start", "lost", "hello", "start"]


def test_two_devices_work_side_by_side(tmp_path: Path) -> None:
    outcomes, _ = ran(*(job("meets", folder=str(tmp_path), others=1) for _ in range(2)), devices=TWO)
    assert {o.device for o in outcomes} == set(TWO)
    assert {str(o.result) for o in outcomes} == {p.name for p in tmp_path.iterdir()}


@pytest.mark.full  # test_generate.py has jobs that do
def test_jobs_may_depend_on_outcomes() -> None:
    seen: list[int] = []

    def doubling() -> Iterator[Job]:
        yield job("count", to=1)
        while seen[-1] < 4:
            yield job("count", to=2 * seen[-1])

    for outcome in run_jobs(doubling(), ["cpu"], lambda event: None):
        seen.append(outcome.result)
    assert seen == [1, 2, 4]


def test_nothing_that_workers_print_reaches_standard_output(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    outcomes, events = ran(job("talks"), logs=tmp_path / "new" / "logs")
    assert outcomes[0].result == "", "there is nothing to read on standard input"
    assert capfd.readouterr() == ("", "")
    log = (tmp_path / "new" / "logs" / "worker-cpu.log").read_text()
    said = [
        "printed",
        "to standard error",
        "written to the descriptor",
        "printed by a child",
        "a library's warning",
    ]
    for line in (*said, "start: talks", "done: talks"):
        assert line in log
    assert [e.content for e in events if e.kind == "warning"] == ["Another process measures on cpu."]
    ran(job("talks"))
    printed = capfd.readouterr()
    assert printed.out == ""
    assert all(line in printed.err for line in said)
    assert "talks" not in printed.err


def test_a_device_that_cannot_be_used_leaves_its_jobs_to_the_others() -> None:
    outcomes, events = ran(job("where", "a"), job("where", "b"), devices=("toaster:0", "cpu"))
    assert {o.job.name: (o.status, o.device) for o in outcomes} == {"a": ("done", "cpu"), "b": ("done", "cpu")}
    assert [(e.kind, e.device) for e in events if "toaster" in str(e.content)] == [("lost", "toaster:0")]


@pytest.mark.full  # above one of two
def test_where_no_device_can_be_used_each_job_says_so() -> None:
    outcomes, _ = ran(job("where", "a"), job("where", "b"), devices=("toaster",))
    assert [(o.job.name, o.status, o.device) for o in outcomes] == [("a", "failed", ""), ("b", "failed", "")]
    assert all("No device can be used. toaster: RuntimeError: " in o.reason for o in outcomes)


def test_a_worker_that_hangs_on_its_start_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch.py").write_text("import time\nwhile True:\n    time.sleep(1)\n")
    monkeypatch.syspath_prepend(tmp_path)
    outcomes, events = ran(job("where"), start_limit_s=0.5)
    reason = "its process was not ready after 0.5 s"
    assert in_short(outcomes) == [("where", "failed", f"No device can be used. cpu: {reason}")]
    assert [(e.kind, e.content) for e in events] == [("lost", reason)] * 2


@pytest.mark.parametrize("devices", [[], ["cpu", "cpu"]])
def test_devices_that_make_no_sense(devices: list[str]) -> None:
    with pytest.raises(InputError, match=r"The devices are .* allowed is"):
        run_jobs([], devices, lambda event: None)


def test_a_log_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be made: Not a directory"):
        run_jobs([], ["cpu"], lambda event: None, logs=tmp_path / "file" / "logs")


def test_no_jobs_no_processes() -> None:
    assert ran() == ([], [])


@pytest.mark.full  # an interrupt ends them below
def test_closing_the_iterator_ends_the_workers(tmp_path: Path) -> None:
    pids: list[int] = []

    def listen(event: Event) -> None:
        if event.kind == "hello":
            pids.append(event.content["pid"])

    endless = job("meets", folder=str(tmp_path), others=2)
    with closing(run_jobs(chain([endless], repeat(job("where"))), TWO, listen)) as outcomes:
        next(outcome for outcome in outcomes if list(tmp_path.iterdir()))  # the endless one is under way
    assert len(pids) >= 1
    assert not any(map(exists, {*pids, *(int(p.name) for p in tmp_path.iterdir())}))


@pytest.mark.full  # an interrupt leaves none below
def test_an_error_of_the_listener_passes_and_leaves_no_process() -> None:
    pids: list[int] = []

    def listen(event: Event) -> None:
        if event.kind == "hello":
            pids.append(event.content["pid"])
        if event.kind == "report":
            pids.extend(event.content)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(run_jobs([job("with_child")], ["cpu"], listen))
    assert not exists(pids[0])
    until(lambda: not alive(pids[2]))


@pytest.fixture
def started() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Programs with two workers or more, in a process of their own; ended when the test is over."""
    processes: list[subprocess.Popen[str]] = []

    def start(functions: str, **arguments: Any) -> subprocess.Popen[str]:
        processes.append(
            subprocess.Popen(
                [sys.executable, str(HERE / "worker_parent.py"), functions, json.dumps(arguments)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                # Where tests run in the background, SIGINT is ignored from the start.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
            )
        )
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        with process:  # its pipes are closed, not read to their end: what it left behind may hold them
            pass


def lines(stream: IO[str] | None, count: int) -> list[Any]:
    assert stream is not None
    return [json.loads(stream.readline()) for _ in range(count)]


def interrupted(count: int) -> list[list[str]]:
    """What a program prints of so many jobs that were under way."""
    return [[f"job {n}", "interrupted", "Interrupted."] for n in range(count)]


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=rarely())])
def test_an_interrupt_ends_all_processes(started: Any, number: signal.Signals) -> None:
    parent = started("with_child")
    pids = [pid for pair in lines(parent.stdout, 2) for pid in pair]
    assert len(pids) == 4 and all(map(alive, pids))
    parent.send_signal(number)
    out, errors = parent.communicate(timeout=PATIENCE_S)
    assert parent.returncode == 130, errors
    assert sorted(map(json.loads, out.splitlines())) == interrupted(2)
    assert errors == ""
    assert not [pid for pid in pids[::2] if exists(pid)]
    until(lambda: not any(map(alive, pids)))


def test_an_interrupted_job_leaves_things_in_order(started: Any, tmp_path: Path) -> None:
    note = tmp_path / "note"
    parent = started("cleans_up", note=str(note))
    assert lines(parent.stdout, 2) == ["under way"] * 2
    parent.send_signal(signal.SIGTERM)
    _, errors = parent.communicate(timeout=PATIENCE_S)
    assert (parent.returncode, errors, note.read_text()) == (130, "", "clean")


@pytest.mark.full  # one that cleans up is above
def test_whatever_a_job_makes_of_its_end_it_is_interrupted(started: Any) -> None:
    parent = started("turns_its_end_into_an_error,forgets_its_end,fails_as_its_child_ends")
    assert lines(parent.stdout, 3) == ["under way"] * 3
    parent.send_signal(signal.SIGINT)
    out, errors = parent.communicate(timeout=PATIENCE_S)
    assert parent.returncode == 130, errors
    assert sorted(map(json.loads, out.splitlines())) == interrupted(3)


@pytest.mark.full  # a job that cleans up is above
def test_an_interruption_is_neither_a_failure_nor_a_success_of_a_plan(started: Any, tmp_path: Path) -> None:
    parent = started("takes_its_end_for_a_failed_plan,forgets_its_end_in_a_plan", folder=str(tmp_path))
    assert lines(parent.stdout, 2) == ["under way"] * 2
    parent.send_signal(signal.SIGINT)
    out, errors = parent.communicate(timeout=PATIENCE_S)
    assert parent.returncode == 130, errors
    assert sorted(map(json.loads, out.splitlines())) == interrupted(2)
    assert not [found.name for found in tmp_path.iterdir()]


@pytest.mark.parametrize("impatient", [pytest.param(False, marks=rarely()), True])
def test_who_ignores_the_end_is_killed(started: Any, impatient: bool) -> None:
    parent = started("swallows")
    assert lines(parent.stdout, 2) == ["under way"] * 2
    workers = children(parent.pid)
    assert len(workers) == 2
    parent.send_signal(signal.SIGINT)
    if impatient:
        time.sleep(0.5)
        parent.send_signal(signal.SIGINT)
    _, errors = parent.communicate(timeout=PATIENCE_S)
    assert (parent.returncode, errors) == (130, "")
    assert not [pid for pid in workers if exists(pid)]


@pytest.mark.parametrize("stubborn", [pytest.param(False, marks=rarely()), True])
def test_workers_end_when_their_parent_is_killed(started: Any, stubborn: bool) -> None:
    parent = started("with_child", stubborn=stubborn)
    pids = [pid for pair in lines(parent.stdout, 2) for pid in pair]
    parent.kill()
    until(lambda: not any(map(alive, pids)))
    assert parent.wait() == -signal.SIGKILL


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for file in found for child in file.read_text().split()]


def test_the_parent_never_imports_torch() -> None:
    code = (
        "import sys\nfrom hasten.workflow.workers import Job, run_jobs\n"
        "print([o.status for o in run_jobs([Job('a', 'worker_jobs:where')], ['auto'], lambda e: None)])\n"
        "print(sorted({'torch', 'diffusers', 'transformers', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=HERE, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["['done']", "[]"]
