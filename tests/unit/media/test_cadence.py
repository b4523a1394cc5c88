"""Rates come from presentation times, and from nothing else."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from copal.media.cadence import KNOWN_RATES, cadence

MILLISECOND = Fraction(1, 1000)


def _ticks(rate: Fraction, count: int, time_base: Fraction) -> np.ndarray:
    return np.array([round(i / rate / time_base) for i in range(count)], np.int64)


@pytest.mark.parametrize("rate", [r for r in KNOWN_RATES if 8 <= r <= 60], ids=str)
@pytest.mark.parametrize("time_base", [MILLISECOND, Fraction(1, 90000)], ids=str)
def test_every_known_rate_is_recognised(rate: Fraction, time_base: Fraction) -> None:
    """
    A minute of any known rate is measured exactly, also in Matroska's milliseconds.
    """
    found = cadence(_ticks(rate, round(rate * 60), time_base), time_base, single=Fraction(1))
    assert (found.frame_rate, found.constant) == (rate, True)


def test_a_hole_does_not_bend_the_rate() -> None:
    """
    A minute without pictures is a long gap, not a lower rate.
    """
    ticks = _ticks(Fraction(24000, 1001), 500, MILLISECOND)
    ticks[250:] += 60_000
    found = cadence(ticks, MILLISECOND, single=Fraction(1))
    assert found.frame_rate == Fraction(24000, 1001)
    assert found.longest_gap_seconds > 60


def test_dropped_pictures_make_a_variable_rate() -> None:
    """
    Where two of three pictures are left out for a while, the rate is that of the others.
    """
    kept = [i for i in range(300) if i < 100 or i >= 200 or i % 3 == 0]
    ticks = _ticks(Fraction(30), 300, MILLISECOND)[kept]
    found = cadence(ticks, MILLISECOND, single=Fraction(1))
    assert (found.frame_rate, found.constant) == (Fraction(30), False)


def test_a_rate_of_its_own_is_raised_to_a_known_one() -> None:
    """
    27.5 pictures a second are all shown at 29.97, the next known rate.
    """
    ticks = _ticks(Fraction(55, 2), 300, Fraction(1, 90000))
    found = cadence(ticks, Fraction(1, 90000), single=Fraction(1))
    assert found.frame_rate == Fraction(30000, 1001)


def test_one_picture_has_the_declared_rate() -> None:
    """
    Where there is nothing to measure, the container's claim is taken.
    """
    found = cadence(np.array([5], np.int64), MILLISECOND, single=Fraction(25))
    assert (found.frame_rate, found.constant) == (Fraction(25), True)
