"""Where and at what size a task is measured."""

from __future__ import annotations

from dataclasses import dataclass

from hasten.options import checked, option_names


@dataclass(frozen=True)
class Place:
    """Where and at what size to measure. None stands for what is usual for the model or the machine.

    Args:
        device: a torch device, such as ``cuda:1``.
        dtype: float32, float16 or bfloat16.
        threads: CPU threads that torch computes with meanwhile; None: as many as it has; ``auto``, which the
            command line takes unless told: those of OMP_NUM_THREADS, else as many as are fastest here.
        batch_size: images of one call.
        height: of the images, in pixels.
        width: of the images, in pixels.
        guidance_scale: of classifier-free guidance.
        scorer: the CLIP that scores images: a folder, an embedded model or a hub id.
        prompts: a built-in set, ``general`` or ``emoji``, a file, or the prompts themselves.
        seed: of the initial latents.
        confidence: with which intervals hold the true value.
    """

    device: str | None = None
    dtype: str | None = None
    threads: int | str | None = None
    batch_size: int | None = None
    height: int | None = None
    width: int | None = None
    guidance_scale: float | None = None
    scorer: str | None = None
    prompts: str | tuple[str, ...] | None = None
    seed: int = 0
    confidence: float = 0.95

    def __post_init__(self) -> None:
        vars(self).update(checked({name: vars(self)[name] for name in option_names(type(self))}))
