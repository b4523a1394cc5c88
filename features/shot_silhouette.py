"""Shot silhouette: the outline of what stands out in a picture, at three places of a shot."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from copal.errors import MissingWeights
from copal.media import Encode
from copal.timeline import FrameRange
from copal.weights import weights_digest, weights_file

if TYPE_CHECKING:
    import numpy.typing as npt

    Mask = npt.NDArray[np.bool_]
    Picture = npt.NDArray[np.uint8]

SALIENCY = "saliency"
ROWS, COLUMNS = 18, 32  # of the mask
SIZE = (64, 36)  # pixels in which saliency is looked for
FLAT = 2.0  # levels of 255: a picture that differs less from its own mean has no form in it
ODD, SHARE = 0.7, 0.2  # weight of the spectral residual beside colour; share of the picture taken
SURE, INSET = 0.5, 2  # of an instance and its pixels; frames from a cut to its pictures
VECTOR = pa.list_(pa.float32(), ROWS * COLUMNS)


@dataclass(frozen=True)
class ShotSilhouette:
    """Masks of the foreground, 18 × 32, of the first, middle and last pictures of each shot.

    By default the fifth of the picture that differs most from the rest, in frequency and in colour,
    without any weights; with ``model`` the instances that a Mask R-CNN of torchvision sees. A mask
    is 0 outside and one value inside, length 1; match pairs compare two by what both cover of what
    either does (``measure: iou``). Without any form the mask is 0, and alike to nothing. On Tears
    of Steel's battle (25 shots, 75 pictures): 0.14 CPU-seconds.
    """

    model: str = SALIENCY
    """``saliency``, or a torchvision model with masks, such as ``maskrcnn_resnet50_fpn``."""
    weights: str = "DEFAULT"
    """Of the model: the name of its torchvision weights, a local path, or ``s3://bucket/key``."""

    columns: ClassVar[pa.Schema] = pa.schema(
        [
            ("shot_index", pa.int32()),
            ("vector", VECTOR),  # of the middle frame
            ("first_vector", VECTOR),
            ("last_vector", VECTOR),
        ]
    )
    per_shot: ClassVar[tuple[str, ...]] = ("clear_start", "clear_end")
    parts: ClassVar = {"mask": (0, (ROWS, COLUMNS))}

    @property
    def tools(self) -> tuple[str, ...]:
        """With a model also what runs it."""
        models = () if self.model == SALIENCY else ("torch", "torchvision")
        return ("opencv-python-headless", "numpy", "av", *models)

    def __post_init__(self) -> None:
        if self.model != SALIENCY and not self.model.startswith("maskrcnn_"):
            raise ValueError(f"model '{self.model}': need '{SALIENCY}' or one of 'maskrcnn_…'")

    def weights_digests(self) -> dict[str, str]:
        """Digest of the model's weights; none without a model."""
        if self.model == SALIENCY:
            return {}
        return {"weights": weights_digest(weights_file(self.model, self.weights))}

    def compute(self, encode: Encode, shots: pa.Table) -> pa.Table:
        """Mask three pictures of every shot.

        One row per shot, same order. Vectors: float32, (576,), row by row from the upper left.

        Notes
        -----
        Source: Hou and Zhang 2007, doi:10.1109/CVPR.2007.383267; He et al. 2017, arXiv:1703.06870.
        """
        bounds = zip(shots["clear_start"].to_pylist(), shots["clear_end"].to_pylist(), strict=True)
        places = [_places(FrameRange(*bound)) for bound in bounds]
        wanted = sorted({frame for place in places for frame in place})
        if self.model == SALIENCY:
            pictures = encode.small.frames_at(wanted, size=SIZE, format="bgr24")
            masks = {index: salient(picture) for index, picture in pictures}
        else:
            masks = {i: self._instances(p) for i, p in encode.video.frames_at(wanted)}
        columns = []
        for k in (1, 0, 2):
            rows = np.array([masks[p[k]] for p in places], np.float32).reshape(-1, ROWS * COLUMNS)
            rows /= np.maximum(np.sqrt(rows.sum(1, keepdims=True)), 1)
            columns.append(pa.FixedSizeListArray.from_arrays(rows.ravel(), type=VECTOR))
        return pa.table([shots["shot_index"], *columns], schema=self.columns)

    def _instances(self, picture: Picture) -> Mask:
        """All instances that the model is sure of, as one mask."""
        import cv2
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
        with torch.inference_mode():
            given = torch.from_numpy(picture).to(device).permute(2, 0, 1) / 255
            found = self._net.to(device)([given])[0]
            inside = (found["masks"][found["scores"] > SURE, 0] > SURE).any(0).float().cpu().numpy()
        return np.asarray(cv2.resize(inside, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA) > SURE)

    @cached_property
    def _net(self) -> Any:
        """The model; raises ``MissingWeights`` when its weights are another's."""
        import torch
        from torchvision.models import get_model

        net = get_model(self.model, weights=None, weights_backbone=None)
        file = weights_file(self.model, self.weights)
        try:
            net.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
        except RuntimeError as exc:
            raise MissingWeights(f"{file} holds no weights of '{self.model}': {exc}") from exc
        return net.eval()


def _places(clear: FrameRange) -> tuple[int, int, int]:
    """Indices of the first, middle and last pictures."""
    inset = min(INSET, (len(clear) - 1) // 2)
    return clear.first + inset, clear.middle, clear.last - inset


def salient(picture: Picture) -> Mask:
    """The fifth of a picture that stands out most: uint8 BGR, (h, w, 3) → (ROWS, COLUMNS)."""
    import cv2

    lab = cv2.cvtColor(picture, cv2.COLOR_BGR2LAB).astype(np.float32)
    contrast = np.linalg.norm(cv2.GaussianBlur(lab, (0, 0), 2) - lab.mean((0, 1)), axis=2)
    if contrast.max() < FLAT:
        return np.zeros((ROWS, COLUMNS), bool)
    spectrum = np.fft.fft2(cv2.resize(lab[..., 0], (64, 64)))
    level = np.log(np.abs(spectrum) + 1e-6).astype(np.float32)
    residual = np.exp(level - cv2.blur(level, (3, 3)) + 1j * np.angle(spectrum))
    odd = cv2.GaussianBlur((np.abs(np.fft.ifft2(residual)) ** 2).astype(np.float32), (0, 0), 2)
    cells = [cv2.resize(p, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA) for p in (odd, contrast)]
    odd, contrast = ((c - c.min()) / max(float(np.ptp(c)), 1e-9) for c in cells)
    order = np.argsort(-(ODD * odd + (1 - ODD) * contrast).ravel(), kind="stable")
    inside = np.isin(np.arange(ROWS * COLUMNS), order[: round(SHARE * len(order))])
    return inside.reshape(ROWS, COLUMNS)
