"""Timelines of match cuts: edit decision lists and OpenTimelineIO, in the sources' own timing."""

from __future__ import annotations

import json
import re
from fractions import Fraction

import opentimelineio as otio
import pytest

from copal.errors import RequestError
from copal.search import MatchCut, Side, edl
from copal.search import otio as timelines
from copal.search.stretches import Join, Medium, Stretch, reel_name
from copal.timeline import FrameRange, timecode
from tests.builders import asset_of

RATES = {
    "23.976": Fraction(24000, 1001), "24": Fraction(24), "25": Fraction(25),
    "29.97": Fraction(30000, 1001), "59.94": Fraction(60000, 1001),
}  # fmt: skip
EVENT = re.compile(r"^(\d{3})  (\S+) +V     C        (\S+) (\S+) (\S+) (\S+)$", re.MULTILINE)


def stretch_of(name: str, rate: Fraction, start: int, end: int, /, **medium: object) -> Stretch:
    side = Side(asset_of(name), name, 3, FrameRange(start, end), FrameRange(start, end), rate)
    given = {
        "locator": f"file:///films/{name}.mov", "name": f"{name}.mov", "reel": name.upper()[:8],
        "frame_rate": rate, "frames": 200_000, "constant_rate": True,
    } | medium  # fmt: skip
    return Stretch(Medium(**given), side, FrameRange(start, end))  # type: ignore[arg-type]


def join_of(one: Stretch, other: Stretch, score: float = 0.875) -> Join:
    cut = MatchCut(score, "composition", one.side, other.side, {"composition": score})
    return Join(cut, one, other)


def frame_of(label: str, rate: Fraction) -> int:
    """The frame that has a label, as OpenTimelineIO reads labels."""
    return int(otio.opentime.from_timecode(label, float(rate)).value)


@pytest.mark.parametrize("name", RATES)
def test_an_edit_list_says_the_frames_of_its_sources(name: str) -> None:
    """
    Read back by OpenTimelineIO, source and record labels are the frames that were written, at any
    rate, also across the minutes in which drop-frame leaves labels out.
    """
    rate = RATES[name]
    joins = [
        join_of(stretch_of("one", rate, 1790, 1820), stretch_of("two", rate, 17_970, 18_000)),
        join_of(stretch_of("two", rate, 107_880, 107_910), stretch_of("one", rate, 0, 7)),
    ]
    text = edl.written(joins)
    events = EVENT.findall(text)
    clips = [clip for join in joins for clip in (join.outgoing, join.incoming)]

    assert [int(number) for number, *_ in events] == [1, 2, 3, 4]
    assert [reel for _, reel, *_ in events] == ["ONE", "TWO", "TWO", "ONE"]
    at = frame_of("01:00:00;00" if name in ("29.97", "59.94") else "01:00:00:00", rate)
    for (_, _, *labels), clip in zip(events, clips, strict=True):
        start, end, record_start, record_end = (frame_of(label, rate) for label in labels)
        assert (start, end) == (clip.range.start, clip.range.end)
        assert (record_start, record_end) == (at, at + len(clip.range))
        at = record_end


@pytest.mark.parametrize("name", RATES)
def test_drop_frame_is_said_where_it_is_meant(name: str) -> None:
    """
    29.97 and 59.94 count in drop-frame, with semicolons; the others say that they do not.
    """
    text = edl.written(
        [join_of(stretch_of("a", RATES[name], 0, 9), stretch_of("b", RATES[name], 5, 9))]
    )

    drops = name in ("29.97", "59.94")
    assert f"FCM: {'DROP' if drops else 'NON-DROP'} FRAME\n" in text
    assert ("01:00:00;00" in text) == drops
    assert timecode(edl.hour(RATES[name]), RATES[name]).replace(";", ":") == "01:00:00:00"


def test_names_cannot_write_lines_of_their_own() -> None:
    """
    A line break in a title or a file's name stays inside its comment; events cannot be forged.
    """
    evil = "x\n003  EVIL     V     C        00:00:00:00\r\u2028* "
    joins = [join_of(stretch_of("a", Fraction(24), 0, 9, name=evil),
                     stretch_of(evil, Fraction(24), 0, 9, reel="B"))]  # fmt: skip
    text = edl.written(joins, title=evil)

    assert len(EVENT.findall(text)) == 2
    assert all(
        line == "" or line.startswith(("TITLE:", "FCM:", "001  ", "002  ", "* "))
        for line in text.splitlines()
    )


def test_what_an_edit_list_cannot_hold_is_refused() -> None:
    """
    Two rates, a rate that the format does not know, and more than 999 events, each in words.
    """
    mixed = [join_of(stretch_of("a", Fraction(24), 0, 9), stretch_of("b", Fraction(25), 0, 9))]
    odd = [join_of(stretch_of("a", Fraction(25, 2), 0, 9), stretch_of("b", Fraction(25, 2), 0, 9))]
    with pytest.raises(RequestError, match=r"run at 24, 25 frames a second, and an edit .* --otio"):
        edl.written(mixed)
    with pytest.raises(RequestError, match=r"cannot run at 12\.5 frames"):
        edl.written(odd)
    long = [join_of(stretch_of("a", Fraction(24), 0, 9), stretch_of("b", Fraction(24), 0, 9))] * 500
    with pytest.raises(RequestError, match=r"1,000 events; .* holds 999\. Ask for --top 499"):
        edl.written(long)


def test_reels_are_short_plain_and_distinct() -> None:
    """
    A reel's name is eight of A to Z, 0 to 9 and _; sources with one name get another each.
    """
    taken: set[str] = set()
    for file in ("Ép 01 – final.mov", "ep01final.mp4", "EP01FINALCUT.mov", "日本.mp4", "AX.mov"):
        name = reel_name(file, taken)
        assert re.fullmatch(r"[A-Z0-9_]{1,8}", name)
        assert name not in {*taken, "AX", "BL"}
        taken.add(name)


def test_a_timeline_comes_back_from_opentimelineio() -> None:
    """
    Clips refer to their sources in the sources' own rates, all of them available, and carry score,
    asset and shot; rates may differ within one timeline.
    """
    one, other = (
        stretch_of("one", RATES["59.94"], 100, 160),
        stretch_of("two", RATES["23.976"], 7, 31),
    )
    text = timelines.written([join_of(one, other)])
    made = otio.adapters.read_from_string(text, "otio_json")

    clips = list(made.find_clips())
    assert [clip.name for clip in clips] == ["one shot 3", "two shot 3"]
    for clip, meant in zip(clips, (one, other), strict=True):
        span = clip.source_range
        assert (span.start_time.value, span.duration.value) == (meant.range.start, len(meant.range))
        assert span.start_time.rate == float(meant.medium.frame_rate)
        assert clip.media_reference.target_url == meant.medium.locator
        assert clip.media_reference.available_range.duration.value == meant.medium.frames
        assert clip.metadata["copal"]["asset"] == meant.side.asset.id
    (marker,) = clips[1].markers
    assert marker.name == "Match 1: composition 0.875"
    assert marker.metadata["copal"]["scores"] == {"composition": 0.875}
    assert json.loads(text)["OTIO_SCHEMA"].startswith("Timeline")


def test_a_source_without_a_place_is_a_missing_reference() -> None:
    """
    Where nobody knows the file any more, the timeline says so instead of naming nothing.
    """
    lost = stretch_of("one", Fraction(24), 0, 9, locator="")
    made = otio.adapters.read_from_string(timelines.written([join_of(lost, lost)]), "otio_json")

    assert all(clip.media_reference.is_missing_reference for clip in made.find_clips())
