"""Audio loudness: how loud an asset and each of its shots are, as broadcasters measure it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pyarrow as pa

from copal.media import Encode, Source


@dataclass(frozen=True)
class AudioLoudness:
    """EBU R 128 of the source's own sound, all channels at their own rate, shot by shot.

    One row per shot; what belongs to the whole asset stands in every row, so that a shot can be
    judged against it without another table.

    Silence has no loudness: where nothing is above the gate of -70 LUFS, or no peak above -66
    dBTP, the value is null, and so it is for a source without sound (``channels`` is 0). Sound
    shorter than a block of 400 ms has no loudness either.

    Measured on Tears of Steel's battle, 70 s: -8.8 LUFS, range 11.4 LU, peak 1.4 dBTP;
    0.35 CPU-seconds, of which decoding takes 0.15 and the true peak 0.13.
    """

    columns: ClassVar[pa.Schema] = pa.schema(
        [
            ("shot_index", pa.int32()),
            ("start_frame", pa.int32()),
            ("end_frame", pa.int32()),
            ("lufs", pa.float32()),  # of the shot, gated; of the block around it when shorter
            ("asset_lufs", pa.float32()),  # integrated
            ("asset_range_lu", pa.float32()),
            ("asset_true_peak_dbtp", pa.float32()),  # of the loudest channel
            ("channels", pa.int32()),
        ]
    )
    tools: ClassVar[tuple[str, ...]] = ("ffmpeg", "av")
    reads: ClassVar[tuple[str, ...]] = ("audio",)

    def compute(self, source: Source, encode: Encode, shots: pa.Table, workspace: Path) -> pa.Table:
        """Measure the sound once, and cut the measurement at the shots.

        Returns
        -------
        One row per shot, same order.

        Raises
        ------
        UnreadableMedia
            The sound cannot be decoded.
        """
        from copal.media import sandbox
        from copal.media.loudness import measure
        from copal.media.transcode import plan_transcode

        if not len(shots):
            return self.columns.empty_table()
        technical = sandbox.probe(source.path, name=source.name)
        # Clock and choice of sound depend on the source alone; sizes and quality are anything.
        plan = plan_transcode(
            technical, source.name, short_side=360, long_side=256, crf=20, threads=1
        )
        sound = measure(source.path, plan, workspace, source.name)
        ranges = zip(shots["start_frame"].to_pylist(), shots["end_frame"].to_pylist(), strict=True)
        rate = float(encode.frame_rate)
        lufs = [sound and sound.between(start / rate, end / rate) for start, end in ranges]
        whole = (
            (sound.integrated_lufs, sound.range_lu, sound.true_peak_dbtp)
            if sound
            else (None, None, None)
        )
        channels = plan.audio.channels if plan.audio else 0
        columns = [lufs, *([each] * len(shots) for each in (*whole, channels))]
        parts = [shots[name] for name in ("shot_index", "start_frame", "end_frame")]
        return pa.table([*parts, *columns], schema=self.columns)
