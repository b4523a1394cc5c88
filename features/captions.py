"""Captions: the dialogue that an asset carries as text, line by line."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa

from copal.media import Source

if TYPE_CHECKING:
    from copal.media import Technical


@dataclass(frozen=True)
class Captions:
    """Lines of every text track of a video, and of a file that is nothing but timed text.

    SubRip, WebVTT, TTML, ASS and SSA, and the text tracks of MKV, MP4 and MOV. Tracks that are
    pictures of words (PGS, VobSub) are named in the technical record and the log, not read.

    Measured on a film of 70 s: 0.05 CPU-seconds without text, nearly all of it the probe's, and
    0.09 with a track of 1,000 lines.
    """

    columns: ClassVar[pa.Schema] = pa.schema(
        [
            ("line_index", pa.int32()),
            ("track", pa.int32()),  # index of the stream in its file; 0 for a text file
            ("start_ms", pa.int64()),  # of the source's time, from its time 0
            ("end_ms", pa.int64()),
            ("start_frame", pa.int32()),  # of the standard encode; null for a text asset, and for
            ("end_frame", pa.int32()),  # lines that are over before the first picture
            ("text", pa.string()),
            ("speaker", pa.string()),  # null when the text names none
            ("language", pa.string()),  # "en", "pt-BR"; null when nothing says it
        ]
    )
    tools: ClassVar[tuple[str, ...]] = ("ffmpeg", "av", "pysubs2")

    def compute(self, source: Source, workspace: Path) -> pa.Table:
        """Read every text track.

        Returns
        -------
        Lines in the order of their time, those of one time in the order of the tracks. A line is
        shown on the frames from the boundary nearest to its start up to the one nearest to its
        end, on one at least: times of captions are boundaries rounded to milliseconds or worse.
        Its last frames may lie beyond the encode's.

        Raises
        ------
        UnreadableMedia, UnsupportedMedia
            The source cannot be read, or its pictures can have no encode.
        """
        from copal.media import tracks

        technical = tracks.technical_of(source)
        found = [
            (line, track)
            for track in tracks.text_tracks(source, technical, workspace)
            for line in track.lines
        ]
        found.sort(key=lambda each: (each[0].start_ms, each[0].end_ms))
        clock = _clock(technical, source.name) if found and technical.videos else None
        rows = []
        for index, (line, track) in enumerate(found):
            start, end = _frames(line.start_ms, line.end_ms, clock)
            rows.append(
                {
                    "line_index": index,
                    "track": track.index,
                    "start_ms": line.start_ms,
                    "end_ms": line.end_ms,
                    "start_frame": start,
                    "end_frame": end,
                    "text": line.text,
                    "speaker": line.speaker,
                    "language": track.language,
                }
            )
        return pa.Table.from_pylist(rows, schema=self.columns)


def _clock(technical: Technical, name: str) -> tuple[Fraction, Fraction]:
    """Rate of the encode, and the source's time at which its frame 0 shows."""
    from copal.media.transcode import plan_transcode

    # Rate and start depend on the source alone; sizes and quality are anything.
    plan = plan_transcode(technical, name, short_side=360, long_side=256, crf=20, threads=1)
    return plan.frame_rate, plan.lead_seconds


def _frames(
    start_ms: int, end_ms: int, clock: tuple[Fraction, Fraction] | None
) -> tuple[int | None, int | None]:
    """Frames that a line is shown on; none without pictures, or before them."""
    if clock is None:
        return None, None
    rate, lead = clock
    first, after = (
        floor((Fraction(ms, 1000) - lead) * rate + Fraction(1, 2)) for ms in (start_ms, end_ms)
    )
    after = max(after, first + 1)
    return (max(first, 0), after) if after > 0 else (None, None)
