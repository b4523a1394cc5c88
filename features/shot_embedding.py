"""Shot embedding: what happens in a shot, as a video model trained on actions sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from copal.errors import MissingWeights
from copal.feature import speed_only
from copal.media import Encode
from copal.timeline import FrameRange
from copal.weights import weights_digest, weights_file

if TYPE_CHECKING:
    import torch

DIMENSIONS: Mapping[str, int] = MappingProxyType(
    {
        **dict.fromkeys(("r3d_18", "mc3_18", "r2plus1d_18"), 512),
        **dict.fromkeys(("mvit_v1_b", "mvit_v2_s", "swin3d_t", "swin3d_s"), 768),
        **dict.fromkeys(("s3d", "swin3d_b"), 1024),
    }
)
"""Length of what each of torchvision's video models hands to its classifier."""
HEADS = ("fc", "head", "classifier")
PICTURES_PER_SECOND = 15  # at which the models were trained


@dataclass(frozen=True)
class ShotEmbedding:
    """The activations before the classifier of a torchvision video model, one clip per shot.

    It lies around the shot's middle; a shot shorter than a clip is stretched over it.
    """

    model: str = "r2plus1d_18"
    weights: str = "DEFAULT"
    """Name of the model's torchvision weights, or a file: a local path or ``s3://bucket/key``."""
    frames: int = 16
    """Pictures in a clip. 16 fits all the models."""
    side: int = 0
    """Pixels of the square that the model sees; 0 for what its weights ask for."""
    batch_size: int = speed_only(8)
    """Clips whose pictures are decoded together; the model sees one clip at a time."""
    device: str = speed_only("auto")
    """``auto`` is the GPU when there is one (bfloat16 there), otherwise the CPU (float32)."""

    tools: ClassVar[tuple[str, ...]] = ("torch", "torchvision", "av")
    per_shot: ClassVar[tuple[str, ...]] = ("clear_start", "clear_end")

    def __post_init__(self) -> None:
        if self.model not in DIMENSIONS:
            raise ValueError(f"model '{self.model}': need one of {', '.join(sorted(DIMENSIONS))}")
        if self.frames < 1 or self.side < 0 or self.batch_size < 1:
            raise ValueError("need frames and batch_size of 1 or more, side of 0 or more")

    @property
    def columns(self) -> pa.Schema:
        """``vector``: float32, of the model's own length, norm 1."""
        vector = pa.list_(pa.float32(), DIMENSIONS[self.model])
        return pa.schema([("shot_index", pa.int32()), ("vector", vector)])

    def weights_digests(self) -> dict[str, str]:
        """Digest of the weights file; raises ``MissingWeights`` when it is not there."""
        return {"weights": weights_digest(self._file)}

    def compute(self, encode: Encode, shots: pa.Table) -> pa.Table:
        """Embed one clip of every shot: one row per shot, same order.

        Raises
        ------
        MissingWeights
            There is no weights file, or it holds another model's.

        Notes
        -----
        Source: Tran et al. 2018, arXiv:1711.11248 (R(2+1)D). Repeatable on one machine; bfloat16
        on a GPU gives other digits than float32 on a CPU. One clip at a time, since a clip among
        others was measured to give other digits (9e-8), and cost 1.5 to 2.4 times more on a CPU.
        """
        import torch

        bounds = zip(shots["clear_start"].to_pylist(), shots["clear_end"].to_pylist(), strict=True)
        clips = [self._clip(FrameRange(*b), float(encode.frame_rate)) for b in bounds]
        rows = np.zeros((len(clips), DIMENSIONS[self.model]), np.float32)
        for first in range(0, len(clips), self.batch_size):
            batch = clips[first : first + self.batch_size]
            wanted = sorted({index for clip in batch for index in clip})
            pictures = dict(encode.video.frames_at(wanted))  # uint8 RGB, (height, width, 3)
            for place, clip in enumerate(batch, first):
                stack = np.stack([pictures[index] for index in clip])
                rows[place] = self._embed(torch.from_numpy(stack))
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        rows[lengths[:, 0] == 0, 0] = 1
        rows /= np.where(lengths == 0, 1, lengths)
        vector = pa.FixedSizeListArray.from_arrays(rows.ravel(), type=self.columns.field(1).type)
        return pa.table([shots["shot_index"], vector], schema=self.columns)

    def _clip(self, clear: FrameRange, rate: float) -> list[int]:
        """Indices of a clip's frames; some come twice when the shot is shorter than the clip."""
        step = max(1, round(rate / PICTURES_PER_SECOND))
        start = clear.middle - step * self.frames // 2
        if len(clear) < step * self.frames:
            spread = np.linspace(clear.first, clear.last, self.frames)
            return [int(index) for index in spread.round()]
        return [start + step * k for k in range(self.frames)]

    def _embed(self, clip: torch.Tensor) -> Any:
        """(frames, height, width, 3) uint8 → (d,) float32."""
        import torch

        model, preset, device, kind = self._loaded
        with torch.inference_mode():
            batch = preset(clip[None].to(device).permute(0, 1, 4, 2, 3).contiguous())
            return model(batch.to(kind)).float().cpu().numpy()[0]

    @cached_property
    def _loaded(self) -> tuple[Any, Any, torch.device, torch.dtype]:
        """The model without its head, its preset, and where and in what precision it runs."""
        import torch
        from torchvision.models import get_model, get_model_weights

        auto = "cuda" if torch.cuda.is_available() else "cpu"
        device = torch.device(auto if self.device == "auto" else self.device)
        kind = torch.bfloat16 if device.type == "cuda" else torch.float32
        model = get_model(self.model, weights=None)
        head = next(name for name in HEADS if hasattr(model, name))
        setattr(model, head, torch.nn.Identity())
        state = torch.load(self._file, map_location="cpu", weights_only=True)
        try:  # a head for any number of classes is left aside
            model.load_state_dict({k: v for k, v in state.items() if not k.startswith(f"{head}.")})
        except RuntimeError as exc:
            raise MissingWeights(f"{self._file} holds no weights of '{self.model}': {exc}") from exc
        preset = get_model_weights(self.model)["DEFAULT"].transforms()
        if self.side:
            preset.resize_size, preset.crop_size = [self.side], [self.side, self.side]
        return model.to(device, kind).eval(), preset, device, kind

    @cached_property
    def _file(self) -> Path:
        return weights_file(self.model, self.weights)
