"""The original's upper bounds of many settings, into speedup_bounds.json here. See docs/howto/original.md.

python scripts/explore_upper_bounds.py --pipe SD1.5 SDXL --steps 20 50 --search_targets deepcache deepcache,tome

A flag takes several values here; what is not named is as below. Other flags are those of `hasten explore`.
"""

import argparse
import sys

from hasten.cli import main
from hasten.store.seeds.keys import model_name

MATRIX = {
    "--pipe": ["SD1.5", "SDXL"],
    "--sched": ["DDIM", "DPM-Solver++", "UniPCMultistepScheduler"],
    "--steps": ["20", "25", "50"],
    "--req_score_loss": ["0.02"],
    "--search_targets": ["deepcache", "tgate", "tome", "deepcache,tome", "deepcache,tgate"],
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    for flag, values in MATRIX.items():
        parser.add_argument(flag, nargs="+", default=values, metavar="VALUE", help=f"default: {' '.join(values)}")
    given, others = parser.parse_known_args()
    lists = {
        "--models": [model_name(pipe) for pipe in given.pipe],
        "--schedulers": given.sched,
        "--steps": given.steps,
        "--max-loss": given.req_score_loss,
    }
    sys.argv[1:] = ["explore", "--strategy", "traversal", "--out", "."]
    sys.argv += [f"{flag}={','.join(values)}" for flag, values in lists.items()]
    sys.argv += [f"--methods={targets}" for targets in given.search_targets]
    sys.argv += others
    main()
