"""The plan of a standard encode: its geometry, rate, streams and limits, decided before it runs."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from copal.errors import UnreadableMedia, UnsupportedMedia
from copal.media.bounds import excess, longest_encode
from copal.media.ffmpeg import Limits
from copal.media.technical import AudioStream, Technical, VideoStream

HIGHEST_RATE = Fraction(31)
"""Rates above it are halved until they are not: 60 → 30, 50 → 25, 48 → 24."""
SMALLEST_LEAD_SECONDS = Fraction(1, 5)
"""Pictures that start later than this after the sound are waited for; sooner, time 0 is theirs.

Remuxing moves a picture's start by the encoder delay of the sound (AAC at 48 kHz: 21 ms, at
8 kHz: 128 ms), and the frames must not change for that.
"""
FULL_PRESET = "superfast"
"""With ``tune=fastdecode``, 866 × 360: 152 frames per CPU-second coded, 960 decoded."""
SMALL_PRESET = "ultrafast"
"""Of 1,691 frames at 256 × 106: 4,900 frames per CPU-second coded, 12,000 decoded, 4.2 MB.
Superfast: 3,300, 10,300, 3.4 MB. PySceneDetect's ContentDetector at 27, no shot too short, reports
96 changes from it, 97 from superfast and 94 from uncompressed frames, the 25 true cuts always
among them."""


Fields = Literal["flagged", "tff", "bff"]
"""Pictures that are two fields: those flagged so, or all of them, the top field first or last."""


@dataclass(frozen=True, slots=True)
class Rendition:
    """How pictures are coded: size in pixels and x264's settings."""

    width: int
    height: int
    preset: str
    crf: int


@dataclass(frozen=True, slots=True)
class Transcode:
    """All that is decided before ffmpeg runs."""

    video: VideoStream
    audio: AudioStream | None
    frame_rate: Fraction
    full: Rendition
    small: Rendition
    lead_seconds: Fraction
    """Time of the encode's frame 0 on ffmpeg's clock for the source."""
    threads: int
    longest_seconds: Fraction
    """Where the encode is cut off. Longer than it should come out."""
    fields: Fields = "flagged"

    @property
    def limits(self) -> Limits:
        """What ffmpeg may use: a minute for a second, and no more disk than the bare pictures."""
        picture = self.full.width * self.full.height * 2
        return Limits(
            seconds=min(Limits().seconds, 600 + 60 * float(self.longest_seconds)),
            file_bytes=(64 << 20) + int(self.longest_seconds * self.frame_rate) * picture,
        )


def plan_transcode(
    source: Technical, name: str, *, short_side: int, long_side: int, crf: int, threads: int
) -> Transcode:
    """What the standard encode of a source will be.

    Raises
    ------
    UnsupportedMedia
        There are no pictures that move, or they carry no times, or they ask for more than
        ``bounds`` allows.
    UnreadableMedia
        There are, but none can be decoded.
    """
    video = source.video
    if source.kind != "video" and "video" in source.others:
        raise UnreadableMedia(
            f"{name}: its video track holds no pictures (found: {source.found}). "
            "Was it copied whole? Supply it again."
        )
    if source.kind != "video" or video is None:
        what = "a still picture" if source.kind == "image" else "no video stream"
        raise UnsupportedMedia(
            f"{name}: {what} (found: {source.found}). Features that need 'encode' skip this asset."
        )
    if video.decodable and not video.frame_count:
        raise UnsupportedMedia(
            f"{name}: a bare {video.codec} stream, whose pictures carry no times. "
            "Put it into MP4 or MKV at its rate, and supply that."
        )
    if not video.decodable:
        raise UnreadableMedia(
            f"{name}: no picture of its {video.codec} stream can be decoded "
            f"({video.packet_count} packets, first 64 tried). "
            "Check that the file plays, and supply it again."
        )
    width, height = display_size(video)
    rate = encode_rate(video.frame_rate)
    finding = excess(video, (width, height), rate)
    if finding is not None:
        raise UnsupportedMedia(f"{name}: {finding.message}. Is the file damaged? Supply another.")
    small_scale = Fraction(long_side) / max(width, height)
    full_scale = Fraction(short_side) / min(width, height)
    lead = video.start_seconds
    return Transcode(
        video=video,
        audio=source.audio,
        frame_rate=rate,
        full=Rendition(*_scaled(width, height, full_scale), FULL_PRESET, crf),
        small=Rendition(*_scaled(width, height, small_scale), SMALL_PRESET, crf),
        lead_seconds=lead if lead < SMALLEST_LEAD_SECONDS else Fraction(0),
        threads=threads,
        longest_seconds=longest_encode(source, video),
    )


def display_size(video: VideoStream) -> tuple[Fraction, Fraction]:
    """Width and height as shown: samples made square, then turned."""
    width = Fraction(video.width) * (video.sample_aspect or 1)
    height = Fraction(video.height)
    return (height, width) if video.rotation % 180 else (width, height)


def encode_rate(rate: Fraction) -> Fraction:
    """The encode's rate for a source's: the same, or halved until pictures suffice."""
    while rate > HIGHEST_RATE:
        rate /= 2
    return rate


def _scaled(width: Fraction, height: Fraction, scale: Fraction) -> tuple[int, int]:
    """Both sides scaled to the nearest even number."""
    return _even(width * scale), _even(height * scale)


def _even(side: Fraction) -> int:
    return max(2, round(side / 2) * 2)
