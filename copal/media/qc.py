"""Quality control of an encode: what it must prove, and what is worth knowing of its source."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np

from copal.errors import UnreadableMedia
from copal.media.audio import SAMPLE_RATE
from copal.media.probe import Technical
from copal.media.transcode import SMALLEST_LEAD_SECONDS, Rendition, Transcode

Level = Literal["note", "warn", "refuse"]

BLACK_LUMA = 18
"""Mean luma below which a picture is black; 16 is black exactly."""
FROZEN_DIFFERENCE = 0.02
"""Mean difference of luma between pictures below which nothing moved."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that quality control found."""

    code: str
    level: Level
    message: str


def inspect_encode(
    plan: Transcode, source: Technical, complaints: tuple[str, ...],
    full: Path, small: Path, sound: Path, name: str,
) -> tuple[int, int | None, list[Finding]]:  # fmt: skip
    """Frames, samples (None without sound) and findings of an encode.

    The small rendition is decoded whole. Of the full one only the packets are read: both come
    from one ``split`` of one filter graph, so what their frames are was decided once.

    Raises
    ------
    UnreadableMedia
        The encode does not hold what it must; a source that was read badly enough to cause it.
    """
    count = _check_rendition(full, plan.full, plan.frame_rate, name)
    if _check_rendition(small, plan.small, plan.frame_rate, name) != count:
        raise UnreadableMedia(
            f"{name}: the two sizes of its encode differ in length. Encode again."
        )
    findings = [*_source_findings(plan, source, complaints)]
    findings += _length_findings(plan, count)
    findings += _picture_findings(small, count)
    samples = None
    if plan.audio is not None:
        samples = _sample_count(sound)
        heard, shown = Fraction(samples, SAMPLE_RATE), count / plan.frame_rate
        if abs(heard - shown) > Fraction(1, 10):
            findings.append(Finding("audio_length", "note",
                f"sound lasts {float(heard):.2f} s and pictures {float(shown):.2f} s"))  # fmt: skip
    return count, samples, findings


def _check_rendition(path: Path, rendition: Rendition, rate: Fraction, name: str) -> int:
    """Number of frames, when they are constant in rate from 0, of the right size and format."""
    import av

    with av.open(f"file:{path}", options={"format_whitelist": "mov"}) as container:
        stream: Any = container.streams.video[0]
        step = 1 / (rate * stream.time_base)
        times = sorted(p.pts for p in container.demux(stream) if p.size)
        context = stream.codec_context
        shape = (context.width, context.height, context.pix_fmt, stream.sample_aspect_ratio or 1)
    if not times:
        raise UnreadableMedia(
            f"{name}: not one frame could be decoded. Check that the file plays, and supply it again."
        )
    if times != list(range(0, len(times) * int(step), int(step))) or step.denominator != 1:
        raise UnreadableMedia(f"{name}: its encode is not constant in rate from 0. Encode again.")
    if shape != (rendition.width, rendition.height, "yuv420p", 1):
        raise UnreadableMedia(f"{name}: its encode came out as {shape}. Encode again.")
    return len(times)


def _source_findings(
    plan: Transcode, source: Technical, complaints: tuple[str, ...]
) -> list[Finding]:
    video = plan.video
    found: list[Finding] = []
    if complaints:
        found.append(Finding("decode_errors", "warn",
            f"the decoder complained, so some pictures may be damaged: {complaints[0]}"))  # fmt: skip
    declared = video.declared_frames
    if declared and abs(declared - video.packet_count) > max(2, declared // 100):
        found.append(Finding("declared_frames", "warn",
            f"the container declares {declared} frames and holds {video.packet_count}"))  # fmt: skip
    if not video.constant_rate:
        found.append(Finding("variable_rate", "note",
            f"pictures do not come at a constant rate; made constant at {plan.frame_rate}"))  # fmt: skip
    if video.longest_gap_seconds > 1:
        found.append(Finding("hole", "warn",
            f"no picture for {float(video.longest_gap_seconds):.2f} s; the one before was repeated"))  # fmt: skip
    if video.start_seconds >= SMALLEST_LEAD_SECONDS:
        found.append(Finding("late_start", "note",
            f"pictures start {float(video.start_seconds):.2f} s in; the first was repeated"))  # fmt: skip
    if video.frame_rate != plan.frame_rate:
        found.append(Finding("halved_rate", "note",
            f"{video.frame_rate} frames per second brought to {plan.frame_rate}"))  # fmt: skip
    if video.hdr:
        found.append(Finding("hdr", "note", f"{video.hdr.upper()} mapped to Rec.709"))
    if video.interlaced:
        found.append(Finding("interlaced", "note", "fields were joined into frames"))
    if video.rotation or video.mirrored:
        found.append(Finding("turned", "note", f"turned by {video.rotation} degrees for display"))
    if not source.audios:
        found.append(Finding("no_audio", "note", "no sound"))
    elif plan.audio is None:
        found.append(Finding("audio_unreadable", "warn",
            f"none of the sound can be decoded (found: {source.found})"))  # fmt: skip
    return found


def _length_findings(plan: Transcode, count: int) -> list[Finding]:
    lasts = count / plan.frame_rate
    lead = plan.video.start_seconds if plan.video.start_seconds >= SMALLEST_LEAD_SECONDS else 0
    expected = plan.video.duration_seconds + lead
    if abs(lasts - expected) <= max(2 / plan.frame_rate, expected / 1000):
        return []
    return [Finding("length", "warn",
        f"the encode lasts {float(lasts):.2f} s and the source {float(expected):.2f} s")]  # fmt: skip


def _picture_findings(small: Path, count: int) -> list[Finding]:
    """Share of black and of frozen frames, from 64 × 36 luma."""
    import av
    from av.video.reformatter import VideoReformatter

    black = frozen = decoded = 0
    before = None
    reformatter = VideoReformatter()
    with av.open(f"file:{small}", options={"format_whitelist": "mov"}) as container:
        for frame in container.decode(video=0):
            tiny: Any = reformatter.reformat(frame, 64, 36, "gray", interpolation="AREA")
            luma = tiny.to_ndarray().astype(np.int16)
            black += bool(luma.mean() < BLACK_LUMA)
            frozen += before is not None and bool(np.abs(luma - before).mean() < FROZEN_DIFFERENCE)
            before = luma
            decoded += 1
    if decoded != count:
        raise UnreadableMedia(f"{small}: {decoded} of {count} frames decode. Encode again.")
    found = []
    if black > 0.9 * count:
        found.append(Finding("black", "warn", f"{black} of {count} frames are black"))
    if frozen > 0.5 * count:
        found.append(Finding("frozen", "warn", f"{frozen} of {count} frames repeat the one before"))
    return found


def _sample_count(sound: Path) -> int:
    """Samples of the encode's sound, by its packets."""
    import av

    with av.open(f"file:{sound}", options={"format_whitelist": "flac"}) as container:
        stream: Any = container.streams.audio[0]
        per_tick = stream.time_base * SAMPLE_RATE
        total = sum(p.duration for p in container.demux(stream) if p.size)
    return int(total * per_tick)
