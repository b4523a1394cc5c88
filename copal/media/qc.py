"""Quality control of an encode: what it must prove, and what is worth knowing of its source."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from copal.errors import UnreadableMedia
from copal.feature import LocalFile
from copal.media.audio import SAMPLE_RATE
from copal.media.derivative import decoded, opened
from copal.media.finding import Finding, note, refuse, warn
from copal.media.pictures import Bars, glance
from copal.media.transcode import SMALLEST_LEAD_SECONDS, Fields, Rendition, Transcode
from copal.media.video import Video

if TYPE_CHECKING:
    from copal.media.ffmpeg import Outcome
    from copal.media.technical import Technical

FIELDS_CERTAIN = 0.4
"""Share of the pictures sampled that must be two fields before all are treated so."""
FIELDS_REPEATED = 0.2
"""Share of them that repeat a field of the one before: film that 3:2 pulldown brought to 30 has
0.33, video under 0.1. Joining its fields would blur the whole pictures in between."""
FIELDS_WORTH_TELLING = 0.15
FIELDS_OF_ONE_ORDER = 0.9
FEWEST_SAMPLED = 8
SMALLEST_BARS = 0.02
"""Of a picture's height or width."""
EVEN_BARS = 0.5
"""The thinner bar over the thicker one. A picture that is dark on one side has no bar there."""
RANGE_SAMPLES = 3 * SAMPLE_RATE
"""Below three seconds EBU Tech 3342 has no loudness range."""
SILENT_WINDOW = SAMPLE_RATE // 50
SILENT_LEVEL = 2**15 * 10 ** (-60 / 20)
"""A window of 20 ms is silent when no sample of it reaches -60 dB of full scale."""


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
    outcome: Outcome,
    paths: tuple[Path, Path, Path],
    name: str,
) -> Report:
    """Prove that an encode is what was planned, and say what is odd about its source.

    Parameters
    ----------
    outcome
        What ffmpeg said while it encoded, and measured.
    paths
        The full rendition, the small one, and the sound; the last is read when sound is planned.

    Raises
    ------
    UnreadableMedia
        A finding refuses the source, or the encode is not what was planned: the source was
        damaged in a way nobody foresaw.

    Notes
    -----
    Only the small rendition and the sound are decoded. Of the full one the packets are counted,
    since both leave one ``split`` of one filter graph and x264 drops nothing. For the 1,691 frames
    of an encode that took 7.2 s, all of this takes 0.4 s; decoding the full one too would add
    1.1 s.
    """
    full, small, sound = paths
    count = _frame_count(full, plan.full, plan.frame_rate, name)
    if _frame_count(small, plan.small, plan.frame_rate, name) != count:
        raise UnreadableMedia(
            f"{name}: the two sizes of its encode differ in length. Encode again."
        )
    heard = _listen(sound) if plan.audio is not None else None
    samples = None if heard is None else heard.samples
    found = _of_source(plan, source, outcome.complaints)
    found += _of_fields(plan, outcome.measures)
    found += _of_lengths(plan, count, samples)
    found += _of_pictures(small, plan, count)
    if heard is not None:
        found += _of_sound(heard, outcome.measures)
    refused = [finding.message for finding in found if finding.level == "refuse"]
    if refused:
        raise UnreadableMedia(f"{name}: {'; '.join(refused)}. Supply it again.")
    return Report(count, samples, tuple(found))


def fields_unflagged(plan: Transcode, measures: Mapping[str, float]) -> Fields | None:
    """Which field comes first in pictures that are two fields and do not say so.

    None when they are whole, or say so, or too few were seen to be certain. Where it is certain,
    the encode is made again with the fields joined: combs would stand in every picture that a
    feature reads. Guessing is worse than leaving them, since joining softens whole pictures.
    """
    share, top = _fields(measures)
    if share < FIELDS_CERTAIN or _repeated(measures) > FIELDS_REPEATED:
        return None
    return "tff" if top else "bff"


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
        found.append(warn("decode_errors", f"pictures or sound may be damaged: {complaints[0]}"))
    declared, held = video.declared_frames, video.packet_count
    if declared and abs(declared - held) > max(2, declared // 100):
        message = f"{declared} frames declared, {held} found"
        found.append(warn("declared_frames", message, held - declared))
    if not video.constant_rate:
        found.append(note("variable_rate", f"made constant at {plan.frame_rate} frames a second"))
    gap = float(video.longest_gap_seconds)
    if gap > 1:
        message = f"{gap:.2f} s without a picture; the one before was repeated"
        found.append(warn("hole", message, gap))
    start = float(video.start_seconds)
    if video.start_seconds >= SMALLEST_LEAD_SECONDS:
        message = f"pictures start {start:.2f} s in; the first was repeated"
        found.append(note("late_start", message, start))
    if video.frame_rate > plan.frame_rate:
        found.append(note("halved_rate", f"{video.frame_rate} brought to {plan.frame_rate}"))
    if video.hdr:
        found.append(note("hdr", f"{video.hdr.upper()} mapped to Rec.709"))
    if video.interlaced:
        found.append(note("interlaced", "fields were joined into frames"))
    if video.rotation or video.mirrored:
        mirrored = " and mirrored" if video.mirrored else ""
        found.append(note("turned", f"turned by {video.rotation} degrees{mirrored}"))
    if video.captioned:
        found.append(note("captions_unread", "its CEA-608 or 708 captions are not read"))
    if len(source.videos) > 1:
        found.append(note("several_videos", f"stream {video.index} was taken ({source.found})"))
    if not source.audios:
        found.append(note("no_audio", "no sound"))
    elif plan.audio is None:
        found.append(warn("audio_unreadable", f"none of {len(source.audios)} audio can be decoded"))
    return found


def _of_lengths(plan: Transcode, count: int, samples: int | None) -> list[Finding]:
    found = []
    shown = count / plan.frame_rate
    late = plan.video.start_seconds >= SMALLEST_LEAD_SECONDS
    expected = plan.video.duration_seconds + (plan.video.start_seconds if late else 0)
    made = f"{float(shown):.2f} s made of {float(expected):.2f} s"
    if 2 * shown < expected - 2:
        found.append(refuse("length", f"under half of it can be decoded: {made}", float(shown)))
    elif abs(shown - expected) > max(2 / plan.frame_rate, expected / 1000):
        found.append(warn("length", made, float(shown - expected)))
    if samples is not None:
        heard = Fraction(samples, SAMPLE_RATE)
        if abs(heard - shown) > Fraction(1, 10):
            lengths = f"sound lasts {float(heard):.2f} s, pictures {float(shown):.2f} s"
            found.append(note("audio_length", lengths, float(heard - shown)))
    return found


def _of_fields(plan: Transcode, measures: Mapping[str, float]) -> list[Finding]:
    share, _ = _fields(measures)
    if share < FIELDS_WORTH_TELLING:
        return []
    done = "left as they are" if plan.fields == "flagged" else f"joined ({plan.fields})"
    message = f"{share:.0%} of the pictures sampled are two fields and do not say so; {done}"
    return [warn("unflagged_fields", message, share)]


def _fields(measures: Mapping[str, float]) -> tuple[float, bool]:
    """Share of the pictures judged that are two fields, and whether the top field comes first.

    One of the two comes first throughout. Fine patterns look like fields too, but of both orders.
    """
    top, bottom, whole = (
        measures.get(f"lavfi.idet.multiple.{each}", 0.0) for each in ("tff", "bff", "progressive")
    )
    judged, two = top + bottom + whole, top + bottom
    if judged < FEWEST_SAMPLED or max(top, bottom) < FIELDS_OF_ONE_ORDER * two:
        return 0.0, True
    return two / judged, top > bottom


def _repeated(measures: Mapping[str, float]) -> float:
    top, bottom, neither = (
        measures.get(f"lavfi.idet.repeated.{each}", 0.0) for each in ("top", "bottom", "neither")
    )
    return (top + bottom) / max(1.0, top + bottom + neither)


def _of_pictures(path: Path, plan: Transcode, count: int) -> list[Finding]:
    """Whether most pictures are black or repeat the one before, and whether they have bars."""
    size = plan.small
    seen = glance(Video(LocalFile(path), count, plan.frame_rate, size.width, size.height))
    found = []
    if seen.black > 0.9 * count:
        message = f"{seen.black} of {count} pictures are black"
        found.append(warn("black", message, seen.black / count))
    if seen.frozen > 0.5 * count:
        message = f"{seen.frozen} of {count} pictures repeat the one before"
        found.append(warn("frozen", message, seen.frozen / count))
    return found + _of_bars(seen.bars, plan)


def _of_bars(bars: Bars, plan: Transcode) -> list[Finding]:
    """Letterbox and pillarbox, in pixels of the full rendition."""
    found = []
    for code, side, lines, before, after, small in (
        ("letterbox", plan.full.height, "rows", bars.above, bars.below, plan.small.height),
        ("pillarbox", plan.full.width, "columns", bars.left, bars.right, plan.small.width),
    ):
        share = (before + after) / small
        if share >= SMALLEST_BARS and EVEN_BARS * max(before, after) <= min(before, after):
            first, end = round(before * side / small), round((small - after) * side / small)
            message = f"the picture takes {lines} {first} to {end} of {side}"
            found.append(note(code, message, share))
    return found


@dataclass(frozen=True, slots=True)
class _Heard:
    samples: int
    silent: int


def _listen(sound: Path) -> _Heard:
    """Samples of the encode's sound, and how many of them lie in silent windows."""
    samples = silent = 0
    rest = np.empty(0, np.int16)
    with opened(sound, "flac") as container:
        for frame in decoded(container, container.streams.audio[0], sound):
            samples += frame.samples
            rest = np.concatenate([rest, frame.to_ndarray().reshape(-1)])
            whole = rest.size - rest.size % SILENT_WINDOW
            windows = rest[:whole].reshape(-1, SILENT_WINDOW)
            loudest = np.maximum(windows.max(axis=1), -windows.min(axis=1).astype(np.int32))
            silent += int(np.count_nonzero(loudest < SILENT_LEVEL)) * SILENT_WINDOW
            rest = rest[whole:]
    if rest.size and np.abs(rest.astype(np.int32)).max() < SILENT_LEVEL:
        silent += rest.size
    return _Heard(samples, silent)


def _of_sound(heard: _Heard, measures: Mapping[str, float]) -> list[Finding]:
    """Loudness of the source's own channels by EBU R 128, and silence of the encode's sound."""
    found = []
    loud, spread = measures.get("lavfi.r128.I"), measures.get("lavfi.r128.LRA")
    peak = measures.get("lavfi.r128.true_peak", 0.0)
    if loud is not None and loud > -70:  # where the measure begins
        found.append(note("loudness", f"{loud:.1f} LUFS", loud))
        if spread is not None and heard.samples >= RANGE_SAMPLES:
            found.append(note("loudness_range", f"{spread:.1f} LU", spread))
    if peak > 0:
        decibel = round(20 * math.log10(peak), 2)
        found.append(note("true_peak", f"{decibel:+.1f} dBTP", decibel))
    share = heard.silent / heard.samples if heard.samples else 1.0
    if share > 0.99:
        found.append(warn("silence", "the sound is silent", share))
    elif share > 0:
        found.append(note("silence", f"{share:.1%} of the sound is silent", share))
    return found
