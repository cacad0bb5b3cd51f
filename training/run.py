"""What every stage of the training shares: its clock, its learning rate, its weights in two precisions, their
average, checkpoints, and the half-precision weights that are handed out."""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

SAVE_EVERY_S = 90
SAY_EVERY_S = 4
EMA_DECAY = 0.9995
WARM_STEPS = 300


class Run:
    """One stage's optimiser, learning rate, average of the weights, and checkpoints.

    The modules compute in ``options.precision``, bfloat16 on a GPU; the optimiser steps float32 copies of their
    weights. (Autocast keeps normalisations in float32, which doubles the memory traffic that these small models
    are bound by.)
    """

    def __init__(
        self,
        name: str,
        modules: dict[str, torch.nn.Module],
        options: argparse.Namespace,
        *,
        rate: float,
        weight_decay: float = 0.01,
    ) -> None:
        self.name, self.modules, self.options = name, modules, options
        named = [(f"{k}.{n}", p) for k, m in modules.items() for n, p in m.named_parameters() if p.requires_grad]
        self.names = [n for n, _ in named]
        self.exact = [p.detach().clone().float() for _, p in named]
        for module in modules.values():
            module.to(options.precision)
        self.fast = [p for _, p in named]
        self.ema = [p.clone() for p in self.exact]
        self.peak, self.floor = rate, rate * 0.01
        self.optimiser = torch.optim.AdamW(
            self.exact, rate, betas=(0.9, 0.99), weight_decay=weight_decay, fused=options.device == "cuda"
        )
        for p in self.exact:
            p.grad = torch.zeros_like(p)
        self.file = options.out / f"{name}.pt"
        self.step, self.spent, self._said = 0, 0.0, -math.inf
        self.warmed_from = 0  # the step at which the optimiser began without a memory
        if self.file.exists():
            self._load()
        elif all(self._average(key).exists() for key in modules):
            self._load_average()

    def progress(self) -> float:
        """0 to 1, by steps or by the clock: by ``--seconds`` of this stage, or by what is left to ``--until``."""
        if self.options.steps:
            return min(1.0, self.step / self.options.steps)
        left = self.options.seconds - self.spent
        if self.options.until:
            left = float(self.options.until.read_text()) - time.time()
        return min(1.0, self.spent / max(self.spent + left, 1e-9)) if left > 0 else 1.0

    def loop(self) -> Iterator[int]:
        """Yields step numbers until the stage is done or paused; saves every so often and at the end.

        The first step, which compiles, does not count as time. Leaves the averaged weights in the modules.
        """
        last = saved = began = time.monotonic()
        first, pause = self.step, self.options.pause
        while (progress := self.progress()) < 1 and not (pause and time.monotonic() - began > pause):
            warm = min(1.0, (self.step - self.warmed_from + 1) / WARM_STEPS)
            rate = warm * (self.floor + (self.peak - self.floor) * 0.5 * (1 + math.cos(math.pi * progress)))
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            yield self.step
            self.step += 1
            now = time.monotonic()
            if self.step > first + 2:
                self.spent += now - last
            last = now
            if now - saved > SAVE_EVERY_S:
                self.save()
                saved = now
        self.save()
        state = "done" if self.progress() >= 1 else "paused"
        print(f"{self.name} {state} at step {self.step}, {self.spent:.0f}s", flush=True)
        self.settle()

    @property
    def saying(self) -> bool:
        """Whether the coming update prints how the stage stands."""
        return time.monotonic() - self._said > SAY_EVERY_S

    def update(self, loss: torch.Tensor, **said: torch.Tensor) -> None:
        """One optimiser step; the average follows. ``said`` is printed now and then beside the loss."""
        for p in self.fast:
            p.grad = None
        loss.backward()
        torch._foreach_copy_([p.grad for p in self.exact], [p.grad for p in self.fast])
        torch.nn.utils.clip_grad_norm_(self.exact, 1.0)
        self.optimiser.step()
        with torch.no_grad():
            torch._foreach_copy_(self.fast, self.exact)
            decay = min(EMA_DECAY, (1 + self.step) / (10 + self.step))
            torch._foreach_lerp_(self.ema, self.exact, 1 - decay)
        if self.saying:
            self._said = time.monotonic()
            more = " ".join(f"{k} {v.item():.4f}" for k, v in {"loss": loss, **said}.items())
            print(f"{self.name} step {self.step} {self.spent:.0f}s {self.progress():.2f} {more}", flush=True)

    def clamp(self, name: str, highest: float) -> None:
        """Bounds one weight from above, after a step."""
        self.exact[self.names.index(name)].clamp_(max=highest)

    @torch.no_grad()
    def settle(self) -> None:
        """Puts the averaged weights into the modules, float32."""
        for module in self.modules.values():
            module.float()
        for p, average in zip(self.fast, self.ema, strict=True):
            p.copy_(average)

    def save(self) -> None:
        """Checkpoint, and the averaged weights as they are handed out."""
        state = {
            "exact": self.exact, "ema": self.ema, "optimiser": self.optimiser.state_dict(),
            "step": self.step, "spent": self.spent,
        }  # fmt: skip
        aside = self.file.with_suffix(".tmp")
        torch.save(state, aside)
        aside.rename(self.file)
        for key in self.modules:
            average = {
                n.removeprefix(f"{key}."): a.half().contiguous()
                for n, a in zip(self.names, self.ema, strict=True)
                if n.startswith(f"{key}.")
            }
            _write(average, self._average(key), self.step, self.spent)

    def _average(self, key: str) -> Path:
        return self.options.out / "ema" / f"{self.name}-{key}.safetensors"

    @torch.no_grad()
    def _load_average(self) -> None:
        """Goes on from averaged weights alone, which is all that comes home from a machine of somebody else's."""
        for key in self.modules:
            with safe_open(self._average(key), "pt", device=str(self.options.device)) as file:
                run = json.loads(file.metadata()["run"])
                for name, *mine in zip(self.names, self.exact, self.ema, self.fast, strict=True):
                    if name.startswith(f"{key}."):
                        for weights in mine:
                            weights.copy_(file.get_tensor(name.removeprefix(f"{key}.")))
        self.step, self.spent, self.warmed_from = run["step"], float(run["seconds"]), run["step"]
        print(f"{self.name} goes on from the averaged weights of step {self.step}", flush=True)

    def _load(self) -> None:
        state = torch.load(self.file, map_location=self.options.device, weights_only=True)
        with torch.no_grad():
            for into, out in ((self.exact, "exact"), (self.ema, "ema"), (self.fast, "exact")):
                for mine, kept in zip(into, state[out], strict=True):
                    mine.copy_(kept)
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.spent = state["step"], state["spent"]


def _write(weights: dict[str, torch.Tensor], file: Path, step: int, spent: float) -> None:
    file.parent.mkdir(exist_ok=True)
    aside = file.with_suffix(".tmp")
    save_file(weights, aside, metadata={"run": json.dumps({"step": step, "seconds": round(spent)})})
    aside.rename(file)
