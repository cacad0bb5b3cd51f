"""The original's search: a target speedup, or the upper bound. See docs/howto/original.md.

python scripts/traversal_search.py --pipe SD1.5 --sched DDIM --steps 50 --req_speedup 4.0 --req_score_loss 0.02 \
    --search_targets deepcache --num_samples 32 --batch_size 1 --seed 0

Its answer joins search_params.json and, of an upper bound, speedup_bounds.json in the current folder.
"""

import sys

from hasten.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["search", "--strategy", "traversal", "--out", "."]
    main()
