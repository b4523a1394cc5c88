"""A still: an image file decoded in this process, within bounds and the right way up.

Only readers in the sandbox call this; everybody else asks ``picture.Picture``.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from copal.errors import UnreadableMedia, UnsupportedMedia
from copal.media.container import check_file
from copal.media.ffmpeg import MOST_PIXELS

if TYPE_CHECKING:
    import numpy.typing as npt

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF")
EXIF_ORIENTATION = 0x0112
"""Tag that says how the camera was held; 5 to 8 lie on their side."""


def measure(path: Path, name: str) -> tuple[int, int]:
    """(width, height) in pixels, the right way up; raises what ``decode`` does."""
    with _opened(path, name) as image:
        width, height = image.size
        turned = image.getexif().get(EXIF_ORIENTATION, 1) in (5, 6, 7, 8)
        return (height, width) if turned else (width, height)


def decode(
    path: Path, name: str, size: tuple[int, int] | None, format: str
) -> npt.NDArray[np.uint8]:
    """Pixels as ``Picture.pixels`` promises them.

    Raises
    ------
    UnreadableMedia, UnsupportedMedia
        The file is damaged; it has too many pixels, or is of another kind.
    """
    from PIL import Image, ImageOps

    with _opened(path, name) as image:
        if size is not None and image.format == "JPEG":
            image.draft(None, (max(size), max(size)))  # decoded at a half, quarter or eighth
        if image.mode == "F":
            raise UnsupportedMedia(
                f"{name}: its floating-point samples say neither black nor white. "
                "Convert it to 8 or 16 bits."
            )
        upright = ImageOps.exif_transpose(image)
        plain = _in_colour(upright)
        if size is not None and plain.size != size:
            shrinks = size[0] <= plain.width and size[1] <= plain.height
            kind = Image.Resampling.BOX if shrinks else Image.Resampling.BICUBIC
            plain = plain.resize(size, kind)
        if format == "gray":
            return np.array(plain.convert("L"))
        array = np.array(plain)
        return array if format == "rgb24" else np.ascontiguousarray(array[..., ::-1])


@contextmanager
def _opened(path: Path, name: str) -> Iterator[Any]:
    from PIL import Image, UnidentifiedImageError

    check_file(path, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about odd metadata, and bombs: looked for below
        try:
            with Image.open(path, formats=FORMATS) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise UnsupportedMedia(_too_large(name, image.width, image.height))
                yield image
        except UnidentifiedImageError as error:
            raise UnsupportedMedia(
                f"{name}: no picture that Copal reads. Convert it to PNG, JPEG, WebP or TIFF."
            ) from error
        except Image.DecompressionBombError as error:
            raise UnsupportedMedia(f"{name}: {error}. Scale it down.") from error
        except (OSError, SyntaxError, EOFError, MemoryError) as error:
            raise UnreadableMedia(f"{name}: damaged ({error}). Supply it again.") from error


def _too_large(name: str, width: int, height: int) -> str:
    return (
        f"{name}: {width} × {height} pixels, more than the "
        f"{MOST_PIXELS // 1_000_000} million that Copal decodes. Scale it down."
    )


def _in_colour(image: Any) -> Any:
    """Any mode as RGB in 8 bits."""
    from PIL import Image

    if image.mode.startswith("I;16") or image.mode == "I":
        wide = np.asarray(image).astype(np.int64)
        return Image.fromarray((np.clip(wide, 0, 65535) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layers = image.convert("RGBA")
        black = Image.new("RGBA", layers.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, layers).convert("RGB")
    return image.convert("RGB")
