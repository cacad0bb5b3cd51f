"""Images inside the page, as PNG data URIs."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

from hasten.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

LARGEST = 512
SMALL = 256


@dataclass(frozen=True)
class ReportImages:
    """What the page shows side by side: a list each, as long as ``prompts`` or empty.

    An image is a Pillow image or a tensor (3, h, w) with values 0 to 1.
    """

    prompts: Sequence[str] = ()
    reference: Sequence[Any] = ()
    accelerated: Sequence[Any] = ()
    equal_time: Sequence[Any] = ()

    def __post_init__(self) -> None:
        for name in ("reference", "accelerated", "equal_time"):
            drawn, wanted = len(getattr(self, name)), len(self.prompts)
            if drawn not in (0, wanted):
                raise InputError(f"{drawn} {name} images for {wanted} prompts: give one each, or none.")


@dataclass(frozen=True)
class Picture:
    """``uri`` is a PNG; ``small`` ones are shown enlarged, pixel by pixel."""

    uri: str
    width: int
    height: int
    small: bool


@dataclass(frozen=True)
class Row:
    """A prompt and its pictures, one for each column of the gallery."""

    prompt: str
    pictures: tuple[Picture, ...]


def gallery(images: ReportImages, columns: Sequence[str]) -> tuple[Row, ...]:
    """One row a prompt; ``columns`` names the fields of ``images`` that are shown."""
    pictures = [[picture(image) for image in getattr(images, name)] for name in columns]
    return tuple(Row(prompt, row) for prompt, row in zip(images.prompts, zip(*pictures, strict=True), strict=True))


def picture(image: Any) -> Picture:
    """The image as it stands in the page, at most 512 pixels a side."""
    drawn = _pillow(image)
    drawn.thumbnail((LARGEST, LARGEST))
    buffer = BytesIO()
    drawn.save(buffer, "PNG", optimize=True)
    uri = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
    return Picture(uri, drawn.width, drawn.height, max(drawn.size) < SMALL)


def _pillow(image: Any) -> Image:
    from PIL.Image import Image, fromarray

    if isinstance(image, Image):
        return image.convert("RGB")
    pixels = (image.detach().float().clamp(0, 1) * 255).round().byte().permute(1, 2, 0)
    return fromarray(pixels.cpu().numpy())
