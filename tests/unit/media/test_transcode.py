"""Geometry, rate and command of an encode are decided before ffmpeg runs."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from copal.errors import UnreadableMedia, UnsupportedMedia
from copal.media.command import compile_command
from copal.media.technical import AudioStream, Technical, VideoStream
from copal.media.transcode import encode_rate, plan_transcode

VIDEO = VideoStream(
    index=0, codec="h264", width=1920, height=1080, sample_aspect=Fraction(1), rotation=0,
    mirrored=False, pixel_format="yuv420p", transfer=2, primaries=2, matrix=2, full_range=False,
    hdr=None, interlaced=False, decodable=True, frame_rate=Fraction(25), constant_rate=True,
    frame_count=100, declared_frames=100, hidden_packets=0, packet_count=100,
    start_seconds=Fraction(0), duration_seconds=Fraction(4), longest_gap_seconds=Fraction(1, 25),
    default=True, language="",
)  # fmt: skip
AUDIO = AudioStream(1, "aac", 48000, 2, "stereo", Fraction(0), Fraction(4), True, "")


def _source(**changes: Any) -> Technical:
    videos = (replace(VIDEO, **changes),)
    return Technical("video", "mov", Fraction(4), Fraction(0), videos, (AUDIO,))


def _plan(**changes: Any) -> Any:
    source = _source(**changes)
    return plan_transcode(source, "film.mp4", short_side=360, long_side=256, crf=20, threads=2)


@pytest.mark.parametrize(
    ("changes", "full", "small"),
    [
        ({}, (640, 360), (256, 144)),
        ({"rotation": 90}, (360, 640), (144, 256)),
        ({"rotation": 180}, (640, 360), (256, 144)),
        ({"width": 720, "height": 576, "sample_aspect": Fraction(64, 45)}, (640, 360), (256, 144)),
        ({"width": 161, "height": 121}, (480, 360), (256, 192)),
        ({"width": 2048, "height": 858}, (860, 360), (256, 108)),
        ({"width": 800, "height": 40}, (7200, 360), (256, 12)),
    ],
)
def test_geometry(changes: Any, full: tuple[int, int], small: tuple[int, int]) -> None:
    """
    Samples are made square and pictures turned before the short side becomes 360, both even.
    """
    plan = _plan(**changes)
    assert (plan.full.width, plan.full.height) == full
    assert (plan.small.width, plan.small.height) == small


def test_rates_above_31_are_halved() -> None:
    """
    Fast sources lose every second picture until 31 a second suffice; others lose none.
    """
    pairs = {"60": "30", "50": "25", "48": "24", "60000/1001": "30000/1001", "30": "30"}
    pairs |= {"120": "30", "240": "30", "25/2": "25/2", "24000/1001": "24000/1001"}
    assert {k: str(encode_rate(Fraction(k))) for k in pairs} == pairs


def test_small_leads_are_priming_and_long_ones_are_kept() -> None:
    """
    Pictures that start 128 ms late start the encode; those that start a second late are awaited.
    """
    assert _plan(start_seconds=Fraction(128, 1000)).lead_seconds == Fraction(128, 1000)
    assert _plan(start_seconds=Fraction(1)).lead_seconds == 0


def test_one_command_decodes_once() -> None:
    """
    One input, one split, three outputs; whitelists before the input and no protocol in its name.
    """
    paths = [Path(f"/w/{name}") for name in ("video.mp4", "small.mp4", "audio.flac")]
    command = compile_command(Path("/in/film.mp4"), _plan(), *paths)
    before = command[: command.index("-i")]
    assert before[before.index("-protocol_whitelist") + 1] == "file"
    assert "concat" not in before[before.index("-format_whitelist") + 1].split(",")
    assert command.count("-i") == 1 and command[command.index("-i") + 1] == "file:/in/film.mp4"
    graph = command[command.index("-filter_complex") + 1]
    assert graph.count("split") == 1 and graph.count("fps=fps=25") == 1
    assert command.count("-map") == 3 and "-nostdin" in command


def test_a_tick_divides_every_frame() -> None:
    """
    The clock of the file makes one frame a whole number of ticks at every rate.
    """
    for rate in ("24000/1001", "30000/1001", "25", "25/2", "30", "12", "1"):
        plan = _plan(frame_rate=Fraction(rate))
        command = compile_command(Path("/a"), plan, Path("/v"), Path("/s"), Path("/f"))
        clock = int(command[command.index("-video_track_timescale") + 1])
        assert (clock / plan.frame_rate).denominator == 1


def test_untagged_hd_is_rec_709_and_hdr_is_mapped() -> None:
    """
    What ffmpeg would guess wrong is said: the matrix of untagged HD, the transfer of HDR.
    """

    def graph(**changes: Any) -> str:
        command = compile_command(Path("/a"), _plan(**changes), Path("/v"), Path("/s"), Path("/f"))
        return command[command.index("-filter_complex") + 1]

    assert "in_color_matrix=bt709" in graph()
    assert "in_color_matrix" not in graph(width=720, height=576)
    assert "in_color_matrix" not in graph(matrix=9)
    assert "tin=smpte2084" in graph(hdr="pq", transfer=16) and "tonemap" not in graph()


def test_what_cannot_be_encoded_says_why() -> None:
    """
    No pictures, still pictures and undecodable pictures are three different refusals.
    """
    given = {"short_side": 360, "long_side": 256, "crf": 20, "threads": 2}
    sound = Technical("audio", "mov", Fraction(4), Fraction(0), audios=(AUDIO, AUDIO))
    with pytest.raises(UnsupportedMedia) as caught:
        plan_transcode(sound, "heist_s01e02.mov", **given)
    assert str(caught.value) == (
        "heist_s01e02.mov: no video stream (found: 2 audio). "
        "Features that need 'encode' skip this asset."
    )
    with pytest.raises(UnsupportedMedia, match=r"a\.png: a still picture \(found: 1 video"):
        plan_transcode(replace(_source(), kind="image"), "a.png", **given)
    with pytest.raises(UnreadableMedia, match="no picture of its h264 stream can be decoded"):
        _plan(decodable=False)


def test_the_technical_record_survives_json() -> None:
    """
    Fractions, tuples and streams come back as they went, and unknown keys do no harm.
    """
    import json

    record = _source(frame_rate=Fraction(24000, 1001))
    data = json.loads(json.dumps(record.to_json()))
    assert Technical.from_json(data) == record
    assert Technical.from_json({**data, "new": 1}) == record
    assert data["videos"][0]["frame_rate"] == "24000/1001"


def test_default_streams_are_chosen_first() -> None:
    """
    Of several streams the default ones are encoded, and sound that no decoder takes is left out.
    """
    other = replace(VIDEO, index=2, default=False)
    mute = replace(AUDIO, codec="unknown")
    spare = replace(AUDIO, index=3, default=False)
    record = replace(_source(), videos=(other, VIDEO), audios=(mute, spare))
    assert record.video == VIDEO and record.audio == spare
