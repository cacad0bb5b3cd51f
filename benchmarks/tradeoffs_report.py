"""The tables of docs/results/tradeoffs.md from what tradeoffs.py printed.

    python benchmarks/tradeoffs.py emoji-sd --device cuda > emoji-sd.txt
    python benchmarks/tradeoffs_report.py emoji-sd.txt

The files of one model, with its baselines side by side: first the losses of the CLIP score and of SSIM, those of
the CLIP score at the limit or over it in bold; then TaylorSeer beside fewer steps in equal work, for a step that
it forecasts costs next to nothing. What is left out on a model has no row.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from hasten.methods import METHODS
from hasten.plan import Plan
from hasten.testing.pipelines import tiny_sd

LIMIT = 0.02
SECTION = re.compile(r"(?P<scheduler>.+), (?P<steps>\d+) steps, guidance \S+, \d+ prompts")
LOSS = re.compile(r"(\S+) \((\S+) to (\S+)\)")
GATES = ("gate_step", "cutoff_step")
STRENGTHS = ("cache_interval", "ratio", "threshold")


class Loss(NamedTuple):
    """A relative loss and its 95% interval."""

    loss: float
    low: float
    high: float


class Baseline(NamedTuple):
    """The plain pipeline that the plans of a section were held against."""

    scheduler: str
    steps: int


Losses = tuple[Loss, ...]
Found = dict[Baseline, dict[str, Losses]]


def read(lines: Iterable[str]) -> Found:
    """The losses of each baseline's plans; those that were left out are not there."""
    found: Found = {}
    for line in lines:
        if section := SECTION.fullmatch(line.strip()):
            here = found.setdefault(Baseline(section["scheduler"], int(section["steps"])), {})
        text, *cells = line.strip().split(" | ")
        matches = [LOSS.fullmatch(cell) for cell in cells]
        if cells and all(matches):
            here[text] = tuple(
                Loss(*(float(number) + 0.0 for number in match.groups())) for match in matches if match
            )
    return found


def _loss(match: re.Match[str]) -> Loss:
    return Loss(*(float(number) + 0.0 for number in match.groups()))  # -0.0 becomes 0.0


def label(text: str, steps: int) -> str:
    """What a plan is called in a row of several baselines: a gate by its share of the steps."""
    ((name, parameters),) = Plan.parse(text).parameters.items()
    if name == "fewer_steps":
        return f"{parameters['reduced_steps']} steps"
    title = METHODS.get(name).title
    for gate in GATES:
        if gate in parameters:
            return f"{title} at {round(4 * float(parameters[gate]) / steps)}/4"
    return next(f"{title} {parameters[strength]:g}" for strength in STRENGTHS if strength in parameters)


def losses(found: Found) -> Iterator[str]:
    """The table of all plans, baseline beside baseline."""
    by_label = [{label(text, base.steps): row for text, row in rows.items()} for base, rows in found.items()]
    yield "| | " + " | ".join(f"{base.scheduler} {base.steps}" for base in found) + " |"
    yield "| --- |" + " --- |" * len(found)
    for name in sorted({name for rows in by_label for name in rows}, key=_order):
        yield f"| {name} | " + " | ".join(_cell(rows.get(name)) for rows in by_label) + " |"


def _order(name: str) -> tuple[int, str, float]:
    """Fewer steps first, most steps first; then each method, mild strengths first."""
    title, _, strength = name.rpartition(" ")
    if strength == "steps":
        return 0, "", -int(title)
    return 1, title, -int(strength[0]) if strength.endswith("/4") else float(strength)


def _cell(losses: Losses | None) -> str:
    if losses is None:
        return ""
    clip, ssim = (f"{loss.loss:.4f}" for loss in losses)
    return f"**{clip}** / {ssim}" if losses[0].loss >= LIMIT else f"{clip} / {ssim}"


def in_equal_work(found: Found) -> Iterator[str]:
    """TaylorSeer's SSIM beside that of as many steps as it runs, or of the next number above that was drawn."""
    yield "| baseline | plan | steps run | SSIM loss | fewer steps | SSIM loss | apart |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for base, rows in found.items():
        fewer = {int(label(text, base.steps).split()[0]): row[1] for text, row in rows.items() if "fewer" in text}
        for text, row in rows.items():
            if text.startswith("taylorseer"):
                run = steps_run(text, base.steps)
                steps = min((n for n in fewer if n >= run), default=max(fewer))
                cells = (label(text, base.steps), str(run), _said(row[1]), str(steps), _said(fewer[steps]))
                yield f"| {base.scheduler} {base.steps} | {' | '.join(cells)} | {apart(row[1], fewer[steps])} |"


def steps_run(text: str, steps: int) -> int:
    """How many steps run the denoiser."""
    ((name, given),) = Plan.parse(text).parameters.items()
    pipe, method = tiny_sd(), METHODS.get(name)
    defaults = {parameter.name: parameter.default for parameter in method.parameters(pipe, steps)}
    return sum(not step.resting for step in method.steps(pipe, {**defaults, **given}, steps))


def apart(plan: Loss, fewer: Loss) -> str:
    """Which loses less, where their intervals do not meet."""
    if plan.high < fewer.low:
        return "the plan is better"
    return "fewer steps are better" if fewer.high < plan.low else ""


def _said(loss: Loss) -> str:
    return f"{loss.loss:.4f} ({loss.low:.4f} to {loss.high:.4f})"


def merged(files: Iterable[Path]) -> Found:
    """All baselines of the files, those of most steps first."""
    found: Found = {}
    for file in files:
        found |= read(file.read_text(encoding="utf-8").splitlines())
    return dict(sorted(found.items(), key=lambda item: -item[0].steps))


def show(found: Mapping[Baseline, dict[str, Losses]]) -> None:
    print("\n".join([*losses(dict(found)), "", *in_equal_work(dict(found))]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, help="of one model")
    show(merged(parser.parse_args().files))


if __name__ == "__main__":
    main()
