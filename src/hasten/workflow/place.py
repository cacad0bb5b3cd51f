"""The place of a measurement: the device, the images' size, and what scores them."""

from __future__ import annotations

from dataclasses import dataclass

from hasten.options import checked, option_names


@dataclass(frozen=True)
class Place:
    """Where and how to measure. None stands for what is usual for the model or the machine.

    Args:
        device: a torch device, such as ``cuda:1``.
        dtype: float32, float16 or bfloat16.
        threads: the number of CPU threads of torch; None leaves it as it is. ``auto``, the default of the command
            line, is the number in OMP_NUM_THREADS, or else the fastest here.
        batch_size: the number of images a call.
        height: the images' height in pixels.
        width: the images' width in pixels.
        guidance_scale: the scale of classifier-free guidance.
        scorer: the CLIP that scores images: a folder, an embedded model or a hub id.
        prompts: a built-in set, ``general`` or ``emoji``, a file, or the prompts themselves.
        seed: the seed of the initial latents.
        confidence: the probability that an interval holds the true value.
        trial_timeout_s: the seconds after which a trial is ended, and has failed. The baseline's calls do not
            count, but each of them must end within as many seconds, too. None: a trial is ended where a call takes
            20 times as long as the longest of the baseline, and at least 5 minutes.

    Raises:
        InputError: a value is out of range.

    Example:
        >>> Place(device="cuda:1", dtype="float16", batch_size=4)
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
    trial_timeout_s: float | None = None

    def __post_init__(self) -> None:
        vars(self).update(checked({name: vars(self)[name] for name in option_names(type(self))}))
