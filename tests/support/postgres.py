"""A PostgreSQL server of its own for a test: in a temporary folder, on a socket there, as an unprivileged user."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

CLUSTERS = Path("/usr/lib/postgresql")
"""Where Debian's packages put the programs of each version, none of them on the path."""
UNPRIVILEGED = "nobody"
MISSING = "PostgreSQL's programs are not here: apt-get install postgresql"


def programs() -> Path | None:
    """The folder of PostgreSQL's programs, those of the newest version; None where there is none."""
    if found := shutil.which("initdb"):
        return Path(found).parent
    folders = sorted(CLUSTERS.glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True)
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


class Postgres:
    """A server with one empty database."""

    def __init__(self, folder: Path, bin_: Path) -> None:
        self._data, self._sockets, self._bin = folder / "data", folder, bin_

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://hasten@/postgres?host={self._sockets}"

    def create(self) -> None:
        self._do("initdb", "-D", str(self._data), "-U", "hasten", "--auth=trust", "--no-sync", "--encoding=UTF8")

    def start(self) -> None:
        options = f"-c listen_addresses='' -c unix_socket_directories={self._sockets} -c fsync=off"
        log = str(self._data / "log")
        self._do("pg_ctl", "-D", str(self._data), "-w", "-t", "120", "-l", log, "-o", options, "start")

    def stop(self) -> None:
        """Ends all connections at once, as a restart of the machine does."""
        self._do("pg_ctl", "-D", str(self._data), "-w", "-m", "immediate", "stop")

    def clear(self) -> None:
        """Starts the server where it does not run, and empties its database."""
        if not (self._data / "postmaster.pid").exists():
            self.start()
        with psycopg.connect(self.url.replace("+psycopg", "")) as database:
            database.execute("drop schema public cascade")
            database.execute("create schema public")

    def _do(self, program: str, *words: str) -> None:
        user = pwd.getpwnam(UNPRIVILEGED)
        who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
        done = subprocess.run(
            [str(self._bin / program), *words],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self._sockets,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
            **who,  # type: ignore[call-overload]
        )
        if done.returncode:
            log = self._data / "log"
            raise RuntimeError(f"{program}: {done.stdout}{log.read_text() if log.exists() else ''}")


@contextmanager
def server() -> Iterator[Postgres]:
    """A server that runs inside the context. Skips the test where PostgreSQL is not installed."""
    bin_ = programs()
    if bin_ is None:
        pytest.skip(MISSING)
    with tempfile.TemporaryDirectory(prefix="hasten-pg-") as folder:  # a socket's path is short
        if os.geteuid() == 0:
            user = pwd.getpwnam(UNPRIVILEGED)
            os.chown(folder, user.pw_uid, user.pw_gid)
        found = Postgres(Path(folder), bin_)
        found.create()
        found.start()
        try:
            yield found
        finally:
            with suppress(RuntimeError):  # the test has stopped it
                found.stop()
