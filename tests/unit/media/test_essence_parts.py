"""Times of pictures are told so that clocks do not matter and changes do."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from copal.media.demux import StreamRecord
from copal.media.essence import _times

FINE, COARSE = Fraction(1, 24000), Fraction(1, 1000)


def _stream(seconds: list[Fraction], time_base: Fraction) -> StreamRecord:
    ticks = np.array([round(s / time_base) for s in seconds], np.int64)
    return StreamRecord(
        index=0, type="video", codec="h264", default=True, attached_picture=False, language="",
        time_base=time_base, start=0, declared_frames=0, declared_rate=None, extradata=b"",
        ticks=ticks,
    )  # fmt: skip


def _at(rate: Fraction, places: list[int], start: Fraction = Fraction(0)) -> list[Fraction]:
    return [start + place / rate for place in places]


@pytest.mark.parametrize("rate", ["24000/1001", "24", "25", "30000/1001", "60", "25/2"])
@pytest.mark.parametrize("start", ["0", "137/1000", "2002/24000", "1/3"])
def test_milliseconds_tell_the_same_as_fine_clocks(rate: str, start: str) -> None:
    """
    A constant rate is the same in milliseconds and in fine ticks, wherever it starts.
    """
    for count in (40, 500, 5000):
        seconds = _at(Fraction(rate), list(range(count)), Fraction(start))
        assert _times(_stream(seconds, FINE)) == _times(_stream(seconds, COARSE))


def test_holes_are_told_in_any_clock() -> None:
    """
    Where pictures are missing is part of it, in any clock.
    """
    places = [i for i in range(400) if not 100 <= i < 140]
    whole, holed = list(range(360)), _at(Fraction(24), places)
    assert _times(_stream(holed, FINE)) == _times(_stream(holed, COARSE))
    assert _times(_stream(holed, FINE)) != _times(_stream(_at(Fraction(24), whole), FINE))


def test_a_thousandth_slower_is_noticed() -> None:
    """
    24 and 23.976, 25 and 24.975 are told apart within two seconds, in any clock.
    """
    for rate in (Fraction(24), Fraction(25), Fraction(30)):
        slower = rate * 1000 / 1001
        for clock in (FINE, COARSE):
            one = _times(_stream(_at(rate, list(range(60))), clock))
            other = _times(_stream(_at(slower, list(range(60))), clock))
            assert one != other


def test_no_rate_at_all_is_told_by_the_clock() -> None:
    """
    Times that fit no rate are kept one by one.
    """
    seconds = [Fraction(n, 1000) for n in (0, 17, 90, 111, 350, 371)]
    assert _times(_stream(seconds, COARSE))[0] == "clock"
    moved = [*seconds[:-1], Fraction(373, 1000)]
    assert _times(_stream(seconds, COARSE)) != _times(_stream(moved, COARSE))
