"""The command that turns a source into its standard encode: geometry, rate, colour, one ffmpeg."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from copal.errors import UnreadableMedia, UnsupportedMedia
from copal.media.ffmpeg import INPUT_OPTIONS, binary
from copal.media.probe import AudioStream, Technical, VideoStream

HIGHEST_RATE = Fraction(31)
"""Rates above it are halved until they are not: 60 → 30, 50 → 25, 48 → 24."""
SMALLEST_LEAD_SECONDS = Fraction(1, 5)
"""Pictures that start later than this after the sound are waited for; sooner, time 0 is theirs.

Remuxing moves a picture's start by the encoder delay of the sound (AAC at 48 kHz: 21 ms, at
8 kHz: 128 ms), and the frames must not change for that.
"""
UNSPECIFIED = 2
"""In ITU-T H.273's tables of transfers, primaries and matrices."""
STANDARD_LINES = 576
"""Untagged pictures with more lines are Rec.709, as players take them; with fewer, Rec.601."""
BICUBIC = "bicubic+accurate_rnd+full_chroma_int+bitexact"
AREA = "area+accurate_rnd+bitexact"
FULL_PRESET = "superfast"
"""With ``tune=fastdecode``, 866 × 360: 152 frames per CPU-second coded, 960 decoded."""
SMALL_PRESET = "ultrafast"
"""Of 1,691 frames at 256 × 106: 4,900 frames per CPU-second coded, 12,000 decoded, 4.2 MB.
Superfast: 3,300, 10,300, 3.4 MB. PySceneDetect's ContentDetector at 27, no shot too short, reports
96 changes from it, 97 from superfast and 94 from uncompressed frames, the 25 true cuts always
among them."""


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


def plan_transcode(
    source: Technical, name: str, *, short_side: int, long_side: int, crf: int, threads: int
) -> Transcode:
    """What the standard encode of a source will be.

    Raises
    ------
    UnsupportedMedia
        There are no pictures that move.
    UnreadableMedia
        There are, but none can be decoded.
    """
    video = source.video
    if source.kind != "video" or video is None:
        what = "a still picture" if source.kind == "image" else "no video stream"
        raise UnsupportedMedia(
            f"{name}: {what} (found: {source.found}). Features that need 'encode' skip this asset."
        )
    if not video.decodable or not video.frame_count:
        raise UnreadableMedia(
            f"{name}: no picture of its {video.codec} stream can be decoded "
            f"({video.packet_count} packets, first 64 tried). "
            "Check that the file plays, and supply it again."
        )
    width, height = display_size(video)
    rate = encode_rate(video.frame_rate)
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


def compile_command(
    source: Path, plan: Transcode, full: Path, small: Path, sound: Path
) -> list[str]:
    """The one command, which decodes the source once; ``sound`` is used when there is sound.

    Both sizes leave one ``split`` after one ``fps``: frame ``i`` is the same picture in both.
    """
    import ffmpeg

    start = f"{float(plan.lead_seconds):.9f}/TB"
    given = ffmpeg.input(
        f"file:{source.absolute()}",
        threads=plan.threads,
        fflags="+bitexact+genpts",
        **INPUT_OPTIONS,
    )
    pictures = given[str(plan.video.index)]
    pictures = pictures.filter("bwdif", mode="send_frame", parity="auto", deint="interlaced")
    pictures = pictures.filter("setpts", f"floor(PTS-{start}+0.5)")
    pictures = pictures.filter("fps", fps=str(plan.frame_rate), start_time=0, round="near")
    shrink = _tonemapped if plan.video.hdr else _scaled_down
    pictures = shrink(pictures, plan).filter("setsar", "1").filter("format", "yuv420p")
    pair = pictures.split()
    # From the scaled pictures, by area: half the cost of bicubic, and no aliasing this far down.
    less = pair[1].filter("scale", plan.small.width, plan.small.height, flags=AREA)
    less = less.filter("setsar", "1")
    outputs = [
        _output(pair[0], full, plan.full, plan),
        _output(less, small, plan.small, plan),
    ]  # fmt: skip
    if plan.audio is not None:
        heard = given[str(plan.audio.index)].filter("asetpts", f"floor(PTS-{start}+0.5)")
        heard = heard.filter("aresample", 16000, **{"async": 1, "first_pts": 0, "resampler": "swr"})
        outputs.append(
            ffmpeg.output(
                heard, f"file:{sound}", format="flac", acodec="flac", ac=1, ar=16000,
                sample_fmt="s16", map_metadata=-1, fflags="+bitexact", **{"flags:a": "+bitexact"},
            )
        )  # fmt: skip
    merged = ffmpeg.merge_outputs(*outputs)
    command: list[str] = merged.global_args(
        "-hide_banner", "-nostdin", "-y", "-v", "repeat+error"
    ).compile(cmd=str(binary()))
    return command


def _scaled_down(pictures: Any, plan: Transcode) -> Any:
    """Pictures of the encode's size in Rec.709."""
    video, into = plan.video, plan.full
    colour = {"out_color_matrix": "bt709", "out_range": "tv"}
    if video.matrix == UNSPECIFIED and min(video.width, video.height) > STANDARD_LINES:
        colour["in_color_matrix"] = "bt709"  # ffmpeg alone would take it for Rec.601
    return pictures.filter("scale", into.width, into.height, flags=BICUBIC, **colour)


def _tonemapped(pictures: Any, plan: Transcode) -> Any:
    """Pictures of the encode's size, their high dynamic range brought into Rec.709.

    Notes
    -----
    Linear light, Rec.709 primaries, highlights rolled off (Mobius); 203 cd/m² is reference white
    (ITU-R BT.2408). Shrinking in the first filter, after ``fps``, brought a
    127-frame 720p PQ clip from 4.0 to 1.1 s.
    """
    video, into = plan.video, plan.full
    given = {"tin": {"pq": "smpte2084", "hlg": "arib-std-b67"}[video.hdr or "pq"]}
    if video.matrix == UNSPECIFIED:
        given["min"] = "2020_ncl"
    if video.primaries == UNSPECIFIED:
        given["pin"] = "2020"
    pictures = pictures.filter(
        "zscale", w=into.width, h=into.height, f="bicubic", t="linear", npl=203, **given
    )
    pictures = pictures.filter("format", "gbrpf32le").filter("zscale", p="bt709")
    pictures = pictures.filter("tonemap", "mobius", desat=0)
    return pictures.filter("zscale", t="bt709", m="bt709", r="tv")


def _output(pictures: Any, path: Path, rendition: Rendition, plan: Transcode) -> Any:
    import ffmpeg

    rate = plan.frame_rate
    gop = max(1, round(rate))
    x264 = (
        f"keyint={gop}:min-keyint=1:scenecut=40:open-gop=0:bframes=2:"
        f"threads={plan.threads}:sliced-threads=0"
    )
    # One frame must be a whole number of ticks: in a clock of 90000, 23.976 is not.
    clock = rate.numerator if rate.denominator == 1001 else rate.numerator * 1000
    return ffmpeg.output(
        pictures, f"file:{path}", format="mp4", vcodec="libx264", preset=rendition.preset,
        tune="fastdecode", crf=rendition.crf, pix_fmt="yuv420p", color_primaries="bt709",
        color_trc="bt709", colorspace="bt709", color_range="tv", fps_mode="cfr",
        video_track_timescale=clock, map_metadata=-1, map_chapters=-1, movflags="+faststart",
        fflags="+bitexact",
        **{"profile:v": "high", "x264-params": x264, "flags:v": "+bitexact"},
    )  # fmt: skip


def _scaled(width: Fraction, height: Fraction, scale: Fraction) -> tuple[int, int]:
    """Both sides scaled to the nearest even number."""
    return _even(width * scale), _even(height * scale)


def _even(side: Fraction) -> int:
    return max(2, round(side / 2) * 2)
