"""Loudness of stretches, from the blocks of a measurement."""

from __future__ import annotations

import numpy as np
import pytest

from copal.media.loudness import Loudness


def measured(*levels: float) -> Loudness:
    """One block of 400 ms every 100 ms, the first over the first 100 ms and the silence before."""
    ends = 0.1 + 0.1 * np.arange(len(levels))
    return Loudness(-20.0, 5.0, -1.0, ends, np.array(levels, float))


def test_a_stretch_is_measured_by_the_blocks_inside_it() -> None:
    """
    Blocks that reach over an edge of a stretch do not count; energies are averaged.
    """
    sound = measured(*[-10.0] * 10, *[-30.0] * 3, *[-20.0] * 10)
    assert sound.between(0, 1) == pytest.approx(-10)
    assert sound.between(1.3, 2.3) == pytest.approx(-20)
    mixed = measured(*[-10.0] * 10, *[-16.0] * 10)
    mean = 10 * np.log10((7 * 10**-1 + 10 * 10**-1.6) / 17)
    assert mixed.between(0, 2) == pytest.approx(mean)


def test_gates() -> None:
    """
    Silence, and what is 10 LU below the rest, does not make a stretch quieter.
    """
    sound = measured(*[-20.0] * 20, *[-60.0] * 20, *[-120.0] * 20)
    assert sound.between(0, 6) == pytest.approx(-20)
    assert sound.between(2.4, 6) == pytest.approx(-60)
    assert sound.between(4.4, 6) is None


def test_stretches_shorter_than_a_block() -> None:
    """
    A short stretch is as loud as the block around it; where there is no sound, it has none.
    """
    sound = measured(*[-20.0] * 10, *[-10.0] * 10)
    assert sound.between(0.5, 0.6) == pytest.approx(-20)
    assert sound.between(1.5, 1.6) == pytest.approx(-10)
    assert sound.between(9.0, 9.1) is None
    assert measured().between(0, 1) is None
