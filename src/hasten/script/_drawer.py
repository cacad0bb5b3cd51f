"""The parent's side of a drawing process: its requests, its time limits and its memory limit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Literal, Self

from hasten.errors import HastenError, InputError, MeasurementError
from hasten.processes import Child
from hasten.script._frames import Frames, GarbledError
from hasten.script.claim import Claim
from hasten.script.surroundings import GIB, RESOURCES, cleared
from hasten.texts import fit, last_line

if TYPE_CHECKING:
    import torch

LOOK_S = 0.5
SAID_BYTES = 1 << 16
Side = Literal["reference", "script"]


@dataclass(frozen=True)
class Patience:
    """The seconds that a script may take: for import and loading, for the first call with its plan (which may
    compile), and for every other call."""

    opening_s: float
    first_s: float
    call_s: float

    @classmethod
    def beside(cls, opening_s: float, call_s: float, limit_s: float | None) -> Self:
        """Returns many times the times of the plain pipeline in hasten's own process, or ``limit_s`` if given."""
        if limit_s is not None:
            return cls(limit_s, limit_s, limit_s)
        return cls(max(300.0, 10 * opening_s), max(1200.0, 20 * call_s), max(120.0, 20 * call_s))


GENEROUS = Patience(7200.0, 3600.0, 3600.0)
"""The patience with hasten's own process, which may have to fetch a model from the hub first."""


class Drawer:
    """A process that draws images and ends together with this one. Of its answers only the images are trusted.

    A script's process has a cleared environment and limits. It is stopped while it is not asked for anything.

    Args:
        side: the side whose images it draws.
        claim: the claim that is checked.
        source: the model's folder or hub id; for a script, its path.
        name: the name of the process in errors.
        python: the interpreter.
        needed: names of diffusers that the process will need. They are loaded at its start.
    """

    def __init__(
        self,
        side: Side,
        claim: Claim,
        source: str,
        name: str,
        python: str = sys.executable,
        needed: Sequence[str] = (),
    ) -> None:
        self.name, self.patience, self._claim = name, GENEROUS, claim
        self._memory_bytes: int | None = None
        self._most = 4 * claim.batch_size * claim.height * claim.width * 3
        given = json.dumps(
            {"side": side, "claim": claim.model_dump(mode="json"), "source": source, "needed": [*needed]}
        )
        foreign = side == "script"
        # -P keeps Python from importing a torch.py in the working folder; -B writes no caches beside a script.
        try:
            self._child = Child(
                [python, "-B", "-P", "-m", "hasten.script._drawing", given],
                environment=cleared(os.environ) if foreign else None,
                limits=RESOURCES if foreign else {},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except OSError as error:
            raise InputError(f"{python} cannot be run: {error.strerror}.") from None
        self._inbox: SimpleQueue[tuple[dict[str, Any], bytes] | None] = SimpleQueue()
        self._said = b""
        self._frames = Frames(_there(self._child.stdout), _there(self._child.stdin))
        self._listening = [threading.Thread(target=work, daemon=True) for work in (self._listen, self._hear)]
        for thread in self._listening:
            thread.start()

    def limit(self, patience: Patience, memory_bytes: int) -> None:
        """Sets the patience for later calls, and the memory that the process and its descendants may hold
        together.

        A limit of the process itself also ends it when it grows faster than it is checked. CUDA reserves address
        space far beyond what it uses, so there only the checks apply.
        """
        self.patience, self._memory_bytes = patience, memory_bytes
        if sys.platform == "linux" and not self._claim.device.startswith("cuda"):
            import psutil

            for process in self.processes():
                _looked(process, lambda p: p.rlimit(psutil.RLIMIT_DATA, (memory_bytes, memory_bytes)))

    def start(self) -> None:
        """Waits until the process is ready for requests. Until then it runs no foreign code."""
        self._answer(GENEROUS.opening_s, "starting")

    def open(self) -> dict[str, Any]:
        """Loads the pipeline. Returns what the process says of itself, to be trusted of hasten's own only."""
        return self._ask({"do": "open"}, self.patience.opening_s, "loading its pipeline")[0]

    def accelerate(self) -> None:
        """Installs the plan of the claim."""
        self._ask({"do": "accelerate"}, self.patience.first_s, "installing its plan")

    def draw(self, prompt: str, seed: int, first: bool = False) -> torch.Tensor:
        """Returns the first image of one call, (3, h, w), uint8, on the CPU. ``first`` allows the time for
        compiling.

        Raises:
            MeasurementError: the call failed, took too long, or returned no image.
        """
        limit_s = self.patience.first_s if first else self.patience.call_s
        told, pixels = self._ask({"do": "draw", "prompt": prompt, "seed": seed}, limit_s, "drawing an image")
        return _image(told.get("sizes"), pixels, self.name)

    def rest(self) -> None:
        """Stops the process until it is ``awake``."""
        self._child.pause()

    @contextmanager
    def awake(self) -> Iterator[None]:
        """Lets the process run inside the context. It is stopped before and after."""
        self._child.resume()
        try:
            yield
        finally:
            self.rest()

    def processes(self) -> list[Any]:
        """Returns the process and everything that it started, as psutil objects."""
        import psutil

        try:
            return psutil.Process(self._child.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def resident_bytes(self) -> int:
        """Returns the resident memory of these processes."""
        return sum(_looked(process, lambda p: int(p.memory_info().rss)) for process in self.processes())

    def busy_s(self) -> float:
        """Returns the processor time in seconds that they have used so far."""
        return sum(_looked(process, lambda p: sum(p.cpu_times()[:4])) for process in self.processes())

    def close(self) -> None:
        """Ends the process and everything that it started."""
        self._child.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _ask(self, asked: dict[str, Any], limit_s: float, what: str) -> tuple[dict[str, Any], bytes]:
        if not self._inbox.empty():
            self._unasked()
        try:
            self._frames.send(asked)
        except BrokenPipeError:
            raise self._died() from None
        answer = self._answer(limit_s, what)
        if "error" in answer[0]:
            raise self._error(answer[0])
        return answer

    def _answer(self, limit_s: float, what: str) -> tuple[dict[str, Any], bytes]:
        deadline = time.monotonic() + limit_s
        while True:
            try:
                answer = self._inbox.get(timeout=min(LOOK_S, limit_s))
            except Empty:
                self._check_memory()
                if time.monotonic() > deadline:
                    self.close()
                    raise MeasurementError(
                        f"{self.name} fails: {what} took longer than {limit_s:g} s, and was ended."
                    ) from None
                continue
            if answer is None:
                raise self._died()
            return answer

    def _check_memory(self) -> None:
        if self._memory_bytes is not None and (held := self.resident_bytes()) > self._memory_bytes:
            self.close()
            raise MeasurementError(
                f"{self.name} fails: it took {held / GIB:.1f} GiB of memory, more than the "
                f"{self._memory_bytes / GIB:.1f} GiB that it may have, and was ended."
            )

    def _unasked(self) -> None:
        answer = self._inbox.get()
        if answer is None:
            raise self._died()
        self.close()
        raise MeasurementError(f"{self.name} fails: it answers before it is asked, and was ended.")

    def _died(self) -> HastenError:
        """Returns the error for a process that has closed the channel."""
        try:
            self._child.wait(LOOK_S)
            fate = self._child.fate
        except subprocess.TimeoutExpired:
            fate = "it closed the channel to hasten, and was ended"
        self.close()
        for thread in self._listening:
            thread.join(LOOK_S)
        said = last_line(self._said.decode(errors="replace"))
        return MeasurementError(f"The process of {self.name} died ({fate}): {said}")

    def _error(self, answer: dict[str, Any]) -> HastenError:
        if answer.get("input") is True:
            return InputError(str(answer["error"]))
        return MeasurementError(f"{self.name} fails: {fit(str(answer['error'])).rstrip('.')}.")

    def _listen(self) -> None:
        """Receives answers in a thread, so that their times do not depend on who waits for them."""
        try:
            while (answer := self._frames.receive(self._most)) is not None:
                self._inbox.put(answer)
        except (GarbledError, ValueError, OSError) as error:
            self._said += f"\nwhat it sent is no answer: {error}".encode()
        self._inbox.put(None)

    def _hear(self) -> None:
        """Reads what the process prints, so that the pipe never fills, and keeps the end of it."""
        stream = _there(self._child.stderr)
        try:
            while said := stream.read1(SAID_BYTES):
                self._said = (self._said + said)[-SAID_BYTES:]
        except (OSError, ValueError):  # the stream was closed meanwhile
            return


def _there(stream: Any) -> Any:
    if stream is None:
        raise RuntimeError("A process without its pipes.")
    return stream


def _looked(process: Any, at: Any) -> Any:
    import psutil

    try:
        return at(process)
    except psutil.Error:  # the process has ended
        return 0


def _image(sizes: Any, pixels: bytes, name: str) -> torch.Tensor:
    """Returns the first image of an answer. The announced sizes are checked, because they may be wrong."""
    import torch

    try:
        (width, height), count = sizes[0], len(sizes)
        whole = all(list(size) == [width, height] for size in sizes)
        if not whole or min(width, height) < 1 or len(pixels) != count * width * height * 3:
            raise ValueError
        flat = torch.frombuffer(bytearray(pixels), dtype=torch.uint8)
        return flat.view(count, height, width, 3)[0].permute(2, 0, 1).contiguous()
    except (TypeError, ValueError, IndexError, RuntimeError):
        raise MeasurementError(f"{name} fails: generate() gave no images of one size.") from None
