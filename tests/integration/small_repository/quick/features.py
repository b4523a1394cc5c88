"""Four small features that start from real media: of video, of rows, with a file, of pairs.

``$QUICK_SIGNS`` names a folder through which a test holds a feature or makes it fail.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa

from copal.feature import Output, Pair, Value, speed_only
from copal.media import Source

PATIENCE_SECONDS = 120


def heed_signs(feature: str) -> None:
    """Fail or wait while a test's sign says so; a waiting process leaves its number."""
    folder = os.environ.get("QUICK_SIGNS")
    if folder is None:
        return
    if (Path(folder) / f"{feature}.fail").exists():
        raise ValueError(f"the sign '{feature}.fail' is up")
    hold = Path(folder) / f"{feature}.hold"
    if hold.exists():
        (Path(folder) / f"{feature}.{os.getpid()}.waits").touch()
        until = time.monotonic() + PATIENCE_SECONDS
        while hold.exists() and time.monotonic() < until:
            time.sleep(0.02)


@dataclass(frozen=True)
class Levels:
    """Mean brightness of every picture; the pictures themselves, tiny, in a file."""

    side: int = 8
    block: int = speed_only(4)

    columns: ClassVar[pa.Schema] = pa.schema([("frame_index", pa.int32()), ("level", pa.float32())])
    tools: ClassVar[tuple[str, ...]] = ("av",)

    def compute(self, source: Source, workspace: Path) -> Output:
        import av

        heed_signs("levels")
        with av.open(str(source.path)) as container:
            pictures = np.stack(
                [
                    frame.reformat(self.side, self.side, "gray", interpolation="AREA").to_ndarray()
                    for frame in container.decode(video=0)
                ]
            )
        path = workspace / "pictures.raw"
        path.write_bytes(pictures.tobytes())
        levels = pictures.reshape(len(pictures), -1).mean(1, dtype=np.float32)
        rows = pa.table([np.arange(len(pictures), dtype=np.int32), levels], schema=self.columns)
        return Output(rows, {"pictures.raw": path})


@dataclass(frozen=True)
class Cuts:
    """Pictures that differ from the one before by more than ``jump``."""

    jump: float = 9.0

    columns: ClassVar[pa.Schema] = pa.schema([("frame_index", pa.int32())])

    def compute(self, levels: Value) -> pa.Table:
        heed_signs("cuts")
        side_by_side = np.frombuffer(
            levels.files["pictures.raw"].path().read_bytes(), np.uint8
        ).reshape(levels.rows.num_rows, -1)
        apart = np.abs(np.diff(side_by_side.astype(np.int16), axis=0)).mean(1)
        found = np.flatnonzero(apart > self.jump).astype(np.int32) + 1
        return pa.table([found], schema=self.columns)


@dataclass(frozen=True)
class Spans:
    """Frames between two cuts, with their mean brightness."""

    columns: ClassVar[pa.Schema] = pa.schema(
        [("start_frame", pa.int32()), ("end_frame", pa.int32()), ("level", pa.float64())]
    )

    def compute(self, levels: pa.Table, cuts: pa.Table) -> pa.Table:
        heed_signs("spans")
        values = levels["level"].to_numpy()
        bounds = [0, *cuts["frame_index"].to_pylist(), len(values)]
        spans = [
            {"start_frame": start, "end_frame": end, "level": float(values[start:end].mean())}
            for start, end in pairwise(bounds)
        ]
        return pa.Table.from_pylist(spans, schema=self.columns)


@dataclass(frozen=True)
class Alike:
    """For every two spans, how far their brightness is apart."""

    columns: ClassVar[pa.Schema] = pa.schema(
        [("left_span", pa.int32()), ("right_span", pa.int32()), ("distance", pa.float64())]
    )

    def compute(self, spans: Pair[pa.Table]) -> pa.Table:
        heed_signs("alike")
        left, right = (side["level"].to_pylist() for side in (spans.left, spans.right))
        rows = [
            {"left_span": i, "right_span": j, "distance": abs(one - other)}
            for i, one in enumerate(left)
            for j, other in enumerate(right)
        ]
        return pa.Table.from_pylist(rows, schema=self.columns)
