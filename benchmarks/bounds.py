"""The highest speedup of a model within a loss limit, for several sets of methods. Goes on where it was stopped.

python benchmarks/bounds.py deepcache tome deepcache,tome --storage bounds.db
python benchmarks/bounds.py tgate --strategy random --max-trials 200 --storage bounds.db
python benchmarks/bounds.py tgate taylorseer --model emoji-pixart --strategy guided --max-time-s 120 --device cuda
"""

from __future__ import annotations

import argparse
import time

from hasten import api
from hasten.answer import Answer
from hasten.measure.environment import environment
from hasten.task import Task

COLUMNS = ("methods", "answer", "speedup", "clip_score loss", "ssim loss", "plan", "trials", "time", "equal time")


def bound(methods: str, options: argparse.Namespace) -> Answer:
    """The answer to: as fast as it gets with these methods, within the limit."""
    task = Task(
        model=options.model,
        scheduler=options.scheduler,
        steps=options.steps,
        methods=tuple(methods.split(",")),
        max_loss={"clip_score": options.limit},
    )
    return api.search(
        task,
        strategy=options.strategy,
        max_trials=options.max_trials,
        max_time_s=options.max_time_s,
        storage=options.storage,
        seed=options.seed,
        device=options.device,
        batch_size=options.batch_size,
    )


def row(methods: str, answer: Answer, seconds: float) -> tuple[str, ...]:
    """One row of the table."""
    shown = answer.shown
    if shown.confirmed is None:
        return methods, answer.status, answer.reason
    clip, ssim = (shown.confirmed.losses[metric] for metric in ("clip_score", "ssim"))
    return (
        methods,
        answer.status,
        f"{shown.speedup:.2f}x {_between(shown.speedup_interval, '.2f')}",
        f"{clip.loss:.4f} {_between(clip.interval, '.4f')}",
        f"{ssim.loss:.4f}",
        str(shown.plan),
        str(answer.trials),
        f"{seconds:.0f} s",
        _equal_time(shown) + answer.reason,
    )


def _between(interval: tuple[float, float] | None, spec: str) -> str:
    return f"({interval[0]:{spec}} to {interval[1]:{spec}})" if interval else ""


def _equal_time(shown: Answer) -> str:
    fewer = shown.equal_time
    if fewer is None or not fewer.trial.losses:
        return ""
    losses = ", ".join(f"{metric} {loss.loss:.4f}" for metric, loss in fewer.trial.losses.items())
    return f"{fewer.steps} steps {fewer.trial.speedup:.2f}x: {losses}. "


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="+", help="comma-separated sets of methods")
    parser.add_argument("--model", default="emoji-sd")
    parser.add_argument("--scheduler", default="DDIM")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--limit", type=float, default=0.02)
    parser.add_argument("--strategy", default="traversal")
    parser.add_argument("--max-trials", type=int)
    parser.add_argument("--max-time-s", type=float)
    parser.add_argument("--storage", default="bounds.db")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch-size", type=int, default=1, help="images of a timed call")
    options = parser.parse_args()
    print(", ".join(f"{name} {value}" for name, value in environment(options.device).items()))
    print(
        f"{options.model}, {options.scheduler} {options.steps}, batch {options.batch_size}, "
        f"limit {options.limit:g} on clip_score\n"
    )
    print("| " + " | ".join(COLUMNS) + " |\n" + "| --- " * len(COLUMNS) + "|", flush=True)
    for methods in options.methods:
        start = time.monotonic()
        answer = bound(methods, options)
        print("| " + " | ".join(row(methods, answer, time.monotonic() - start)) + " |", flush=True)


if __name__ == "__main__":
    main()
