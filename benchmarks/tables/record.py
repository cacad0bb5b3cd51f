"""Records tables of trials on emoji-sd: scores first, then times, then packs them. Goes on where it was stopped.

    python -m benchmarks.tables.record quality --device cuda --jobs 12
    python -m benchmarks.tables.record latency --device cuda
    python -m benchmarks.tables.record pack

``quality`` draws and scores every plan with hasten's own Bench; nothing is timed, so that several processes share
the device. ``latency`` times plans in interleaved pairs with the baseline, alone on the device. Both keep each
plan the moment it is finished. README.md beside this file says what comes out.
"""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from hasten.errors import HastenError, InputError
from hasten.workflow.opening import device_of
from hasten.workflow.place import Place

from .packing import pack
from .parts import Stage
from .plans import SETTINGS, TABLES, canonical, canonical_setting
from .recording import Recording
from .scoring import quality
from .tables import FOLDER
from .timing import latency


def main(arguments: Sequence[str] | None = None) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = vars(_parser().parse_args(given))
    stage, out = options.pop("stage"), options.pop("out")
    try:
        recording = _recording(options, shlex.join(["python", "-m", "benchmarks.tables.record", *given]))
        if stage == "pack":
            pack(recording.work, out, recording.tables)
            return 0
        return (quality if stage == "quality" else latency)(recording)
    except HastenError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("Stopped. The same command goes on from here.", file=sys.stderr)
        return 130


def _recording(options: dict[str, Any], command: str) -> Recording:
    """The options, checked. Raises InputError."""
    for name, least in (("samples", 4), ("plans", 1), ("timed", 1), ("pairs", 1), ("batch_size", 1), ("jobs", 1)):
        if options[name] < least:
            raise InputError(f"--{name.replace('_', '-')} is {options[name]}: it must be at least {least}.")
    if options["samples"] % 2:
        raise InputError(f"--samples is {options['samples']}: it must be even, half of them for each split.")
    options["share"] = _share(options["share"])
    options["settings"] = tuple(dict.fromkeys(map(canonical_setting, options["settings"])))
    device, dtype = device_of(Place(device=options.pop("device"), dtype=options.pop("dtype")))
    tables = options.pop("only")
    named = TABLES if tables is None else tuple(canonical(name) for name in tables)
    return Recording(**options, tables=named, device=device, dtype=dtype, command=command)


def _share(text: str) -> tuple[int, int]:
    """``2/8`` → (2, 8). Raises InputError."""
    match = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", text)
    if not match or int(match[1]) > int(match[2]):
        raise InputError(f"--share is {text!r}: write which part of how many, e.g. 2/8.")
    return int(match[1]), int(match[2])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.tables.record",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("stage", choices=(*get_args(Stage), "pack"))
    parser.add_argument("--only", nargs="+", metavar="METHODS", help="tables, e.g. deepcache deepcache,tome")
    parser.add_argument("--settings", nargs="+", default=SETTINGS, metavar="SETTING", help="e.g. 'DDIM 25'")
    parser.add_argument("--device", help="default: the GPU where there is one")
    parser.add_argument("--dtype", help="default: float16 on a GPU, float32 on the CPU")
    parser.add_argument("--samples", type=int, default=64, help="prompts, half search, half held out")
    parser.add_argument("--seed", type=int, default=0, help="of the images and of the plans' order")
    parser.add_argument("--plans", type=int, default=3000, help="plans of a table, at most")
    parser.add_argument("--timed", type=int, default=300, help="plans of a table that are timed, at most")
    parser.add_argument("--pairs", type=int, default=5, help="interleaved runs of baseline and plan")
    parser.add_argument("--batch-size", type=int, default=1, help="images of a timed call")
    parser.add_argument("--jobs", type=int, default=1, help="processes that score")
    parser.add_argument("--share", default="1/1", help="of the plans to time, e.g. 2/8: for machines side by side")
    parser.add_argument("--limit-s", type=float, help="begin no plan after so many seconds")
    parser.add_argument("--work", type=Path, default=Path("hasten-out/tables"), help="folder of the part files")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the packed tables")
    return parser


if __name__ == "__main__":
    sys.exit(main())
