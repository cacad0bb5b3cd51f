"""What every stage of the training shares: its clock, its learning rate, its averaged weights, its checkpoints."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator

import torch

SAVE_EVERY_S = 60
EMA_DECAY = 0.9995


class Run:
    """One stage's optimiser, learning rate, average of the weights, and checkpoints."""

    def __init__(self, name: str, modules: dict[str, torch.nn.Module], options: argparse.Namespace, **how: float):
        self.name, self.modules, self.options = name, modules, options
        self.parameters = [p for m in modules.values() for p in m.parameters() if p.requires_grad]
        self.ema = [p.detach().clone() for p in self.parameters]
        self.peak, self.floor = how["rate"], how["rate"] * 0.02
        decay = how.get("weight_decay", 0.01)
        self.optimiser = torch.optim.AdamW(
            self.parameters, self.peak, betas=(0.9, 0.99), weight_decay=decay, fused=options.device == "cuda"
        )
        self.file = options.out / f"{name}.pt"
        self.step, self.spent = 0, 0.0
        if self.file.exists():
            self._load()

    def progress(self) -> float:
        if self.options.seconds:
            return min(1.0, self.spent / self.options.seconds)
        return min(1.0, self.step / self.options.steps)

    def paused(self) -> bool:
        """Whether this call has used the time that it was given."""
        return bool(self.options.pause) and time.monotonic() - self.options.began > self.options.pause

    def loop(self) -> Iterator[int]:
        """Yields step numbers until the stage is done or paused; saves once a minute and at the end.

        Leaves the averaged weights in the modules, after a pause too: what the stage then saves can be looked at.
        """
        last = saved = time.monotonic()
        while self.progress() < 1 and not self.paused():
            warm = min(1.0, (self.step + 1) / 200)
            cosine = 0.5 * (1 + math.cos(math.pi * self.progress()))
            for group in self.optimiser.param_groups:
                group["lr"] = warm * (self.floor + (self.peak - self.floor) * cosine)
            yield self.step
            self.step += 1
            now = time.monotonic()
            self.spent, last = self.spent + now - last, now
            if now - saved > SAVE_EVERY_S:
                self._save()
                saved = now
        self._save()
        state = "done" if self.progress() >= 1 else "paused"
        print(f"{self.name} {state} at step {self.step}, {self.spent:.0f}s", flush=True)
        for p, average in zip(self.parameters, self.ema, strict=True):
            p.data.copy_(average)

    def update(self, loss: torch.Tensor) -> None:
        """One optimiser step; the average follows."""
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step()
        decay = min(EMA_DECAY, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(self.ema, [p.detach() for p in self.parameters], 1 - decay)
        if self.step % 200 == 0:
            print(f"{self.name} step {self.step} {self.spent:.0f}s loss {loss.item():.4f}", flush=True)

    def _save(self) -> None:
        state = {
            "modules": {k: m.state_dict() for k, m in self.modules.items()},
            "ema": self.ema,
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "spent": self.spent,
        }
        aside = self.file.with_suffix(".tmp")
        torch.save(state, aside)
        aside.rename(self.file)

    def _load(self) -> None:
        state = torch.load(self.file, map_location=self.options.device, weights_only=True)
        for k, m in self.modules.items():
            m.load_state_dict(state["modules"][k])
        for average, kept in zip(self.ema, state["ema"], strict=True):
            average.copy_(kept)
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.spent = state["step"], state["spent"]
