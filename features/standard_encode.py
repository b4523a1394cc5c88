"""One constant-rate encode and 16 kHz mono sound of every video asset, with quality control."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import pyarrow as pa

from copal.feature import Output
from copal.media import Source
from copal.media.encode import AUDIO, SMALL, VIDEO


@dataclass(frozen=True)
class StandardEncode:
    """Bring any video to one form: H.264, Rec.709, square pixels, constant rate, closed GOPs.

    The same pictures in two sizes, frame ``i`` of one being frame ``i`` of the other: one for
    people and models, one for analysis, which decodes four times as fast.
    """

    short_side: int = 360
    """Of ``video.mp4``, in pixels."""
    crf: int = 20
    """x264's quality of both sizes; lower is better and larger."""
    threads: int = 2
    """Of the decoder and of x264. They change the bytes, so they are no mere matter of speed."""
    small_long_side: int = 256
    """Of ``small.mp4``, in pixels."""

    columns: ClassVar[pa.Schema] = pa.schema(
        [
            ("frame_count", pa.int64()),
            ("rate_numerator", pa.int64()),
            ("rate_denominator", pa.int64()),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("small_width", pa.int32()),
            ("small_height", pa.int32()),
            ("audio_samples", pa.int64()),
            (
                "findings",
                pa.list_(
                    pa.struct(
                        [
                            ("code", pa.string()),
                            ("level", pa.string()),
                            ("message", pa.string()),
                            ("measure", pa.float64()),
                        ]
                    )
                ),
            ),
        ]
    )
    tools: ClassVar[tuple[str, ...]] = ("ffmpeg", "av")

    def compute(self, source: Source, workspace: Path) -> Output:
        """Encode a source in one pass and inspect what came out.

        Returns
        -------
        One row; ``audio_samples`` is null without sound. Files ``video.mp4``, ``small.mp4`` and,
        with sound, ``audio.flac``.

        Raises
        ------
        UnsupportedMedia
            There are no moving pictures in it, it asks for more than an encode may be, or its
            format is not among those that Copal reads.
        UnreadableMedia
            It is damaged beyond use.
        """
        from copal.media import encoding, qc, sandbox, transcode

        technical = sandbox.probe(source.path, name=source.name)
        plan = transcode.plan_transcode(
            technical, source.name, short_side=self.short_side,
            long_side=self.small_long_side, crf=self.crf, threads=self.threads,
        )  # fmt: skip
        full, small, sound = (workspace / name for name in (VIDEO, SMALL, AUDIO))
        paths = (full, small, sound)
        plan, outcome = encoding.encode(source.path, plan, paths, source.name)
        report = qc.examine(plan, technical, outcome, paths, source.name)
        row = {
            "frame_count": report.frame_count,
            "rate_numerator": plan.frame_rate.numerator,
            "rate_denominator": plan.frame_rate.denominator,
            "width": plan.full.width,
            "height": plan.full.height,
            "small_width": plan.small.width,
            "small_height": plan.small.height,
            "audio_samples": report.audio_samples,
            "findings": [asdict(finding) for finding in report.findings],
        }
        files = {VIDEO: full, SMALL: small}
        if report.audio_samples is not None:
            files[AUDIO] = sound
        return Output(pa.Table.from_pylist([row], schema=self.columns), files)
