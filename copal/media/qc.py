"""Quality control of an encode: what it must prove, and what is worth knowing of its source."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from copal.errors import UnreadableMedia
from copal.feature import LocalFile
from copal.media.audio import SAMPLE_RATE
from copal.media.derivative import opened
from copal.media.transcode import SMALLEST_LEAD_SECONDS, Rendition, Transcode
from copal.media.video import Video

if TYPE_CHECKING:
    from copal.media.probe import Technical

Level = Literal["note", "warn", "refuse"]

BLACK_LUMA = 20
"""Mean luma, as coded, below which a picture is black; 16 is black exactly, 235 white."""
FROZEN_DIFFERENCE = 0.02
"""Mean difference of luma between two pictures below which nothing moved."""
TINY = (64, 36)
"""Width and height at which pictures are judged."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that quality control found."""

    code: str
    level: Level
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """What an encode turned out to hold."""

    frame_count: int
    audio_samples: int | None
    """At 16 kHz; None without sound."""
    findings: tuple[Finding, ...]


def examine(
    plan: Transcode,
    source: Technical,
    complaints: tuple[str, ...],
    paths: tuple[Path, Path, Path],
    name: str,
) -> Report:
    """Prove that an encode is what was planned, and say what is odd about its source.

    Parameters
    ----------
    complaints
        What the decoder said at level error.
    paths
        The full rendition, the small one, and the sound; the last is read when sound is planned.

    Raises
    ------
    UnreadableMedia
        The encode is not what was planned: the source was damaged in a way nobody foresaw.

    Notes
    -----
    Only the small rendition is decoded, for black and frozen pictures. Of the full one the packets
    are counted, since both leave one ``split`` of one filter graph and x264 drops nothing. For the
    1,691 frames of an encode that took 7.2 s, all of this takes 0.25 s; decoding the full one too
    would add 1.1 s.
    """
    full, small, sound = paths
    count = _frame_count(full, plan.full, plan.frame_rate, name)
    if _frame_count(small, plan.small, plan.frame_rate, name) != count:
        raise UnreadableMedia(
            f"{name}: the two sizes of its encode differ in length. Encode again."
        )
    samples = _sample_count(sound) if plan.audio is not None else None
    found = _of_source(plan, source, complaints)
    found += _of_lengths(plan, count, samples)
    found += _of_pictures(small, plan.small, plan.frame_rate, count)
    return Report(count, samples, tuple(found))


def _frame_count(path: Path, rendition: Rendition, rate: Fraction, name: str) -> int:
    """Number of frames, once rate, start, size and format are as planned."""
    with opened(path, "mov") as container:
        if not container.streams.video:
            raise UnreadableMedia(f"{name}: not one picture could be decoded. Supply it again.")
        stream: Any = container.streams.video[0]
        step = 1 / (rate * stream.time_base)
        times = sorted(packet.pts for packet in container.demux(stream) if packet.size)
        context = stream.codec_context
        aspect = stream.sample_aspect_ratio or 1
        shape = (context.width, context.height, context.pix_fmt, str(aspect))
    if not times:
        raise UnreadableMedia(f"{name}: not one picture could be decoded. Supply it again.")
    if step.denominator != 1 or times != list(range(0, len(times) * int(step), int(step))):
        raise UnreadableMedia(f"{name}: its encode is not at a constant rate from 0. Encode again.")
    if shape != (rendition.width, rendition.height, "yuv420p", "1"):
        raise UnreadableMedia(f"{name}: its encode came out as {shape}. Encode again.")
    return len(times)


def _of_source(plan: Transcode, source: Technical, complaints: tuple[str, ...]) -> list[Finding]:
    video = plan.video
    found: list[Finding] = []
    if complaints:
        found.append(_warn("decode_errors", f"pictures or sound may be damaged: {complaints[0]}"))
    declared, held = video.declared_frames, video.packet_count
    if declared and abs(declared - held) > max(2, declared // 100):
        found.append(_warn("declared_frames", f"{declared} frames declared, {held} found"))
    if not video.constant_rate:
        found.append(_note("variable_rate", f"made constant at {plan.frame_rate} frames a second"))
    gap = float(video.longest_gap_seconds)
    if gap > 1:
        found.append(_warn("hole", f"{gap:.2f} s without a picture; the one before was repeated"))
    start = float(video.start_seconds)
    if video.start_seconds >= SMALLEST_LEAD_SECONDS:
        found.append(
            _note("late_start", f"pictures start {start:.2f} s in; the first was repeated")
        )
    if video.frame_rate > plan.frame_rate:
        found.append(_note("halved_rate", f"{video.frame_rate} brought to {plan.frame_rate}"))
    if video.hdr:
        found.append(_note("hdr", f"{video.hdr.upper()} mapped to Rec.709"))
    if video.interlaced:
        found.append(_note("interlaced", "fields were joined into frames"))
    if video.rotation or video.mirrored:
        mirrored = " and mirrored" if video.mirrored else ""
        found.append(_note("turned", f"turned by {video.rotation} degrees{mirrored}"))
    if len(source.videos) > 1:
        found.append(_note("several_videos", f"stream {video.index} was taken ({source.found})"))
    if not source.audios:
        found.append(_note("no_audio", "no sound"))
    elif plan.audio is None:
        found.append(
            _warn("audio_unreadable", f"none of {len(source.audios)} audio can be decoded")
        )
    return found


def _of_lengths(plan: Transcode, count: int, samples: int | None) -> list[Finding]:
    found = []
    shown = count / plan.frame_rate
    late = plan.video.start_seconds >= SMALLEST_LEAD_SECONDS
    expected = plan.video.duration_seconds + (plan.video.start_seconds if late else 0)
    if abs(shown - expected) > max(2 / plan.frame_rate, expected / 1000):
        found.append(_warn("length", f"{float(shown):.2f} s made of {float(expected):.2f} s"))
    if samples is not None:
        heard = Fraction(samples, SAMPLE_RATE)
        if abs(heard - shown) > Fraction(1, 10):
            lengths = f"sound lasts {float(heard):.2f} s, pictures {float(shown):.2f} s"
            found.append(_note("audio_length", lengths))
    return found


def _of_pictures(small: Path, size: Rendition, rate: Fraction, count: int) -> list[Finding]:
    """Whether most pictures are black, or repeat the one before."""
    black = frozen = 0
    before = None
    video = Video(LocalFile(small), count, rate, size.width, size.height)
    for picture in video.frames(size=TINY, format="gray"):
        luma = picture.astype(np.int16)
        black += bool(luma.mean() < BLACK_LUMA)
        frozen += before is not None and bool(np.abs(luma - before).mean() < FROZEN_DIFFERENCE)
        before = luma
    found = []
    if black > 0.9 * count:
        found.append(_warn("black", f"{black} of {count} pictures are black"))
    if frozen > 0.5 * count:
        found.append(_warn("frozen", f"{frozen} of {count} pictures repeat the one before"))
    return found


def _sample_count(sound: Path) -> int:
    """Samples of the encode's sound, by its packets."""
    with opened(sound, "flac") as container:
        stream: Any = container.streams.audio[0]
        ticks = sum(packet.duration for packet in container.demux(stream) if packet.size)
        return int(ticks * stream.time_base * SAMPLE_RATE)


def _note(code: str, message: str) -> Finding:
    return Finding(code, "note", message)


def _warn(code: str, message: str) -> Finding:
    return Finding(code, "warn", message)
