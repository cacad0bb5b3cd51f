"""The table of all options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hasten.options import values
from hasten.options.values import AUTO, Range, Reader

STRATEGIES = ("auto", "guided", "traversal", "random", "tpe", "nsga2", "gp")
PREFERENCES = ("first", "closest", "fastest", "best-quality")
DTYPES = ("float32", "float16", "bfloat16")
RUNTIMES = ("hasten", "upstream")
MIN_SAMPLES = 8
MOST_STEPS = 1000
MOST_THREADS = 1024
GROUPS = REQUEST, SETTING, SEARCH, OUTPUT = "Request", "Setting", "Search and measuring", "Output"
"""The groups of the help, in their order."""
UPPER_BOUND = "upbound_speedup"
"""The value that asks for the highest speedup, in place of a target."""


@dataclass(frozen=True)
class Option:
    """One option. ``name`` is its keyword in Python. None stands for a choice of the model or the machine.

    ``flags``: the flags of the command line, without the leading dashes. A dash inside a flag may be typed as an
    underscore. An option without flags is only a keyword. ``also``: another keyword for the same option.
    ``unset``: what the command line takes where the flag is not given, if that is not the default.
    """

    name: str
    group: str
    read: Reader
    meaning: str
    default: Any = None
    flags: tuple[str, ...] = ()
    metavar: str = ""
    also: str = ""
    repeated: bool = False
    unset: Any = None

    @property
    def is_switch(self) -> bool:
        """Whether the option is a switch, which is set or not and takes no value."""
        return self.read is values.switch


OPTIONS = (
    Option("model", REQUEST, values.text, "Model, folder, or pipeline class.", None, ("model", "pipe"), "NAME"),
    Option(
        "scheduler",
        REQUEST,
        values.text,
        "Scheduler; else that of the model's own pipeline.",
        None,
        ("scheduler", "sched"),
        "NAME",
    ),
    Option(
        "steps",
        REQUEST,
        values.whole(Range(1, MOST_STEPS)),
        "Denoising steps; else the model's usual number.",
        None,
        ("steps",),
        "N",
    ),
    Option(
        "methods",
        REQUEST,
        values.names,
        "Methods used together, comma-separated; any: whichever do best; none.",
        None,
        ("methods", "search-targets"),
        "NAMES",
    ),
    Option(
        "plan",
        REQUEST,
        values.text,
        "Methods with their parameters: deepcache(cache_interval=3)+tome.",
        None,
        ("plan",),
        "PLAN",
    ),
    Option(
        "speedup",
        REQUEST,
        values.number(Range(0, 1000, above=True), "x", none=UPPER_BOUND),
        f"Least speedup asked for: 2.5; without a target, or {UPPER_BOUND}: the highest.",
        None,
        ("speedup", "req-speedup"),
        "N",
    ),
    Option(
        "latency_s",
        REQUEST,
        values.seconds(Range(0, 86_400, above=True)),
        "Instead: the longest time of an image, 1.3s.",
        None,
        ("latency",),
        "TIME",
        also="latency",
    ),
    Option(
        "max_loss",
        REQUEST,
        values.limits,
        "Limit of the CLIP score's loss, else 0.02; or metric=number: ssim=0.2; repeatable.",
        None,
        ("max-loss", "req-score-loss"),
        "LIMIT",
        repeated=True,
    ),
    Option(
        "two_sided",
        REQUEST,
        values.switch,
        "A score that rises by as much is over the limit too.",
        False,
        ("two-sided",),
    ),
    Option(
        "height",
        SETTING,
        values.whole(Range(8, 16_384, multiple=8)),
        "Height in pixels; else the model's.",
        None,
        ("height",),
        "PIXELS",
    ),
    Option(
        "width",
        SETTING,
        values.whole(Range(8, 16_384, multiple=8)),
        "Width in pixels; else the model's.",
        None,
        ("width",),
        "PIXELS",
    ),
    Option(
        "guidance_scale",
        SETTING,
        values.number(Range(0, 1000)),
        "Guidance scale, 1: none; else the model's.",
        None,
        ("guidance-scale", "guidance"),
        "N",
    ),
    Option(
        "batch_size", SETTING, values.whole(Range(1)), "Images of one call; else 1.", None, ("batch-size",), "N"
    ),
    Option(
        "device",
        SETTING,
        values.text,
        "cpu, cuda, cuda:1; else the GPU where there is one.",
        None,
        ("device",),
        "NAME",
    ),
    Option(
        "dtype",
        SETTING,
        values.one_of(DTYPES, "dtype"),
        f"{', '.join(DTYPES[:-1])} or {DTYPES[-1]}; else 16 bits on a GPU.",
        None,
        ("dtype",),
        "NAME",
    ),
    Option(
        "threads",
        SETTING,
        values.whole(Range(1, MOST_THREADS), AUTO),
        f"CPU threads; {AUTO}: OMP_NUM_THREADS, else the fastest here.",
        None,
        ("threads",),
        "N",
        unset=AUTO,
    ),
    Option(
        "prompts",
        SETTING,
        values.prompts,
        "Prompt set, or a file: .txt, .json, .jsonl, .csv, COCO captions.",
        None,
        ("prompts",),
        "NAME",
    ),
    Option(
        "scorer",
        SETTING,
        values.text,
        "CLIP that scores: folder, embedded model or hub id.",
        None,
        ("scorer",),
        "NAME",
    ),
    Option(
        "seed",
        SETTING,
        values.whole(Range(0)),
        "Of initial latents and of sampled strategies.",
        0,
        ("seed",),
        "N",
    ),
    Option(
        "strategy",
        SEARCH,
        values.one_of(STRATEGIES, "strategy"),
        f"{STRATEGIES[0]} ({STRATEGIES[1]}), {', '.join(STRATEGIES[1:-1])} or {STRATEGIES[-1]}.",
        "auto",
        ("strategy",),
        "NAME",
    ),
    Option(
        "prefer",
        SEARCH,
        values.one_of(PREFERENCES, "preference"),
        f"Of plans that meet a target: {', '.join(PREFERENCES)}.",
        "first",
        ("prefer",),
        "NAME",
    ),
    Option(
        "max_trials", SEARCH, values.whole(Range(1)), "Trials of the search at most.", None, ("max-trials",), "N"
    ),
    Option(
        "max_time_s",
        SEARCH,
        values.seconds(Range(0, above=True)),
        "Time of the whole answer at most: 90s, 10m, 2h.",
        None,
        ("max-time",),
        "TIME",
        also="max_time",
    ),
    Option(
        "num_samples",
        SEARCH,
        values.whole(Range(MIN_SAMPLES)),
        "Prompts a plan is scored on.",
        32,
        ("num-samples",),
        "N",
    ),
    Option(
        "pairs",
        SEARCH,
        values.whole(Range(1)),
        "Timed pairs for the verdict; where restless, up to 4 times.",
        7,
        ("pairs",),
        "N",
    ),
    Option("search_pairs", SEARCH, values.whole(Range(1)), "Timed pairs of a trial of the search.", 3),
    Option("confirmations", SEARCH, values.whole(Range(1)), "Candidates that are confirmed at most.", 6),
    Option(
        "confidence",
        SEARCH,
        values.number(Range(0.5, 0.999)),
        "Of the intervals: met needs a loss' whole interval inside its limit.",
        0.95,
        ("confidence",),
        "N",
    ),
    Option(
        "storage",
        SEARCH,
        values.text,
        "Where trials are kept: SQLite file, database URL, or memory.",
        None,
        ("storage",),
        "PLACE",
    ),
    Option(
        "runtime",
        OUTPUT,
        values.one_of(RUNTIMES, "runtime"),
        "What the script calls: hasten, or upstream packages.",
        "hasten",
        ("runtime",),
        "NAME",
    ),
    Option(
        "verify",
        OUTPUT,
        values.switch,
        "Measure each script again in a fresh process.",
        True,
        ("verify",),
    ),
    Option(
        "allow_known_wrong",
        OUTPUT,
        values.switch,
        "Write upstream scripts that are known to go wrong.",
        False,
        ("allow-known-wrong",),
    ),
    Option(
        "margin",
        OUTPUT,
        values.number(Range(0, above=True)),
        "What the written bounds are multiplied by.",
        1.0,
        ("margin",),
        "N",
    ),
)
