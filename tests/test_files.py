"""A file is whole at every moment, whoever writes it and whenever it is killed."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock

from hasten import files
from hasten.errors import InputError
from hasten.files import folder_at, save, updating, whole

SPAWN = multiprocessing.get_context("spawn")


def test_saving_replaces_the_whole_file_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "script.py"
    save("old" * 1000, path)
    assert save("new\n", path).read_bytes() == b"new\n"
    assert [p.name for p in path.parent.iterdir()] == ["script.py"]


def test_saving_where_nothing_can_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "script.py", tmp_path / "folder"):
        with pytest.raises(InputError, match="cannot be written"):
            save("text", path)
    with pytest.raises(InputError, match="cannot be written"), updating(tmp_path / "file" / "script.py"):
        pass
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


def test_text_that_cannot_be_encoded_leaves_the_old_file(tmp_path: Path) -> None:
    path = save("old", tmp_path / "file")
    with pytest.raises(UnicodeEncodeError):
        save("new \ud800", path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_half_a_character_becomes_a_question_mark(tmp_path: Path) -> None:
    text = json.loads('"a \\ud83d cat 🐈 of \\ud800\\udc00"')
    assert whole(text) == "a ? cat 🐈 of 𐀀"
    assert save(whole(text), tmp_path / "file").read_text(encoding="utf-8") == whole(whole(text))


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target = save("old", tmp_path / "shared" / "file")
    link = tmp_path / "file"
    link.symlink_to(target)
    with updating(link) as path:
        save("new", path)
    assert link.is_symlink() and target.read_text() == "new"


FILLS_UP = """
import sys
from pathlib import Path
from hasten.errors import WriteError
from hasten.files import save
folder = Path(sys.argv[1])
save("whole", folder / "script.py")
save("whole", folder / "answer.json")
try:
    save("x" * 1_000_000, folder / "report.html")
except WriteError as error:
    print(error, error.exit_code)
print(sorted(path.name for path in folder.iterdir()))
"""
BELOW = """
import sys
from pathlib import Path
from hasten.errors import WriteError
from hasten.files import save
folder = Path(sys.argv[1])
save("whole", folder / "answer.json")
for name in ("images/1.png", "n" * 300):
    try:
        save("x" * 1_000_000, folder / name)
    except WriteError as error:
        print(error, error.exit_code)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limits there")
def test_a_place_that_is_full_is_its_own_failure_and_tells_what_was_written(tmp_path: Path) -> None:
    """Nothing half written stays behind. The process may write 100 kB to a file: the system refuses the rest."""
    import resource

    done = subprocess.run(
        [sys.executable, "-c", FILLS_UP, str(tmp_path)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
        capture_output=True,
        text=True,
        check=True,
    )
    told, left = done.stdout.splitlines()
    assert told.startswith(f"{tmp_path / 'report.html'} cannot be written: File too large. ")
    assert "Written before it, and whole: script.py, answer.json." in told and told.endswith(" 1")
    assert left == "['answer.json', 'script.py']"


@pytest.mark.skipif(sys.platform == "win32", reason="no limits there")
def test_what_was_written_is_told_whatever_stops_the_next_file(tmp_path: Path) -> None:
    """In a folder below it, too: and then it is no mistake of the input, after which nothing would be there."""
    import resource

    done = subprocess.run(
        [sys.executable, "-c", BELOW, str(tmp_path)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
        capture_output=True,
        text=True,
        check=True,
    )
    full, long = done.stdout.splitlines()
    assert "1.png cannot be written: File too large. Written before it, and whole: answer.json." in full
    assert "File name too long. Written before it, and whole: answer.json." in long and long.endswith(" 1")


def test_no_space_left_is_the_same_failure(tmp_path: Path) -> None:
    """On a file system of 64 kB, where one can be mounted."""
    mounted = 'mount -t tmpfs -o size=64k none "$1" && exec "$2" -c "$3" "$1"'
    command = ["unshare", "-m", "sh", "-c", mounted, "sh", str(tmp_path), sys.executable, FILLS_UP]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no file system can be mounted here")
    assert (
        "report.html cannot be written: No space left on device. Written before it, and whole: script"
        in done.stdout
    )


def test_what_a_killed_process_left_of_its_file_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not what another one writes just now, or what is no draft of hasten."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    stale = [tmp_path / f".report.html.x1y2-{gone.pid}.tmp", tmp_path / f".0.png.ab-{gone.pid}.tmp"]
    kept = [tmp_path / f".report.html.x1y2-{os.getpid()}.tmp", tmp_path / "mine.tmp"]
    for path in (*stale, *kept):
        path.touch()
    monkeypatch.setattr(files, "STALE_S", -1)
    save("text", tmp_path / "script.py")
    assert sorted(tmp_path.iterdir()) == sorted([*kept, tmp_path / "script.py"])


def count(path: Path, times: int) -> None:
    for _ in range(times):
        with updating(path):
            save(str(int(path.read_text()) + 1), path)


def test_processes_that_change_a_file_at_once_lose_nothing(tmp_path: Path) -> None:
    path = save("0", tmp_path / "count")
    workers = [SPAWN.Process(target=count, args=(path, 50)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert path.read_text() == "150"


def test_holding_a_file_twice_in_one_thread_is_no_deadlock(tmp_path: Path) -> None:
    path = save("0", tmp_path / "count")
    with updating(path):
        count(path, 1)
    assert path.read_text() == "1"


def test_a_file_that_another_never_lets_go_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LOCK_WAIT_S", 0.2)
    with (
        FileLock(tmp_path / ".file.lock"),
        pytest.raises(InputError, match="held by another process"),
        updating(tmp_path / "file"),
    ):
        pass


def write_forever(path: Path) -> None:
    number = 0
    while True:
        number += 1
        with updating(path):
            save(json.dumps([number] * 50_000), path)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 there")
def test_killed_while_writing_the_file_is_whole_and_free(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for _ in range(5):
        worker = SPAWN.Process(target=write_forever, args=(path,))
        before = path.stat().st_ino if path.exists() else None
        worker.start()
        while not path.exists() or path.stat().st_ino == before:
            assert worker.is_alive()
            time.sleep(0.001)
        os.kill(worker.pid, signal.SIGKILL)  # type: ignore[arg-type]
        worker.join()
        numbers = json.loads(path.read_text())
        assert len(numbers) == 50_000 and len(set(numbers)) == 1
        with updating(path):
            save(path.read_text(), path)


@pytest.mark.parametrize("name", ["~nosuchuser/x", "n" * 300, "a\0b", "no such folder", __file__])
def test_names_that_are_no_folder(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert folder_at(name) is None


def test_a_folder_below_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine").mkdir()
    assert folder_at("~/mine") == folder_at(tmp_path / "mine") == tmp_path / "mine"
