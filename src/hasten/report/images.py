"""Embeds images in the page, as data URIs."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

from hasten.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

LARGEST = 384
"""Longest side in pixels: twice a picture's width on the page, for screens of double density."""
SMALL = 256
"""Images smaller than this, in pixels, are kept exactly, as PNG. Larger ones become WebP, a tenth of the size."""
QUALITY = 85


@dataclass(frozen=True)
class ReportImages:
    """The images that the page shows side by side. Each list is as long as ``prompts``, or empty.

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
    """An image in the page. ``uri`` holds the image itself. ``small`` pictures are enlarged without smoothing."""

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
    """Returns one row for each prompt. ``columns`` names the fields of ``images`` that are shown."""
    pictures = [[picture(image) for image in getattr(images, name)] for name in columns]
    return tuple(Row(prompt, row) for prompt, row in zip(images.prompts, zip(*pictures, strict=True), strict=True))


def picture(image: Any) -> Picture:
    """Returns the image as the page embeds it, at most 384 pixels a side."""
    drawn = _pillow(image)
    drawn.thumbnail((LARGEST, LARGEST))
    small = max(drawn.size) < SMALL
    buffer, kind = BytesIO(), "png" if small else "webp"
    drawn.save(buffer, kind, **({"optimize": True} if small else {"quality": QUALITY, "method": 6}))
    uri = f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
    return Picture(uri, drawn.width, drawn.height, small)


def _pillow(image: Any) -> Image:
    from PIL.Image import Image, fromarray

    if isinstance(image, Image):
        return image.convert("RGB")
    pixels = (image.detach().float().clamp(0, 1) * 255).round().byte().permute(1, 2, 0)
    return fromarray(pixels.cpu().numpy())
