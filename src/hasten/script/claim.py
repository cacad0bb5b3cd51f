"""What a script claims about itself: its ``CLAIM``, read back without running the script."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationError

from hasten.answer import Answer
from hasten.errors import InputError
from hasten.limits import Limits
from hasten.measure.threads import for_script
from hasten.models import embedded_folder
from hasten.models.base import Model
from hasten.plan import Plan
from hasten.records import Answered, Interval, Record
from hasten.task import Setting, Target
from hasten.version import __version__

Runtime = Literal["hasten", "upstream"]
_EMBEDDED = re.compile(r"str\((?:embedded_folder\(|files\('hasten'\) / 'assets' / )'([A-Za-z0-9._-]+)'\)?\)")
"""Matches the expressions by which scripts, also older ones, find weights that ship with hasten."""
CLIP_SCORE = "clip_score"
REQUIRED = ("load_pipeline", "generate")
LONGEST = 1 << 20
"""Largest size of a script in bytes. The scripts that hasten writes have about ten thousand."""
TOLERANCE = 0.95
"""The share of the claimed speedup that must be reached when it is measured again. The upper end of the new
interval is compared, so that times of a restless machine, which decide nothing, do not refute a claim."""


class Claim(Record):
    """The figures that a script was written with, and the setting in which they were measured.

    Figures that come from a file and were not measured here have no interval, and ``samples`` is 0. Latencies are
    in seconds a call of the pipeline (one batch). ``losses`` are relative, by metric. ``max_loss`` holds the
    limits of the request, which apply on either side where ``two_sided``. ``confidence`` applies to the intervals,
    here and when the script is verified. ``seed`` determines the latents. ``threads`` is the number of CPU threads
    that the script sets, and None where it leaves torch its own choice.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    hasten: str
    runtime: Runtime
    status: Answered
    model: str = Field(min_length=1)
    scheduler: str
    steps: int = Field(ge=1)
    height: int = Field(ge=8)
    width: int = Field(ge=8)
    guidance_scale: float
    batch_size: int = Field(ge=1)
    dtype: str
    device: str
    plan: str
    target: Target | None
    speedup: float | None
    speedup_interval: Interval | None
    baseline_latency_s: float | None
    latency_s: float | None
    max_loss: dict[str, float]
    losses: dict[str, float]
    loss_intervals: dict[str, Interval]
    two_sided: bool = False
    confidence: float = Field(default=0.95, ge=0.5, le=0.999)
    prompts: str
    scorer: str
    samples: int
    seed: int
    threads: int | None = Field(default=None, ge=1)
    environment: dict[str, str]

    @classmethod
    def of(
        cls,
        answer: Answer,
        *,
        setting: Setting,
        model: Model,
        runtime: Runtime,
        seed: int,
        environment: Mapping[str, str],
    ) -> Claim:
        """Returns the claim of an answer. Raises InputError where the answer has no plan to write a script of."""
        empty = not answer.plan_text and answer.task.mode != "plain"
        if empty or answer.status == "failed" or answer.status == "undecided":  # noqa: PLR1714 (narrows its type)
            why = f" ({answer.reason})" if answer.reason else ""
            raise InputError(
                f"There is no plan to write a script of: the answer is {answer.status}{why}. "
                "Write the script of its best feasible answer, or ask for less."
            )
        place = {name: getattr(setting, name) for name in _PLACE}
        return cls(
            hasten=__version__,
            runtime=runtime,
            status=answer.status,
            plan=str(answer.plan),
            target=answer.task.target,
            max_loss=answer.task.max_loss,
            two_sided=answer.task.two_sided,
            confidence=answer.confidence,
            prompts=model.prompts,
            scorer=model.scorer,
            seed=seed,
            threads=for_script(environment),
            environment=dict(environment),
            **place,
            **_figures(answer),
        )

    def literal(self) -> dict[str, Any]:
        """Returns the claim as JSON-able data, as it stands in a script."""
        needless = {"two_sided": not self.two_sided, "threads": self.threads is None}
        data = self.model_dump(mode="json", exclude={name for name, out in needless.items() if out})
        data["target"] = None if self.target is None else self.target.model_dump(exclude_none=True)
        return data

    @property
    def limits(self) -> Limits:
        """The limits that the script claims to keep. Explicit parameters may exceed the request's limits."""
        asked = Limits(self.max_loss, self.two_sided)
        kept = (m for m in asked if m in self.losses and asked.excess(m, self.losses[m]) < 0)
        return Limits({m: asked[m] for m in kept}, self.two_sided)


_PLACE = ("model", "scheduler", "steps", "height", "width", "guidance_scale", "batch_size", "dtype", "device")


def _figures(answer: Answer) -> dict[str, Any]:
    losses = answer.confirmed.losses if answer.confirmed and answer.plan else {}
    told = {metric: _short(loss.loss) for metric, loss in losses.items()}
    if answer.stated and answer.quality_loss is not None:
        told = {CLIP_SCORE: _short(answer.quality_loss)}
    return {
        "speedup": _short(answer.speedup),
        "speedup_interval": _pair(answer.speedup_interval),
        "baseline_latency_s": _short(answer.baseline_latency_s),
        "latency_s": _short(answer.latency_s),
        "losses": told,
        "loss_intervals": {metric: _pair(loss.interval) for metric, loss in losses.items()},
        "samples": max((loss.samples for loss in losses.values()), default=0),
    }


def _short(value: float | None) -> float | None:
    """Rounds to six significant digits: more would be noise to the reader, fewer could cross a limit."""
    return None if value is None else float(f"{value:.6g}")


def _pair(interval: Interval | None) -> tuple[float, ...] | None:
    return None if interval is None else tuple(float(f"{value:.6g}") for value in interval)


def promises(claim: Claim) -> tuple[float, ...]:
    """Returns the speedups that a script must reach when it is measured again: ``TOLERANCE`` times the claim's,
    and the requested one."""
    asked = claim.target.speedup if claim.target else None
    least = claim.speedup * TOLERANCE if claim.speedup is not None else None
    return tuple(value for value in (least, asked) if value is not None)


def read_claim(path: str | Path) -> Claim:
    """Returns the claim of a script, without running it.

    Raises:
        InputError: there is no such file, it is not Python or not a script of hasten, or its claim was tampered
            with.
    """
    path = Path(path)
    tree = _tree(path)
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    value = next(
        (node.value for node in tree.body if isinstance(node, ast.Assign) and _assigns(node, "CLAIM")), None
    )
    if value is None or not functions.issuperset(REQUIRED):
        lacking = [*(["CLAIM"] if value is None else []), *(f for f in REQUIRED if f not in functions)]
        raise InputError(f"{path} is not a script of hasten: it has no {' and no '.join(lacking)}.")
    try:
        claim = Claim.model_validate(ast.literal_eval(value))
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(
            f"The CLAIM of {path} cannot be read: {_faults(error)}. Generate the script anew."
        ) from None
    if Plan.parse(claim.plan) and "accelerate" not in functions:
        raise InputError(f"{path} claims the plan {claim.plan} but has no function 'accelerate'.")
    return claim


def model_source(path: str | Path, claim: Claim) -> str:
    """Returns the folder or hub id from which the script loads its weights, by its MODEL and without running it.

    Where MODEL is no longer plain text, the result is the name of the claimed model.
    """
    for node in _tree(Path(path)).body:
        if isinstance(node, ast.Assign) and _assigns(node, "MODEL"):
            if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
                return node.value.value
            if embedded := _EMBEDDED.fullmatch(_unparsed(node.value)):
                return str(embedded_folder(embedded[1]))
    return claim.model


def needed_of(path: str | Path, package: str) -> tuple[str, ...]:
    """Returns the names that the script imports from a package, without running it."""
    imports = (n for n in _tree(Path(path)).body if isinstance(n, ast.ImportFrom) and n.module == package)
    return tuple(alias.name for found in imports for alias in found.names)


def _tree(path: Path) -> ast.Module:
    try:
        if not path.is_file():
            raise InputError(f"There is no script {path}{': it is a folder' if path.is_dir() else ''}.")
        with path.open("rb") as file:
            content = file.read(LONGEST + 1)
        if len(content) > LONGEST:
            raise InputError(f"{path} is not a script of hasten: it has more than {LONGEST} bytes.")
        return ast.parse(content, filename=str(path))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from None
    except (RecursionError, MemoryError):  # Python's parser raises either
        raise InputError(f"{path} is not a script of hasten: it is nested too deeply.") from None
    except (SyntaxError, ValueError) as error:
        raise InputError(f"{path} is not a Python program: {error}.") from None


def _unparsed(node: ast.expr) -> str:
    try:
        return ast.unparse(node)
    except RecursionError:  # an expression this deep is not a path
        return ""


def _assigns(node: ast.Assign, name: str) -> bool:
    return any(isinstance(target, ast.Name) and target.id == name for target in node.targets)


def _faults(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return "it is no plain literal"
    return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
