"""Fixed plans of each method on emoji-sd, on held-out prompts: is the small model a fair stand-in for a big one?

python benchmarks/plans.py
python benchmarks/plans.py "deepcache(cache_interval=5)" --scheduler UniPC --steps 20
"""

from __future__ import annotations

import argparse

from hasten.measure.bench import Bench
from hasten.measure.contract import TrialSpec
from hasten.methods import check_plan
from hasten.plan import Plan
from hasten.task import Setting

PLANS = (
    "deepcache(cache_interval=2)",
    "deepcache(cache_interval=3)",
    "deepcache(cache_interval=5)",
    "tgate(gate_step=15)",
    "tgate(gate_step=15,sp_interval=1)",
    "tgate(gate_step=10)",
    "tome(ratio=0.5)",
    "tome(ratio=0.75)",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plans", nargs="*", default=PLANS)
    parser.add_argument("--scheduler", default="DDIM")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--guidance", type=float, default=2.0)
    parser.add_argument("--samples", type=int, default=32)
    options = parser.parse_args()
    setting = Setting("emoji-sd", options.scheduler, options.steps, 64, 64, options.guidance)
    bench = Bench.open(setting)
    print(", ".join(f"{name} {value}" for name, value in bench.environment.items()))
    print(f"{setting.key()}, {options.samples} held-out prompts", flush=True)
    for text in options.plans:
        plan = check_plan(Plan.parse(text), bench.pipe, options.steps)
        trial = bench.trial(plan, TrialSpec(split="held-out", samples=options.samples))
        if trial.latency is None or trial.status != "ok":
            print(f"{plan}: {trial.reason}")
            continue
        losses = ", ".join(
            f"{name} loss {x.loss:.4f} ({x.interval[0]:.4f} to {x.interval[1]:.4f})"
            for name, x in trial.losses.items()
        )
        low, high = trial.latency.interval
        print(f"{trial.speedup:.2f}x ({low:.2f} to {high:.2f}), {losses}: {plan}", flush=True)


if __name__ == "__main__":
    main()
