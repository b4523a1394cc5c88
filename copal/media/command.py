"""The one ffmpeg command that makes a standard encode, and measures its source meanwhile."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

from copal.media.ffmpeg import INPUT_OPTIONS, binary
from copal.media.transcode import Rendition, Transcode

UNSPECIFIED = 2
"""In ITU-T H.273's tables of transfers, primaries and matrices."""
PRIMARIES = frozenset({1, 2, *range(4, 13), 22})
TRANSFERS = frozenset({1, 2, *range(4, 19)})
MATRICES = frozenset({1, 2, *range(4, 15)})
STANDARD_LINES = 576
"""Untagged pictures with more lines are Rec.709, as players take them; with fewer, Rec.601."""
BICUBIC = "bicubic+accurate_rnd+full_chroma_int+bitexact"
AREA = "area+accurate_rnd+bitexact"
SAMPLED = "lt(mod(n,100),12)"
"""Of 100 pictures, 12 in a row are searched for fields: the 1,691 of a clip in 0.02 s."""
SOURCE = "file:source"
SMALLEST_JOINED = 16
"""Of a picture's width and height; the filter that joins fields takes no less."""
FEWEST_LINES = 400
"""Of a picture that may be two fields; NTSC has 480."""


def compile_command(
    source: Path, plan: Transcode, full: Path, small: Path, sound: Path, *, measuring: bool = False
) -> list[str]:
    """The one command, which decodes the source once; ``sound`` is used when there is sound.

    Both sizes leave one ``split`` after one ``fps``: frame ``i`` is the same picture in both.

    Parameters
    ----------
    measuring
        Whether to also print the loudness of the sound and the fields of some pictures to stdout.
        The encode's bytes do not change.
    """
    import ffmpeg

    start = f"{float(plan.lead_seconds):.9f}/TB"
    given = ffmpeg.input(
        SOURCE,
        threads=plan.threads,
        fflags="+bitexact+genpts",
        **INPUT_OPTIONS,
    )
    pictures = given[str(plan.video.index)]
    outputs = []
    if measuring and plan.video.height >= FEWEST_LINES and not plan.video.interlaced:
        twice = pictures.split()
        pictures = twice[0]
        outputs.append(_measured(_fields(twice[1]), "metadata"))
    if plan.fields == "flagged" and plan.video.height >= SMALLEST_JOINED <= plan.video.width:
        pictures = pictures.filter("bwdif", mode="send_frame", parity="auto", deint="interlaced")
    elif plan.fields != "flagged":
        pictures = pictures.filter("bwdif", mode="send_frame", parity=plan.fields, deint="all")
    pictures = pictures.filter("setparams", **_colours(plan))
    pictures = pictures.filter("setpts", f"floor(PTS-{start}+0.5)")
    pictures = pictures.filter("fps", fps=str(plan.frame_rate), start_time=0, round="near")
    shrink = _tonemapped if plan.video.hdr else _scaled_down
    pictures = shrink(pictures, plan).filter("setsar", "1").filter("format", "yuv420p")
    pair = pictures.split()
    # From the scaled pictures, by area: half the cost of bicubic, and no aliasing this far down.
    less = pair[1].filter("scale", plan.small.width, plan.small.height, flags=AREA)
    less = less.filter("setsar", "1")
    outputs.append(_output(pair[0], full, plan.full, plan))
    outputs.append(_output(less, small, plan.small, plan))
    if plan.audio is not None:
        heard = given[str(plan.audio.index)]
        if measuring:
            twice = heard.asplit()
            heard = twice[0]
            loud = twice[1].filter("ebur128", metadata=1, peak="true", framelog="quiet")
            outputs.append(_measured(loud, "ametadata"))
        heard = heard.filter("asetpts", f"floor(PTS-{start}+0.5)")
        heard = heard.filter("aresample", 16000, **{"async": 1, "first_pts": 0, "resampler": "swr"})
        # flac's blocks are as long as the first it is given, which may be 3 samples
        heard = heard.filter("asetnsamples", 4608, p=0)
        outputs.append(
            ffmpeg.output(
                heard, f"file:{sound}", format="flac", acodec="flac", ac=1, ar=16000,
                sample_fmt="s16", t=_seconds(plan.longest_seconds), map_metadata=-1,
                fflags="+bitexact", **{"flags:a": "+bitexact"},
            )
        )  # fmt: skip
    merged = ffmpeg.merge_outputs(*outputs)
    command: list[str] = merged.global_args(
        "-hide_banner", "-nostdin", "-y", "-v", "repeat+error"
    ).compile(cmd=str(binary()))
    # ffmpeg-python takes only names that are UTF-8
    return [f"file:{source.absolute()}" if word == SOURCE else word for word in command]


def _scaled_down(pictures: Any, plan: Transcode) -> Any:
    """Pictures of the encode's size in Rec.709."""
    video, into = plan.video, plan.full
    colour = {"out_color_matrix": "bt709", "out_range": "tv"}
    untagged = _colours(plan)["colorspace"] == UNSPECIFIED
    if untagged and min(video.width, video.height) > STANDARD_LINES:
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
    colours = _colours(plan)
    if colours["colorspace"] == UNSPECIFIED:
        given["min"] = "2020_ncl"
    if colours["color_primaries"] == UNSPECIFIED:
        given["pin"] = "2020"
    pictures = pictures.filter(
        "zscale", w=into.width, h=into.height, f="bicubic", t="linear", npl=203, **given
    )
    pictures = pictures.filter("format", "gbrpf32le").filter("zscale", p="bt709")
    pictures = pictures.filter("tonemap", "mobius", desat=0)
    return pictures.filter("zscale", t="bt709", m="bt709", r="tv")


def _colours(plan: Transcode) -> dict[str, int]:
    """The colours of the first picture, for all: one damaged header must not end the encode.

    What is not in ITU-T H.273 is unspecified, as players take it; swscale would give up.
    """
    video = plan.video
    return {
        "color_primaries": video.primaries if video.primaries in PRIMARIES else UNSPECIFIED,
        "color_trc": video.transfer if video.transfer in TRANSFERS else UNSPECIFIED,
        "colorspace": video.matrix if video.matrix in MATRICES else UNSPECIFIED,
    }


def _fields(pictures: Any) -> Any:
    """Some of the pictures, searched for fields.

    Notes
    -----
    At the filter's own threshold of 1.04 drawn patterns are fields. At 1.5 none of nine clips of
    whole pictures is, with strong noise added or not, while of interlaced ones every picture is.
    """
    return pictures.filter("select", SAMPLED).filter("idet", intl_thres=1.5)


def _measured(frames: Any, filter: str) -> Any:
    """Frames that end here, after their metadata was printed."""
    import ffmpeg

    printed = frames.filter(filter, mode="print", file="-")
    return ffmpeg.output(printed, "-", format="null", fps_mode="passthrough")


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
        video_track_timescale=clock, t=_seconds(plan.longest_seconds), map_metadata=-1,
        map_chapters=-1, movflags="+faststart", fflags="+bitexact",
        **{"profile:v": "high", "x264-params": x264, "flags:v": "+bitexact"},
    )  # fmt: skip


def _seconds(seconds: Fraction) -> str:
    return f"{float(seconds):.3f}"
