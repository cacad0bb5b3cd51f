"""The declaration of a model family. Each family has its own file, and importing it never imports torch."""

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
        name: the canonical name.
        source: a hub id or, when ``embedded``, the name of a folder in ``hasten/assets``.
        resolution: height and width of the images, in pixels.
        guidance_scale: the usual guidance scale.
        scorer: the CLIP that scores the images: a hub id or, when ``embedded``, a folder in the assets.
        prompts: the set of prompts that the model is measured on.
        steps: the usual number of denoising steps.
        scheduler: the canonical name of the scheduler of the model's own pipeline, for requests that name none;
            empty for a folder, whose files tell it.
        aliases: other spellings in requests.
        embedded: whether hasten ships the model.
        call: the arguments that each call of the pipeline takes besides those of the family.
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
        """Returns whether ``name`` is one of the model's names in any spelling. A path (``./sd15``) never is."""
        names = {simplify(n) for n in (self.name, self.source, *self.aliases)}
        return simplify(name) in names and not name.startswith((".", "/", "~"))


@dataclass(frozen=True)
class Family:
    """Models that share one pipeline class.

    ``pipeline`` is the class's name in diffusers. Its ``denoiser``, ``unet`` or ``transformer``, is an instance of
    ``denoiser_class``.
    """

    name: str
    title: str
    pipeline: str
    denoiser: str
    denoiser_class: str
    models: tuple[Model, ...]
    schedulers: tuple[str, ...] = field(default=())
    """Canonical names of the schedulers that fit. Empty means all schedulers but those for flow matching."""
    text_states: tuple[str, ...] = ("prompt_embeds", "negative_prompt_embeds")
    """The results of the pipeline's ``encode_prompt``, as the names under which a call takes them back. An empty
    name stands for a result that no call takes. An empty tuple means that calls are given the prompts."""
    half_dtype: str = "float16"
    """The dtype on a GPU for requests that name none, as the models' authors advise."""
    call: Mapping[str, Any] = field(default_factory=dict)
    """The arguments that each call of the pipeline takes besides those of the setting."""
    packages: tuple[str, ...] = ()
    """Packages that reading a model from the hub needs besides hasten's own requirements."""

    def called_with(self, model: Model | None) -> dict[str, Any]:
        """Returns the arguments of each call besides those of the setting; of an unknown model, the family's."""
        return {**self.call, **(model.call if model else {})}

    def spellings(self) -> tuple[str, ...]:
        """Returns every word that means the family or one of its models."""
        return (self.name, *(word for m in self.models for word in (m.name, m.source, *m.aliases)))

    @property
    def fitting(self) -> tuple[str, ...]:
        """Canonical names of all schedulers that fit."""
        return self.schedulers or tuple(s.name for s in SCHEDULERS if not s.flow_matching)

    def unfit(self, scheduler: Scheduler) -> str | None:
        """Returns why the scheduler does not fit, as a sentence without its full stop, or None where it fits."""
        if scheduler.name in self.fitting:
            return None
        flow_matching = any(find_scheduler(name).flow_matching for name in self.schedulers)
        if flow_matching == scheduler.flow_matching:
            return f"{self.pipeline} gives its scheduler what {scheduler.class_name} does not take"
        ours, its = ("flow matching", "diffusion") if flow_matching else ("diffusion", "flow matching")
        return f"its models were trained by {ours}, and {scheduler.name} is for those trained by {its}"
