"""What a model family declares. One file a family; importing one never imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hasten.errors import simplify
from hasten.schedulers import SCHEDULERS, Scheduler, find_scheduler


@dataclass(frozen=True)
class Model:
    """A model that requests may name.

    Args:
        name: its canonical name.
        source: a hub id or, when ``embedded``, the name of a folder in ``hasten/assets``.
        resolution: of the images, in pixels.
        guidance_scale: the usual one.
        scorer: the CLIP that scores its images: a hub id or, embedded, a folder in the assets.
        prompts: the set of prompts that it is measured on.
        steps: the usual number of denoising steps.
        scheduler: the canonical name of the scheduler that its own pipeline comes with, which is meant where a
            request names none; empty for a folder, whose files tell.
        aliases: other spellings in requests.
        embedded: whether hasten ships it.
        call: the arguments that each call of its pipeline takes beside those of the family.
    """

    name: str
    source: str
    resolution: int
    guidance_scale: float
    scorer: str
    prompts: str
    steps: int = 50
    scheduler: str = ""
    aliases: tuple[str, ...] = ()
    embedded: bool = False
    call: Mapping[str, Any] = field(default_factory=dict)

    def answers_to(self, name: str) -> bool:
        """Whether that is one of its names in any spelling; a path (``./sd15``) never is."""
        names = {simplify(n) for n in (self.name, self.source, *self.aliases)}
        return simplify(name) in names and not name.startswith((".", "/", "~"))


@dataclass(frozen=True)
class Family:
    """Models that share one pipeline class.

    ``pipeline`` is the class's name in diffusers. Its ``denoiser``, ``unet`` or ``transformer``, is a
    ``denoiser_class``.
    """

    name: str
    title: str
    pipeline: str
    denoiser: str
    denoiser_class: str
    models: tuple[Model, ...]
    schedulers: tuple[str, ...] = field(default=())
    """Canonical names of the schedulers that fit; empty: all but those for flow matching."""
    text_states: tuple[str, ...] = ("prompt_embeds", "negative_prompt_embeds")
    """What the pipeline's ``encode_prompt`` returns, by the names under which a call takes it back; an empty name
    for what no call takes. None at all: its calls are given the prompts."""
    half_dtype: str = "float16"
    """The dtype on a GPU where none is asked for: that which the models' authors advise."""
    call: Mapping[str, Any] = field(default_factory=dict)
    """The arguments that each call of the pipeline takes beside those of the setting."""
    packages: tuple[str, ...] = ()
    """What reading a model of the hub needs beside hasten's own requirements."""

    def called_with(self, model: Model | None) -> dict[str, Any]:
        """The arguments of each call beside those of the setting; of a model that is not known, the family's."""
        return {**self.call, **(model.call if model else {})}

    def spellings(self) -> tuple[str, ...]:
        """Every word that means the family or one of its models."""
        return (self.name, *(word for m in self.models for word in (m.name, m.source, *m.aliases)))

    @property
    def fitting(self) -> tuple[str, ...]:
        """Canonical names of all schedulers that fit."""
        return self.schedulers or tuple(s.name for s in SCHEDULERS if not s.flow_matching)

    def unfit(self, scheduler: Scheduler) -> str | None:
        """Why the scheduler does not fit, a sentence without its full stop; None where it does."""
        if scheduler.name in self.fitting:
            return None
        flow_matching = any(find_scheduler(name).flow_matching for name in self.schedulers)
        if flow_matching == scheduler.flow_matching:
            return f"{self.pipeline} gives its scheduler what {scheduler.class_name} does not take"
        ours, its = ("flow matching", "diffusion") if flow_matching else ("diffusion", "flow matching")
        return f"its models were trained by {ours}, and {scheduler.name} is for those trained by {its}"
