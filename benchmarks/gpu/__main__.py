"""True-size models with random weights on a GPU: what they take, what each method gives, and what is predicted.

    python -m benchmarks.gpu --only baseline --steps 20 25 50 --batches 1 4 --pairs 3 --out gpu.jsonl
    python -m benchmarks.gpu --only methods upstream --models SDXL --out gpu.jsonl
    python -m benchmarks.gpu --only cost --models SD1.5 --out gpu.jsonl
    python -m benchmarks.gpu --show --out gpu.jsonl

Nothing is downloaded: networks are built from their published configurations, and how fast they are does not
depend on their weights. The transformers (PixArt-sigma, SD3.5-medium, FLUX.1-dev) get random text states for want
of their encoders. Methods that decide by the image which steps they shorten are left out.

baseline: latency, what the parts of a call take, peak memory, and how far the denoiser is from the machine's
limit, which is measured first. methods: DeepCache, T-GATE and ToMe alone and together at typical parameters.
neutral: the overhead of every method at parameters with which it does nothing. upstream: hasten's methods beside
the packages that they replace. cost: the cost model's predictions for plans drawn from the whole grid, which are
called in rounds, one after the other. compile: that method alone and with each other. Sides are timed step by step
(hasten.measure.stepwise), for other work disturbs most calls of many a machine.

Every measurement is one line of ``--out``: the same command goes on where it was stopped, and several commands
share one file. Sections are measured for all models in turn. After ``--limit-s`` seconds no further measurement
begins. The tables come last, on standard output, of all that the file holds.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Sequence
from itertools import product
from math import inf
from pathlib import Path

import torch

from hasten.errors import HastenError, InputError
from hasten.measure.environment import environment
from hasten.measure.failures import free_memory
from hasten.schedulers import find_scheduler
from hasten.task import Setting
from hasten.workflow.opening import device_of
from hasten.workflow.place import Place

from ..cost_model import REPEATS
from ..lines import Lines
from .dits import BFLOAT16, DITS
from .machine import ceilings
from .sections import SECTIONS, Stage, said
from .subjects import Maker, Subject
from .tables import CEILINGS, report
from .unets import UNETS

DTYPES = ("float16", "bfloat16", "float32")
BUILDERS = {**UNETS, **DITS}


def main(arguments: Sequence[str] | None = None) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(given)
    options.command = shlex.join(["python", "-m", "benchmarks.gpu", *given])
    try:
        if not options.show:
            options.out.parent.mkdir(parents=True, exist_ok=True)
            measure(options)
        elif not options.out.exists():
            raise InputError(f"There is no file {str(options.out)!r}: measure first, or give another --out.")
        print(report(options.out))
    except HastenError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("Stopped. The same command goes on from here.", file=sys.stderr)
        return 130
    return 0


def measure(options: argparse.Namespace) -> None:
    """All sections of all models, until the time is up. Raises InputError."""
    deadline_s = time.monotonic() + options.limit_s
    subject: Subject | None = None
    for section, name in product(options.only, options.models):
        if time.monotonic() >= deadline_s:
            break
        maker = _maker(options, name)
        _limits(options, maker)
        if subject is None or subject.name != name:
            subject = None  # its memory first
            free_memory()
            subject = _made(maker, name)
        for steps, batch_size in product(options.steps, options.batches):
            bench = subject.bench(steps, batch_size)
            lines = Lines(options.out, bench.setting, bench.environment)
            SECTIONS[section](Stage(bench, lines, options, deadline_s))
    if time.monotonic() >= deadline_s:
        said("The time is up. The same command goes on from here.")


def _maker(options: argparse.Namespace, name: str) -> Maker:
    device, dtype = device_of(Place(device=options.device, dtype=options.dtype))
    if options.dtype is None and name in BFLOAT16 and dtype == "float16":
        dtype = "bfloat16"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"The device {device!r} cannot be used: {str(error).splitlines()[0]}") from None
    return Maker(device, getattr(torch, dtype), find_scheduler(options.scheduler).name, options.tiny)


def _made(maker: Maker, name: str) -> Subject:
    start = time.monotonic()
    torch.manual_seed(0)
    subject = BUILDERS[name](maker)
    networks = (part for part in subject.pipe.components.values() if isinstance(part, torch.nn.Module))
    count = sum(p.numel() for network in networks for p in network.parameters())
    said(f"{name}: {count / 1e9:.2f} billion weights made in {time.monotonic() - start:.1f} s")
    return subject


def _limits(options: argparse.Namespace, maker: Maker) -> None:
    """Measures what the machine can do at most with this type of number, once."""
    dtype = str(maker.dtype).removeprefix("torch.")
    where = environment(maker.device, dtype)
    lines = Lines(options.out, Setting(CEILINGS, "", 0, 0, 0, 0.0, 0, dtype, maker.device), where)
    if "environment" not in lines.found:
        lines.add("environment", environment=where, command=options.command)
    if CEILINGS not in lines.found:
        said(f"what the machine can do at most, {dtype}")
        lines.add(CEILINGS, **ceilings(maker.device, maker.dtype, maker.tiny))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    usual = [name for name in SECTIONS if name != "compile"]
    one_of = {"nargs": "+", "metavar": "NAME", "help": "of: %(choices)s"}
    parser.add_argument("--only", choices=SECTIONS, default=usual, **one_of)
    parser.add_argument("--models", choices=BUILDERS, default=list(UNETS), **one_of)
    parser.add_argument("--steps", nargs="+", type=_count, default=[25])
    parser.add_argument("--batches", nargs="+", type=_count, default=[1], help="images of a call")
    parser.add_argument("--scheduler", default="DDIM", help="of the UNets")
    parser.add_argument("--device", help="default: the GPU where there is one")
    parser.add_argument(
        "--dtype", choices=DTYPES, help="default: float16 on a GPU (as published, bfloat16), float32 on the CPU"
    )
    parser.add_argument(
        "--having",
        nargs="+",
        default=[],
        metavar="METHOD",
        help="of the section methods only plans with these, of neutral only these",
    )
    parser.add_argument("--pairs", type=_count, default=7, help="timed calls of each side")
    parser.add_argument("--neutral-calls", type=_count, default=10, help="timed calls at neutral parameters")
    parser.add_argument("--plans", type=_count, default=60, help="of the cost model's comparison")
    parser.add_argument("--rounds", type=_count, default=5, help="timed calls of each of those plans")
    parser.add_argument(
        "--repeats", type=_count, default=REPEATS, help="of the profile that they are predicted from"
    )
    parser.add_argument("--limit-s", type=float, default=inf, help="begin no measurement after so many seconds")
    parser.add_argument(
        "--tiny", action="store_true", help="the same structures, small: a dry run, for an --out of its own"
    )
    parser.add_argument("--show", action="store_true", help="print the tables of the file and measure nothing")
    parser.add_argument("--out", type=Path, default=Path("hasten-out/gpu.jsonl"), help="file of the measurements")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed: give a whole number from 1 on")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
