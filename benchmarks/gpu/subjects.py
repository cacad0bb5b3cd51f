"""What is measured: a pipeline of true size with random weights, and hasten's bench for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from hasten.measure.bench import Bench
from hasten.measure.pipeline import Pipeline
from hasten.measure.prompts import PromptSet
from hasten.measure.prompts import load as load_prompts
from hasten.measure.setting import checked, scheduler_name
from hasten.models.stable_diffusion import VIT_G_14
from hasten.records import Split
from hasten.task import Setting

States = Callable[[int], dict[str, torch.Tensor]]


@dataclass(frozen=True)
class Maker:
    """Makes networks with random weights, drawn at once where and as they are needed: none is moved or converted.

    ``tiny``: the same structures, small, for a dry run. ``scheduler``: the canonical name of that of the UNets.
    """

    device: str
    dtype: torch.dtype
    scheduler: str = "DDIM"
    tiny: bool = False

    def __call__(self, network: Callable[..., torch.nn.Module], *args: Any, **config: Any) -> torch.nn.Module:
        before = torch.get_default_dtype()
        torch.set_default_dtype(self.dtype)
        try:
            with torch.device(self.device):
                made = network(*args, **config)
        finally:
            torch.set_default_dtype(before)
        # Some tables are made in float32 whatever the default is; diffusers would warn of converting them.
        return torch.nn.Module.to(made, self.dtype).eval()

    def states(self, **shapes: tuple[int, ...]) -> States:
        """Text states in the place of encoders: for each name random numbers of a shape, ones for a mask."""

        @cache
        def of(batch: int) -> dict[str, torch.Tensor]:
            where = {"device": self.device, "dtype": self.dtype}
            return {
                name: (torch.ones if name.endswith("mask") else torch.randn)((batch, *shape), **where)
                for name, shape in shapes.items()
            }

        return of


@dataclass(frozen=True)
class Subject:
    """A pipeline, its images' side in pixels, and its usual guidance. ``states``: given in the place of text."""

    name: str
    pipe: Any
    side: int
    guidance_scale: float
    states: States | None = None

    def bench(self, steps: int, batch_size: int) -> Bench:
        """Measures it so. Raises InputError where a number is out of range."""
        setting = Setting(
            model=self.name,
            scheduler=scheduler_name(self.pipe.scheduler),
            steps=steps,
            height=self.side,
            width=self.side,
            guidance_scale=self.guidance_scale,
            batch_size=batch_size,
            dtype=str(next(iter(self.pipe.vae.parameters())).dtype).removeprefix("torch."),
            device=str(self.pipe._execution_device),
        )
        prompts = load_prompts("general")
        if self.states is None:
            pipeline = Pipeline(self.pipe, checked(setting), prompts)
        else:
            pipeline = Encoded(self.pipe, checked(setting), prompts, self.states)
        return Bench(pipeline, VIT_G_14)


class Encoded(Pipeline):
    """Its calls are given text states: the model's own encoders would be larger than its denoiser."""

    def __init__(self, pipe: Any, setting: Setting, prompts: PromptSet, states: States) -> None:
        super().__init__(pipe, setting, prompts)
        self._states = states

    def generate(self, split: Split, indices: Sequence[int], steps: int | None = None) -> None:
        """One call from text states to pictures."""
        self._call(split, indices, steps, negative_prompt=None, **self._states(len(indices)))
