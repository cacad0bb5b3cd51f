"""What fewer steps and each method lose on a model, side by side: is it a model worth accelerating?

    python benchmarks/tradeoffs.py emoji-sd --baselines DDIM:50 DDIM:25 DPM-Solver++:20
    python benchmarks/tradeoffs.py FOLDER --scorer FOLDER --prompts FILE --metrics clip_score ssim attributes
    python benchmarks/tradeoffs.py emoji-sd --baselines DDIM:25 --plans "taylorseer(cache_interval=2)" --against 13

One row a plan, each method at three strengths. Losses are relative to the baseline of so many steps, with their
95% intervals over the prompts; speeds are not taken, so it may share its machine. ``--plans`` has these rows only.
``--against`` adds what a plan loses against the plain pipeline with so many steps, paired by prompt, which tells a
difference that the scatter of the prompts hides: below 0 the plan keeps more, beyond chance where the interval is.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from typing import Any

from hasten.errors import HastenError, InputError
from hasten.measure.pipeline import Pipeline
from hasten.measure.prompts import load
from hasten.measure.quality import Quality
from hasten.measure.setting import setting_of
from hasten.measure.stats import paired_loss
from hasten.metrics import METRICS, load_scorer
from hasten.models import load_pipeline
from hasten.plan import Plan
from hasten.schedulers import find_scheduler

STEPS = (4, 5, 6, 8, 10, 12, 15, 20, 25)
LATE, HALF, EARLY = 3 / 4, 1 / 2, 1 / 4


def plans(base: int) -> Iterator[str]:
    """The rows of a baseline of ``base`` steps, mild strengths first."""
    yield from (f"fewer_steps(reduced_steps={steps})" for steps in reversed(STEPS) if steps < base)
    yield from (f"deepcache(cache_branch_id=0,cache_interval={interval})" for interval in (2, 3, 5))
    yield from (f"taylorseer(cache_interval={interval},max_order=1)" for interval in (2, 3, 4))
    yield from (f"tgate(gate_step={round(base * share)})" for share in (LATE, HALF, EARLY))
    yield from (f"guidance_cutoff(cutoff_step={round(base * share)})" for share in (LATE, HALF, EARLY))
    yield from (f"tome(ratio={ratio})" for ratio in (0.25, 0.5, 0.75))
    yield from (f"first_block_cache(threshold={threshold})" for threshold in (0.05, 0.1, 0.2))
    yield from (f"magcache(threshold={threshold})" for threshold in (0.06, 0.12, 0.24))


def rows(
    quality: Quality, texts: Iterable[str], samples: int, metrics: list[str]
) -> Iterator[tuple[str, dict[str, Any] | str]]:
    """Each plan with its losses, or with why there are none."""
    for text in texts:
        try:
            plan = quality.pipeline.completed(Plan.parse(text))
            yield text, quality.losses(plan, split="held-out", samples=samples, metrics=metrics)
        except HastenError as error:
            yield text, str(error)


def said(losses: dict[str, Any] | str) -> str:
    """One line of the table, without its plan."""
    if isinstance(losses, str):
        return f"left out: {losses}"
    return " | ".join(_cell(loss.loss, *loss.interval) for loss in losses.values())


def against(losses: dict[str, Any] | str, fewer: dict[str, Any]) -> str:
    """The cells of a plan's losses against fewer steps, paired by prompt."""
    if isinstance(losses, str):
        return ""
    return "".join(f" | {_cell(*_paired(loss, fewer[metric]))}" for metric, loss in losses.items())


def _paired(own: Any, fewer: Any) -> tuple[float, float, float]:
    better = METRICS.get(own.metric).higher_is_better
    loss, interval = paired_loss(fewer.scores, own.scores, higher_is_better=better, confidence=own.confidence)
    return loss, *interval


def _cell(loss: float, low: float, high: float) -> str:
    return f"{loss:+.4f} ({low:+.4f} to {high:+.4f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="name or folder of the pipeline")
    parser.add_argument("--baselines", nargs="+", default=["DDIM:50", "DDIM:25", "DPM-Solver++:20"])
    parser.add_argument("--plans", nargs="+", help="rows, in place of those of all methods")
    parser.add_argument("--against", type=int, nargs="+", default=[], metavar="STEPS", help="numbers of steps")
    parser.add_argument("--scorer", default="emoji-clip")
    parser.add_argument("--prompts", default="emoji")
    parser.add_argument("--metrics", nargs="+", default=["clip_score", "ssim"])
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--guidance", type=float)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    pipe = load_pipeline(options.model, device=options.device)
    for baseline in options.baselines:
        name, _, steps = baseline.partition(":")
        if not steps.isdigit():
            raise InputError(f"The baseline {baseline!r} is no scheduler and steps, as DDIM:25.")
        pipe.scheduler = find_scheduler(name).build(pipe.scheduler.config)
        setting = setting_of(pipe, steps=int(steps), guidance_scale=options.guidance)
        pipeline = Pipeline(pipe, setting, load(options.prompts))
        quality = Quality(pipeline, lambda: load_scorer(options.scorer, options.device))
        print(f"\n{name}, {steps} steps, guidance {setting.guidance_scale}, {options.samples} prompts")
        how = {"samples": options.samples, "metrics": options.metrics}
        fewer = {n: quality.losses(Plan(), split="held-out", steps=n, **how) for n in options.against}
        beside = [f"{metric} against {n} steps" for n in fewer for metric in options.metrics]
        print(" | ".join(["plan", *options.metrics, *beside]))
        for text, losses in rows(quality, options.plans or plans(int(steps)), **how):
            paired = "".join(against(losses, found) for found in fewer.values())
            print(f"{text} | {said(losses)}{paired}", flush=True)


if __name__ == "__main__":
    main()
