"""One stretch on a GPU machine: VAE and CLIP where there are none, denoisers until the time given, evaluation.

    setsid python stretch.py run --work /tmp/work --until /tmp/until --denoisers sdxl &
    python stretch.py watch --work /tmp/work --seconds 500

Two VAEs start, of 4 and of 8 channels; after ``--compare`` seconds the one of 4 goes on if it promises to be sharp
enough, else that of 8. The UNet is compiled meanwhile. Shipped parts are not made again, unless ``--afresh``.
Where the machine has several GPUs, the denoisers take them in turn.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import torch

import models

HERE = Path(__file__).parent
MODELS = {"unet": "emoji-sd", "sdxl": "emoji-sdxl", "pixart": "emoji-pixart", "sd3": "emoji-sd3"}


class Stage:
    """A process with its log in the work folder."""

    def __init__(self, work: Path, name: str, *command: str, gpu: int | None = None) -> None:
        self.log = work / f"{name}.log"
        where = {} if gpu is None else {"CUDA_VISIBLE_DEVICES": str(gpu)}
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-u", *command],
                cwd=HERE, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **where},
            )  # fmt: skip

    def said(self, pattern: str) -> list[str]:
        return re.findall(pattern, self.log.read_text())

    def wait(self) -> None:
        if self.process.wait() != 0:
            raise SystemExit(
                f"{self.log.name} ended with {self.process.returncode}:\n{self.log.read_text()[-3000:]}"
            )


def run(options: argparse.Namespace) -> None:
    work = options.work
    common = ["--out", str(work), "--art", str(options.art), *options.more]

    def train(name: str, *how: str, gpu: int | None = None) -> Stage:
        return Stage(work, name, "train.py", *how, *common, gpu=gpu)

    if options.afresh:
        (work / models.AFRESH).touch()
    clip, channels = None, _channels(models.part(work, "vae"))
    if not channels:
        clip = train("clip", "clip", "--seconds", str(options.clip), "--batch", str(options.clip_batch))
        channels = _vae(options, train)
    how = ["--until", str(options.until), "--batch", str(options.batch), "--scenes", str(options.scenes)]
    gpus = dict(zip(options.denoisers, itertools.cycle(range(torch.cuda.device_count()) or [None]), strict=False))
    stages = {n: train(n, n, "--channels", str(channels), *how, gpu=gpus[n]) for n in options.denoisers}
    evaluate = ["evaluate.py", "--work", str(work), "--art", str(options.art), "--samples", str(options.samples),
                "--attributes", str(options.samples // 2)]  # fmt: skip
    if clip:
        while not _promoted(work, channels):
            time.sleep(0.2)
        clip.wait()
        Stage(work, "real", *evaluate, "--real").process.wait()
    judged = []
    for name, stage in stages.items():
        stage.wait()
        how = ["--model", MODELS[name], "--guidance", *map(str, options.guidance), "--steps", str(options.steps)]
        sheet = ["--sheet", str(work / f"{name}.png")]
        judged.append(Stage(work, f"eval-{name}", *evaluate, *how, *sheet, gpu=gpus[name]))
    for stage in judged:
        stage.wait()


def _channels(vae: Path) -> int:
    """Of a VAE that is there already; 0 where there is none."""
    config = vae / "config.json"
    return json.loads(config.read_text())["latent_channels"] if config.exists() else 0


def _vae(options: argparse.Namespace, train) -> int:
    """Starts both VAEs, and gives the channels of the one that goes on."""
    how = ["--seconds", str(options.vae), "--batch", str(options.vae_batch)]
    both = {c: train(f"vae{c}", "vae", "--name", f"vae{c}", "--channels", str(c), *how) for c in (4, 8)}
    seen: dict[int, float] = {}
    while len(seen) < 2:
        time.sleep(0.2)
        for c, stage in both.items():
            if stage.process.poll() not in (None, 0):
                stage.wait()
            said = [(float(s), float(d)) for s, d in stage.said(r" (\d+)s .* decibels ([\d.]+)")]
            reached = [d for s, d in said if s >= options.compare or stage.process.poll() == 0]
            if reached and c not in seen:
                seen[c] = reached[0]
    chosen = 4 if seen[4] >= options.sharp else 8
    print(f"decibels after {options.compare}s: {seen}, so {chosen} channels", flush=True)
    both[12 - chosen].process.terminate()
    return chosen


def _promoted(work: Path, channels: int) -> bool:
    """Gives the VAE that goes on its place, once it is finished."""
    if (work / f"vae{channels}" / "config.json").exists():
        (work / f"vae{channels}").rename(work / "vae")
    return (work / "vae").exists()


def watch(options: argparse.Namespace) -> None:
    """Prints what the logs say, new lines only, until the time is over or the stretch has ended."""
    ends, seen = time.time() + options.seconds, {}
    while time.time() < ends and not (options.work / "ended").exists():
        time.sleep(min(options.every, max(0.1, ends - time.time())))
        for log in sorted(options.work.glob("*.log")):
            lines = log.read_text().splitlines()
            for line in lines[seen.get(log, max(0, len(lines) - 6)) :][-4:]:
                print(line[:600])
            seen[log] = len(lines)
        print(time.strftime("-- %H:%M:%S"), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["run", "watch"])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--art", type=Path, default=HERE / "work" / "emoji64.npz")
    parser.add_argument("--until", type=Path)
    parser.add_argument("--vae", type=float, default=200)
    parser.add_argument("--vae-batch", type=int, default=64)
    parser.add_argument("--compare", type=float, default=60)
    parser.add_argument("--sharp", type=float, default=30.5, help="decibels of 4 channels by then that are enough")
    parser.add_argument("--clip", type=float, default=270)
    parser.add_argument("--clip-batch", type=int, default=1024)
    parser.add_argument("--batch", type=int, default=256, help="of the denoisers")
    parser.add_argument("--denoisers", nargs="+", choices=MODELS, default=["unet"], help="trained side by side")
    parser.add_argument("--scenes", type=int, default=400_000)
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--guidance", type=float, nargs="+", default=[2.0, 3.0, 4.0])
    parser.add_argument("--afresh", action="store_true", help="VAE and CLIP too, though the package has them")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--every", type=float, default=20)
    parser.add_argument("--more", nargs=argparse.REMAINDER, default=[], help="more arguments for every stage")
    options = parser.parse_args()
    if options.what == "watch":
        watch(options)
        return
    options.work.mkdir(parents=True, exist_ok=True)
    try:
        run(options)
    finally:
        (options.work / "ended").touch()


if __name__ == "__main__":
    main()
