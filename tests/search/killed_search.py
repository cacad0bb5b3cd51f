"""A search on a tiny pipeline as a process of its own: ``python killed_search.py STORAGE``."""

from __future__ import annotations

import sys

import torch

from hasten.measure.bench import Bench
from hasten.measure.prompts import PromptSet
from hasten.search import SearchOptions, run_search
from hasten.task import Task
from hasten.testing.pipelines import tiny_sd

STEPS = 3
"""So that the grid has eight plans."""
PROMPTS = PromptSet("letters", search=("a", "b", "c"), held_out=("d", "e", "f"))


def main(storage: str) -> None:
    torch.set_num_threads(1)
    bench = Bench.of(tiny_sd(), steps=STEPS, prompts=PROMPTS, height=64, width=64, model_name="tiny")
    # Every plan is inside this limit, so that none needs to be scored a second time.
    task = Task(model="tiny", scheduler="DDIM", steps=STEPS, methods=("deepcache",), max_loss={"ssim": 1.0})
    options = SearchOptions(strategy="traversal", storage=storage, num_samples=8, pairs=1, search_pairs=1)
    print(run_search(bench, task, options).status)


if __name__ == "__main__":
    main(sys.argv[1])
