"""What each method costs while it does nothing: time a step at neutral parameters, beside the package it replaces.

    python benchmarks/overhead.py [--pairs 25] [--steps 25] [--threads 2] [--device cpu] [--size 16]

Baseline and method run in turn in one process (A B, B A, …). The overhead is the ratio of the medians, with its
95% bootstrap interval; ``baseline again`` compares the baseline with itself, which shows the noise.
``--size`` draws smaller images: the model's own work shrinks and the wrappers' does not, so that the difference
of the fastest calls, in ms a step, stands out of the noise of a restless machine. On an idle machine;
with the embedded model where it is present, else a random one of Stable Diffusion's shape.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import tgate
import tomesd
import torch
from DeepCache import DeepCacheSDHelper
from rich.console import Console
from rich.table import Table

from hasten.measure.environment import environment
from hasten.measure.timing import interleaved
from hasten.methods import METHODS, apply
from hasten.models import ASSETS
from hasten.plan import Plan

GOALS = {"deepcache": 0.015, "tgate": 0.02, "tome": 0.015}


class Contender(NamedTuple):
    """Something at neutral parameters: what is called, and what is entered around the call."""

    name: str
    call: Callable[[], object]
    around: Callable[[], AbstractContextManager[object]]
    goal: float | None


def load(device: str) -> tuple[str, Any]:
    """The embedded model's name and pipeline, or those of a tiny random one."""
    if (ASSETS / "emoji-sd" / "model_index.json").exists():
        from hasten.models import load_pipeline

        return "emoji-sd", load_pipeline("emoji-sd", None, device=device)
    sys.path.insert(0, str(Path(__file__).parent.parent))
    from hasten.testing.pipelines import tiny_sd

    return "random weights, Stable Diffusion's shape", tiny_sd().to(device)


SIDE: dict[str, int] = {}
"""Height and width in pixels where they are asked for; else the model's own."""


def generate(pipe: Any, steps: int, call: Callable[..., Any] | None = None, **given: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    settings = {"num_inference_steps": steps, "guidance_scale": 3.0, "generator": generator}
    (call or pipe)(prompt="a strawberry", output_type="latent", return_dict=False, **settings, **SIDE, **given)


def contenders(device: str, pipe: Any, steps: int) -> Iterator[Contender]:
    plain = partial(generate, pipe, steps)
    yield Contender("baseline again", plain, nullcontext, None)
    for method in METHODS.all():
        neutral = None if method.unsupported(pipe) else method.neutral(pipe, steps)
        if neutral is None:
            continue
        plan = Plan.of({method.name: neutral})
        yield Contender(str(plan), plain, partial(apply, pipe, plan, steps), GOALS.get(method.name))
    helper = DeepCacheSDHelper(load(device)[1])
    helper.set_params(cache_interval=1)
    helper.enable()
    yield Contender("DeepCache 0.1.1", partial(generate, helper.pipe, steps), nullcontext, None)
    gated = tgate.TgateSDLoader(load(device)[1])
    never = {"gate_step": steps, "sp_interval": 1, "fi_interval": 1, "warm_up": 0}
    yield Contender("tgate 1.0.0", partial(generate, gated, steps, gated.tgate, **never), nullcontext, None)
    merged = tomesd.apply_patch(load(device)[1], ratio=0)
    yield Contender("tomesd 0.1.3", partial(generate, merged, steps), nullcontext, None)


def compare(contender: Contender, pipe: Any, options: argparse.Namespace) -> tuple[str, ...]:
    """One row: name, baseline and method in ms a step, overhead, interval, fastest calls' difference, goal."""
    latency = interleaved(
        partial(generate, pipe, options.steps),
        contender.call,
        around_b=contender.around,
        pairs=options.pairs,
        warmup=2,
        device=options.device,
    )
    low, high = sorted(1 / ratio - 1 for ratio in latency.interval)
    return (
        contender.name,
        f"{latency.baseline_s / options.steps * 1e3:.2f}",
        f"{latency.plan_s / options.steps * 1e3:.2f}",
        f"{1 / latency.speedup - 1:+.1%}",
        f"{low:+.1%} … {high:+.1%}",
        f"{(min(latency.times_s) - min(latency.baseline_times_s)) / options.steps * 1e3:+.3f}",
        "" if contender.goal is None else f"≤ {contender.goal:.1%}",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=25)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", type=int, help="height and width in pixels")
    options = parser.parse_args()
    if options.size:
        SIDE.update(height=options.size, width=options.size)
    torch.set_num_threads(options.threads)
    model, pipe = load(options.device)
    table = Table(title=f"Overhead at neutral parameters: {model}, {options.steps} steps, {options.pairs} pairs")
    for column in ("at neutral parameters", "baseline ms", "method ms", "overhead", "95%", "fastest ms", "goal"):
        table.add_column(column, justify="left" if column.startswith("at") else "right", overflow="fold")
    for contender in contenders(options.device, pipe, options.steps):
        table.add_row(*compare(contender, pipe, options))
    console = Console(width=150)
    console.print(table)
    console.print("\n".join(f"{name}: {value}" for name, value in environment(options.device).items()))


if __name__ == "__main__":
    main()
