"""How to search: strategy, preference, budgets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hasten.options import checked, option_names

Prefer = Literal["first", "closest", "fastest", "best-quality"]


@dataclass(frozen=True)
class SearchOptions:
    """The knobs of a search; checked when made.

    Args:
        strategy: ``guided`` (predicted speed, learned loss), which ``auto`` is too, ``traversal`` (the original's
            walk over the grid), ``random``, ``tpe``, ``nsga2`` or ``gp`` (Optuna's).
        prefer: which of the plans that meet a target: the first found, the one closest to the request, the
            fastest, or the one with the least loss.
        max_trials: trials of the search, measured or found in the store; None: as many as guided wants,
            all of a traversal, 200 of the sampled strategies.
        max_time_s: seconds for all that the answer needs: profile, trials, verdict and what follows it. No further
            trial is begun where the rest would take longer; one trial and one verdict are taken in any case.
        num_samples: prompts a plan is scored on.
        pairs: interleaved runs of baseline and plan for the verdict, up to four times as many where the speedup
            is neither known to 2% nor decided against the target.
        search_pairs: the same for a trial of the search, which only chooses what is confirmed; fewer where
            the first already show that the plan is too slow.
        seed: the random seed of the sampled strategies.
        storage: where trials are kept: URL, path of an SQLite file, ``memory``; None: the user's data folder.
        confidence: what the intervals hold the true value with, 0.5 to 0.999. *met* needs the whole interval
            of each loss inside its limit.
        confirmations: candidates measured on held-out prompts before the search gives up.
        verified: whether a script is measured again in a fresh process afterwards, for which time is kept.
        spent_s: the seconds of ``max_time_s`` that were used before.

    Raises:
        InputError: a value out of range. UnknownNameError: no such strategy or preference.
    """

    strategy: str = "auto"
    prefer: Prefer = "first"
    max_trials: int | None = None
    max_time_s: float | None = None
    num_samples: int = 32
    pairs: int = 7
    search_pairs: int = 3
    seed: int = 0
    storage: str | None = None
    confidence: float = 0.95
    confirmations: int = 6
    verified: bool = False
    spent_s: float = 0.0

    def __post_init__(self) -> None:
        vars(self).update(checked({name: vars(self)[name] for name in option_names(type(self))}))
