"""Files that hold trials which a store could not write, until it can."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import platformdirs

from hasten.errors import HastenError
from hasten.files import save_json, updating

KEEPING = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from hasten.store._aside import main; main()"
FORMAT = "hasten trials kept aside 1"


@dataclass(frozen=True)
class Aside:
    """The files with the unwritten trials of one store.

    They are beside its database, in the user's data folder, or in the temporary folder, wherever there is room.

    Args:
        name: the name of the files, in any of these folders.
        beside: the folder of its database, where that is a file.
    """

    name: str
    beside: Path | None = None

    @classmethod
    def of(cls, url: str, beside: Path | None) -> Self:
        """Returns the files of a store with that URL, which their name does not show."""
        return cls(f"hasten-trials-{sha256(url.encode()).hexdigest()[:12]}.json", beside)

    def command(self, study: str, trial: str) -> tuple[str, ...]:
        """Returns the command by which another process adds a trial. It ends with code 0 where that succeeds."""
        path = json.dumps([entry for entry in sys.path if isinstance(entry, str)])
        beside = str(self.beside) if self.beside else ""
        return sys.executable, "-P", "-c", KEEPING, path, self.name, beside, study, trial

    def keep(self, study: str, trial: str) -> Path | None:
        """Adds a trial, as JSON text, to the first file that can be written. Returns that file, or None where
        there is none."""
        for path in self._files():
            try:
                with updating(path):
                    save_json({"format": FORMAT, "trials": [*_read(path), {"study": study, "trial": trial}]}, path)
            except (HastenError, OSError):
                continue
            return path
        return None

    def take(self, wanted: Callable[[str, str], bool], add: Callable[[str], None]) -> None:
        """Hands over the wanted trials, and removes them from their file once all of them were taken.

        Args:
            wanted: tells from its study and its text whether a trial is wanted.
            add: takes one trial. An error that it raises ends the call, and the file stays as it is.
        """
        for path in self._files():
            if not _read(path):
                continue
            with updating(path):
                entries = _read(path)
                mine = [entry for entry in entries if wanted(entry["study"], entry["trial"])]
                for entry in mine:
                    add(entry["trial"])
                left = [entry for entry in entries if entry not in mine]
                save_json({"format": FORMAT, "trials": left}, path) if left else path.unlink()

    def _files(self) -> Iterator[Path]:
        folders = [self.beside] if self.beside else []
        own = Path(tempfile.gettempdir()) / f"hasten-{os.getuid() if hasattr(os, 'getuid') else 'aside'}"
        for folder in (*folders, Path(platformdirs.user_data_dir("hasten", appauthor=False)), own):
            yield folder / self.name


def _read(path: Path) -> list[dict[str, str]]:
    """Returns the entries of a file that this user wrote; none where it is missing, somebody else's, or
    damaged."""
    try:
        if hasattr(os, "getuid") and path.stat().st_uid != os.getuid():
            return []
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return []
    entries = found.get("trials") if isinstance(found, dict) and found.get("format") == FORMAT else None
    return [e for e in entries if isinstance(e, dict) and _text(e)] if isinstance(entries, list) else []


def _text(entry: dict[str, Any]) -> bool:
    return all(isinstance(entry.get(name), str) for name in ("study", "trial"))


def main() -> None:
    """Adds the trial of ``Aside.command``."""
    name, beside, study, trial = sys.argv[2:]
    sys.exit(0 if Aside(name, Path(beside) if beside else None).keep(study, trial) else 1)
