"""Commands where output, names or memory are not as usual: one sentence and an exit code, never a traceback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.support.marks import rarely

HASTEN = [sys.executable, "-m", "hasten"]
LISTED = [*HASTEN, "list", "models"]
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full, terminals and limits")


def shell(script: str, *words: str | bytes, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", script, "sh", *words],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        errors="backslashreplace",
        timeout=300,
        check=False,
    )


@linux
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_output_that_cannot_be_written_is_told(form: tuple[str, ...]) -> None:
    done = shell('"$@" > /dev/full', *LISTED, *form)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "Error: The output cannot be written: No space left on device." in done.stderr


@pytest.mark.parametrize(
    "closed", [*(pytest.param(s, marks=rarely()) for s in (">&-", "2>&-", "<&-")), ">&- 2>&- <&-"]
)
def test_closed_streams(closed: str) -> None:
    done = shell(f'"$@" {closed}', *LISTED)
    assert done.returncode == 0 and not done.stderr


@pytest.mark.parametrize("encoding", ["latin-1", *(pytest.param(e, marks=rarely()) for e in ("cp1252", "koi8-r"))])
def test_what_an_encoding_lacks_is_written_as_its_number(encoding: str, tmp_path: Path) -> None:
    bounds = {"('SD1.5', 'DDIM', '50', 'upbound_speedup', 0.02, ['deepcache'])": {"max_speedup": 3.0}}
    (tmp_path / "bounds.json").write_text(json.dumps(bounds))
    given = ("--bounds", str(tmp_path / "bounds.json"), "--out", str(tmp_path / "tasks.json"))
    done = shell('"$@"', *HASTEN, "tasks", *given, "--language", "zh", PYTHONIOENCODING=encoding)
    assert done.returncode == 0 and "\\u" in done.stdout and not done.stdout.isspace()


@pytest.mark.parametrize(
    "words", [("verify", b"a\xff.py"), ("report", b"a\xff"), ("generate", b"a\xff.json"), ("explore", b"\xff")]
)
def test_names_that_are_no_text(words: tuple[str, bytes]) -> None:
    done = shell('"$@"', *HASTEN, *words)
    assert done.returncode == 2 and "Error: " in done.stderr and "Traceback" not in done.stderr


@linux
def test_too_little_memory_for_a_library() -> None:
    request = "Generate an emoji-sd pipeline using the DDIM sampler with 4 steps"
    done = shell('ulimit -v 500000; "$@"', *HASTEN, "run", request)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "too little memory" in done.stderr or "not enough memory" in done.stderr


def on_a_terminal(*words: str, **environment: str) -> str:
    """What a terminal gets of a command."""
    import pty

    master, slave = pty.openpty()
    with subprocess.Popen(words, env={**os.environ, **environment}, stdin=slave, stdout=slave, stderr=slave):
        os.close(slave)
        found = b""
        try:
            while read := os.read(master, 4096):
                found += read
        except OSError:  # the other side is closed
            pass
    os.close(master)
    return found.decode(errors="replace")


@linux
def test_no_escape_of_a_name_reaches_a_terminal() -> None:
    for command in ("verify", "report", "parse", "generate"):
        assert "\x1b]0;" not in on_a_terminal(*HASTEN, command, "a\x1b]0;title\x07[bold]b.py")


@linux
def test_colours_are_left_out_where_they_are_not_wanted() -> None:
    wrong = [*HASTEN, "parse", "nothing of this is a request"]
    assert "\x1b[31m" in on_a_terminal(*wrong, NO_COLOR="")
    assert "\x1b[3" not in on_a_terminal(*wrong, NO_COLOR="1")


@pytest.mark.skipif(sys.platform == "win32", reason="no such signal")
def test_a_command_that_is_asked_to_end_says_so(tmp_path: Path) -> None:
    request = "Generate an emoji-sd pipeline using the DDIM sampler with 900 steps"
    words = [*HASTEN, "run", request, "--out", str(tmp_path / "out"), "--storage", "memory", "--device", "cpu"]
    surroundings = {**os.environ, "OMP_NUM_THREADS": "1", "XDG_STATE_HOME": str(tmp_path)}
    with subprocess.Popen(words, env=surroundings, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None and "starting" in child.stderr.readline()
        time.sleep(1)
        child.send_signal(signal.SIGTERM)
        said = child.stderr.read()
    assert child.returncode == 130 and "Interrupted. All finished trials are kept" in said
