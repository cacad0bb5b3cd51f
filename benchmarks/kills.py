"""Kills commands while a script hangs in them, and looks what is left: ``python -m benchmarks.kills --times 20``.

Each command is killed by SIGKILL, with which a process can do nothing any more, while the process of its script
hangs in the interpreter itself. Reported are the seconds until no process of it runs any more, and whether the
next command gets the device at once.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

REQUEST = "Generate an emoji-sd pipeline with DDIM and 2 steps"
COMMANDS = ("verify", "run", "generate")
AT_MOST_S = 3.0
PATIENCE_S = 600.0
HANGS = """
import sys
if "hasten.script._drawing" in sys.orig_argv and '"side": "script"' in sys.orig_argv[-1]:
    import subprocess
    subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"], start_new_session=True)
    open({mark!r}, "w").close()
    sum(range(10**13))
"""
"""What the process of a script does before anything else: it starts one that leaves its session, and hangs."""
NEXT = "from hasten.measure.lock import device_lock\nwith device_lock('cpu', wait=False): pass"


def surroundings(folder: Path) -> dict[str, str]:
    """The environment of a command whose script hangs; its state is in the folder."""
    (folder / "sitecustomize.py").write_text(HANGS.format(mark=str(folder / "hangs")), encoding="utf-8")
    own = {f"XDG_{name}_HOME": str(folder / name.lower()) for name in ("STATE", "DATA", "CACHE")}
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    return {**os.environ, **own, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def words(command: str, folder: Path) -> list[str]:
    """The command; what it needs is in the folder."""
    hasten = [sys.executable, "-m", "hasten", command]
    measured = ["--num-samples", "8", "--pairs", "1", "--out", str(folder / "out")]
    if command == "verify":
        return [*hasten, str(next((folder / "script").glob("*.py")))]
    if command == "run":
        return [*hasten, REQUEST, *measured]
    requests = folder / "requests.txt"
    requests.write_text(REQUEST + "\n", encoding="utf-8")
    return [*hasten, str(requests), *measured]


@contextmanager
def hanging(command: str, folder: Path) -> Iterator[list[psutil.Process]]:
    """The processes of a command whose script hangs, the command itself first."""
    environment, mark = surroundings(folder), folder / "hangs"
    if command == "verify":
        script = [*words("run", folder)[:-1], str(folder / "script"), "--no-verify"]
        subprocess.run(script, env=environment, check=True, capture_output=True)
    mark.unlink(missing_ok=True)
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(words(command, folder), env=environment, stdout=said, stderr=said)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not mark.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(
                    f"{command} ended before its script could hang: {(folder / 'said').read_text()}"
                )
            time.sleep(0.1)
        first = psutil.Process(process.pid)
        yield [first, *first.children(recursive=True)]
    finally:
        process.kill()
        process.wait()


def killed(command: str, folder: Path) -> tuple[int, float, bool]:
    """How many processes there were, the seconds until none of them ran, and whether the device was free then."""
    with hanging(command, folder) as family:
        family[0].kill()
        began = time.monotonic()
        while any(map(_runs, family)) and time.monotonic() - began < 10 * AT_MOST_S:
            time.sleep(0.01)
        took_s = time.monotonic() - began
    after = subprocess.run(
        [sys.executable, "-c", NEXT], env=surroundings(folder), check=False, capture_output=True
    )
    return len(family), took_s, after.returncode == 0


def _runs(process: psutil.Process) -> bool:
    try:
        return process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20, help="kills of all commands together")
    times, bad = parser.parse_args().times, 0
    for number in range(times):
        command = COMMANDS[number % len(COMMANDS)]
        with tempfile.TemporaryDirectory() as folder:
            processes, took_s, free = killed(command, Path(folder))
        bad += took_s > AT_MOST_S or not free
        then = "starts at once" if free else "has to wait"
        print(f"{command}: {processes} processes, none after {took_s:.2f} s; the next {then}", flush=True)
    print(f"{times - bad} of {times} kills left no process after {AT_MOST_S:g} s and the device free")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
