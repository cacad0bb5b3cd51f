"""What it costs to find a pipeline's identity: everything that makes its pictures, before the first trial.

    python -m benchmarks.identity_cost
    python -m benchmarks.identity_cost SD1.5 --dtype float32 --times 5

The pipeline is of true size, on the CPU, with weights that were written once, so that they lie in memory. Goal:
about a second for the UNet of SDXL. Seconds of processors say what it takes where other work delays it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch

from hasten.measure.identity.modules import facts_of, placed
from hasten.measure.identity.pipelines import look_at
from hasten.measure.identity.values import Walk

from .gpu.subjects import Maker
from .gpu.unets import UNETS


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("model", nargs="?", default="SDXL", choices=UNETS)
    asked.add_argument("--dtype", default="float16", choices=("float32", "float16", "bfloat16"))
    asked.add_argument("--times", type=int, default=3)
    asked.add_argument("--tiny", action="store_true", help="The same structure, small: a dry run.")
    given = asked.parse_args()
    pipe = UNETS[given.model](Maker("meta", getattr(torch, given.dtype), tiny=given.tiny)).pipe
    parts = {name: part for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}
    for part in parts.values():
        _written(part)
    told = ", ".join(f"{name} {_count(part) / 1e6:.0f} million" for name, part in parts.items())
    print(f"{given.model}, {given.dtype}, {torch.get_num_threads()} threads: {told}")
    for name, look in (("unet", lambda: _of_part(pipe.unet)), ("whole pipeline", lambda: look_at(pipe))):
        print(f"{name}: {', '.join(_told(look) for _ in range(given.times))}")


def _written(part: torch.nn.Module) -> None:
    """Real memory with numbers in it, for what was made without."""
    part.to_empty(device="cpu")
    with torch.no_grad():
        for tensor in (*part.parameters(), *part.buffers()):
            tensor.fill_(1)


def _count(part: torch.nn.Module) -> int:
    return sum(p.numel() for p in part.parameters())


def _of_part(part: torch.nn.Module) -> None:
    walk = Walk()
    walk.names.update(placed(part, "unet"))
    dict(facts_of(part, "unet", walk))


def _told(look: Callable[[], object]) -> str:
    start, busy = time.perf_counter(), time.process_time()
    look()
    return f"{time.perf_counter() - start:.2f} s ({time.process_time() - busy:.2f} s of processors)"


if __name__ == "__main__":
    main()
