"""Shot composition: what a picture's layout looks like, as a vector, at three places of a shot."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pyarrow as pa

from copal.media import Encode
from copal.timeline import FrameRange

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]

SIDE, GRID = 64, 4  # pixels and cells along each side of the picture that texture is read from
SCALES, ORIENTATIONS = 3, 8
BLUR, FLOOR = 4.0, 0.1  # local contrast: radius in pixels, and what counts as no contrast
COLOUR_SIDE, COLOUR_ORDERS = 8, (5, 4, 4)  # kept DCT orders of Y, Cr and Cb
LAYOUT_DIMENSIONS = SCALES * ORIENTATIONS * GRID * GRID
COLOUR_DIMENSIONS = sum(order * (order + 1) // 2 for order in COLOUR_ORDERS)
DIMENSIONS = LAYOUT_DIMENSIONS + COLOUR_DIMENSIONS
VECTOR = pa.list_(pa.float32(), DIMENSIONS)


@dataclass(frozen=True)
class ShotComposition:
    """Edges by place, direction and scale, and the layout of colour, of a shot's pictures.

    Local contrast is levelled first, so that a pale sky's ropes count as much as a dark coat,
    and each channel's mean is taken out, so that cosines spread from 0 to 1 (a plain GIST gives
    .8 to unrelated pictures).

    Measured on Tears of Steel's battle (25 shots, 300 pairs, best of three by three pictures): the
    four pairs from one set-up stand first in each other's order. 1.0 ms a small picture.
    """

    colour: float = 0.2
    """Share of colour in the cosine, 0 to 1; the rest is edges."""
    inset_frames: int = 2
    """First and last pictures are this far from a cut, away from blended frames."""

    columns: ClassVar[pa.Schema] = pa.schema(
        [
            ("shot_index", pa.int32()),
            ("vector", VECTOR),  # of the middle frame
            ("first_vector", VECTOR),
            ("last_vector", VECTOR),
            ("first_frame", pa.int32()),  # that the vectors describe
            ("middle_frame", pa.int32()),
            ("last_frame", pa.int32()),
        ]
    )
    tools: ClassVar[tuple[str, ...]] = ("opencv-python-headless", "numpy", "av")
    per_shot: ClassVar[tuple[str, ...]] = ("clear_start", "clear_end")
    parts: ClassVar = {"edges": (0, (3, 8, 4, 4)), "light": (384, (15,))}

    def __post_init__(self) -> None:
        if not 0 <= self.colour <= 1 or self.inset_frames < 0:
            raise ValueError("need colour from 0 to 1 and inset_frames of 0 or more")

    def compute(self, encode: Encode, shots: pa.Table) -> pa.Table:
        """Describe three pictures of every shot of the encode's small rendition.

        One row per shot, same order. Vectors: float32, (DIMENSIONS,), length 1. A picture
        without any edge or colour, mid-grey all over, has the vector (1, 0, 0, …).

        Notes
        -----
        Source: Oliva and Torralba 2001, doi:10.1023/A:1011139631724 (GIST); ISO/IEC 15938-3
        (MPEG-7 colour layout). Repeatable on one machine.
        """
        bounds = zip(shots["clear_start"].to_pylist(), shots["clear_end"].to_pylist(), strict=True)
        places = [_places(FrameRange(*bound), self.inset_frames) for bound in bounds]
        wanted = sorted({frame for place in places for frame in place})
        vectors = {
            index: describe(picture, self.colour)
            for index, picture in encode.small.frames_at(wanted, format="bgr24")
        }
        chosen = [[vectors[place[k]] for place in places] for k in (1, 0, 2)]
        arrays = [
            pa.FixedSizeListArray.from_arrays(np.array(rows, np.float32).ravel(), type=VECTOR)
            for rows in chosen
        ]
        frames = [[place[k] for place in places] for k in range(3)]
        return pa.table([shots["shot_index"], *arrays, *frames], schema=self.columns)


def describe(picture: npt.NDArray[np.uint8], colour: float) -> Floats:
    """Composition of one picture: uint8 BGR, (height, width, 3) → (DIMENSIONS,), length 1."""
    edges, colours = np.sqrt(1 - colour) * _layout(picture), np.sqrt(colour) * _colours(picture)
    vector = _unit(np.concatenate([edges, colours]))
    return vector if vector.any() else np.eye(1, DIMENSIONS, dtype=np.float32)[0]


def _places(clear: FrameRange, inset: int) -> tuple[int, int, int]:
    """Indices of the first, middle and last pictures."""
    inset = min(inset, (len(clear) - 1) // 2)
    return clear.first + inset, clear.middle, clear.last - inset


def _unit(values: Floats) -> Floats:
    length = np.linalg.norm(values)
    return (values / length if length > 1e-6 else np.zeros_like(values)).astype(np.float32)


def _layout(picture: npt.NDArray[np.uint8]) -> Floats:
    """Energy of Gabor filters in the cells of a grid: float32, length 1, or 0 without edges."""
    import cv2

    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    grey = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    detail = np.log1p(grey)
    detail -= cv2.GaussianBlur(detail, (0, 0), BLUR)
    detail /= FLOOR + np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), BLUR))
    energy = np.abs(np.fft.ifft2(np.fft.fft2(detail) * _filters()))
    cells = energy.reshape(-1, GRID, SIDE // GRID, GRID, SIDE // GRID).mean((2, 4))
    return _unit((cells - cells.mean((1, 2), keepdims=True)).ravel())


@cache
def _filters() -> Floats:
    """Log-Gabor filters by scale and direction: (SCALES · ORIENTATIONS, SIDE, SIDE) float32."""
    y, x = np.meshgrid(np.fft.fftfreq(SIDE), np.fft.fftfreq(SIDE), indexing="ij")
    log_radius, angle = np.log(np.hypot(x, y) + 1e-9), np.arctan2(y, x)
    scales = np.log(0.25 / 2.0 ** np.arange(SCALES))[:, None, None, None]
    turns = angle - (np.pi / ORIENTATIONS * np.arange(ORIENTATIONS))[:, None, None]
    turns = np.angle(np.exp(1j * turns)) / (0.8 * np.pi / ORIENTATIONS)
    filters = np.exp(-(((log_radius - scales) / 0.55) ** 2 + turns**2) / 2)
    return np.asarray(filters.reshape(-1, SIDE, SIDE), np.float32)


def _colours(picture: npt.NDArray[np.uint8]) -> Floats:
    """Low DCT orders of an 8 × 8 thumbnail in Y, Cr, Cb: float32, length 1, or 0 for mid-grey."""
    import cv2

    tiny = cv2.resize(picture, (COLOUR_SIDE, COLOUR_SIDE), interpolation=cv2.INTER_AREA)
    planes = cv2.cvtColor(tiny, cv2.COLOR_BGR2YCrCb).astype(np.float32) / 255 - 0.5
    orders = np.add.outer(np.arange(COLOUR_SIDE), np.arange(COLOUR_SIDE))
    kept = [
        cv2.dct(np.ascontiguousarray(planes[..., k]))[orders < order] * (2 if k else 1)
        for k, order in enumerate(COLOUR_ORDERS)
    ]
    return _unit(np.concatenate(kept))
