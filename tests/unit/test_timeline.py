"""Frames, ranges, rates and labels."""

from __future__ import annotations

import datetime
from fractions import Fraction

import pytest

from copal.timeline import FrameRange, frame_rate, timecode

FILM, NTSC, NTSC_60 = Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60000, 1001)


def test_a_range_is_half_open():
    """
    [10, 14) holds frames 10 to 13: four of them, the later middle one of two, and not 14.
    """
    span = FrameRange(10, 14)
    assert list(span) == [10, 11, 12, 13]
    assert (len(span), span.first, span.middle, span.last) == (4, 10, 12, 13)
    assert 13 in span and 14 not in span and 10.5 not in span
    assert FrameRange(7, 8).middle == FrameRange(7, 8).last == 7


def test_ranges_sort_by_start():
    """
    Ranges compare by value, earliest first.
    """
    assert sorted([FrameRange(5, 9), FrameRange(0, 7), FrameRange(0, 2)]) == [
        FrameRange(0, 2),
        FrameRange(0, 7),
        FrameRange(5, 9),
    ]


@pytest.mark.parametrize(("start", "end"), [(3, 3), (4, 3), (-1, 3)])
def test_what_is_no_range_is_refused(start, end):
    """
    Empty, backward and negative ranges are refused, not clamped.
    """
    with pytest.raises(ValueError, match=rf"\[{start}, {end}\) is not a frame range"):
        FrameRange(start, end)


def test_seconds_are_for_people():
    """
    1,000 frames of 23.976 last 41.708 seconds and not 41.667.
    """
    assert FrameRange(0, 1000).seconds(FILM) == pytest.approx(41.7083, abs=1e-4)


def test_rates_are_exact():
    """
    A rate is read as it is written, and a float is refused: 23.976 is not a rate.
    """
    assert frame_rate("24000/1001") == FILM
    assert frame_rate(25) == frame_rate("25") == Fraction(25)
    with pytest.raises(ValueError, match=r"23\.976 is a float; write a frame rate as a fraction"):
        frame_rate(23.976)
    for wrong in ("0", "-25", 0):
        with pytest.raises(ValueError, match="need a positive fraction"):
            frame_rate(wrong)
    with pytest.raises(ValueError):
        frame_rate("fast")


@pytest.mark.parametrize(
    ("frame", "rate", "label"),
    [
        (0, Fraction(25), "00:00:00:00"),
        (24, Fraction(25), "00:00:00:24"),
        (25, Fraction(25), "00:00:01:00"),
        (25 * 3600, Fraction(25), "01:00:00:00"),
        (23, FILM, "00:00:00:23"),
        (24, FILM, "00:00:01:00"),
        (24 * 60, FILM, "00:01:00:00"),  # never drop-frame
        (119, Fraction(120), "00:00:00:119"),
        (120, Fraction(120), "00:00:01:000"),
    ],
)
def test_labels_without_dropped_frames(frame, rate, label):
    """
    Whole rates, and 23.976, count every label.
    """
    assert timecode(frame, rate) == label


@pytest.mark.parametrize(
    ("frame", "label"),
    [
        (1799, "00:00:59;29"),
        (1800, "00:01:00;02"),
        (1801, "00:01:00;03"),
        (3597, "00:01:59;29"),
        (3598, "00:02:00;02"),
        (17981, "00:09:59;29"),
        (17982, "00:10:00;00"),  # the tenth minute drops nothing
        (17983, "00:10:00;01"),
        (17982 + 1800, "00:11:00;02"),
        (107892, "01:00:00;00"),
    ],
)
def test_drop_frame_at_29_97(frame, label):
    """
    Labels ;00 and ;01 are left out of every minute that is no tenth; SMPTE ST 12-1.
    """
    assert timecode(frame, NTSC) == label


@pytest.mark.parametrize(
    ("frame", "label"),
    [
        (3599, "00:00:59;59"),
        (3600, "00:01:00;04"),
        (7195, "00:01:59;59"),
        (7196, "00:02:00;04"),
        (35963, "00:09:59;59"),
        (35964, "00:10:00;00"),
        (215784, "01:00:00;00"),
    ],
)
def test_drop_frame_at_59_94(frame, label):
    """
    At 59.94 four labels are left out.
    """
    assert timecode(frame, NTSC_60) == label


@pytest.mark.parametrize("rate", [NTSC, NTSC_60])
def test_every_frame_has_its_own_label(rate):
    """
    Labels are dropped, frames are not: eleven minutes of frames have as many labels, in order.
    """
    labels = [timecode(frame, rate) for frame in range(11 * 60 * round(rate))]
    assert len(set(labels)) == len(labels)
    assert labels == sorted(labels)


@pytest.mark.parametrize(
    "rate", [Fraction(24), Fraction(25), NTSC, NTSC_60, Fraction(25, 2), Fraction(24997, 1000)]
)
def test_labels_do_not_drift_from_the_clock(rate):
    """
    After two hours the label is within a tenth of a second of the clock.
    """
    frame = int(2 * 3600 * rate)
    hours, minutes, rest = timecode(frame, rate).replace(";", ":").split(":", 2)
    seconds, frames = rest.split(":")
    label = datetime.timedelta(hours=int(hours), minutes=int(minutes), seconds=int(seconds))
    assert label.total_seconds() + int(frames) / rate == pytest.approx(frame / rate, abs=0.1)


@pytest.mark.parametrize(
    ("frame", "rate", "label"),
    [
        (0, Fraction(1, 2), "00:00:00:00"),
        (1, Fraction(1, 2), "00:00:02:00"),
        (31, Fraction(1, 2), "00:01:02:00"),
        (12, Fraction(25, 2), "00:00:00:12"),
        (13, Fraction(25, 2), "00:00:01:00"),
        (25, Fraction(25, 2), "00:00:02:00"),
    ],
)
def test_odd_rates_count_within_each_second(frame, rate, label):
    """
    A rate that is no whole number, such as a slide every two seconds, has labels by the clock.
    """
    assert timecode(frame, rate) == label


def test_a_label_may_start_elsewhere():
    """
    Programmes start at ten hours; ``start`` is the label's number for frame 0.
    """
    assert timecode(3, Fraction(25), start=25 * 36000) == "10:00:00:03"


def test_there_is_no_frame_before_the_first():
    """
    A negative index is refused.
    """
    with pytest.raises(ValueError, match="-1 is not a frame index"):
        timecode(-1, Fraction(25))
