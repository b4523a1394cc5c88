"""Cadence: the frame rate of a stream, measured from when its pictures show."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

_NTSC = [Fraction(n * 1000, 1001) for n in (24, 30, 48, 60, 120, 240)]
_WHOLE = [1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 18, 20, 24, 25, 30, 48, 50, 60, 72, 90, 100, 120, 144]
KNOWN_RATES = sorted([*_NTSC, Fraction(25, 2), *map(Fraction, (*_WHOLE, 200, 240))])
"""Frame rates that cameras, editors and standards use."""


@dataclass(frozen=True, slots=True)
class Cadence:
    """How the pictures of a stream follow each other."""

    frame_rate: Fraction
    constant: bool
    longest_gap_seconds: Fraction


def cadence(ticks: npt.NDArray[np.int64], time_base: Fraction, *, single: Fraction) -> Cadence:
    """Rate of a stream by its presentation times, never by what the container claims.

    Containers are not to be believed: Matroska files that play at 30 declare 1000 or 60.

    Parameters
    ----------
    ticks
        (pictures,) sorted and distinct, in ticks of ``time_base``.
    single
        The rate to assume where there are not two pictures to measure.
    """
    gaps = np.diff(ticks)
    if not gaps.size:
        return Cadence(_snap(single) or single, True, Fraction(0))
    # A hole or a pause must not bend the rate, so only gaps near the usual one are averaged:
    # in Matroska's clock of 1 ms the usual gap at 30 frames is 33, and the average 33.33.
    usual = float(np.median(gaps))
    near = gaps[(gaps >= 0.5 * usual) & (gaps <= 1.5 * usual)]
    interval = Fraction(int(near.sum()), near.size) * time_base
    slack = max(1.01 * float(time_base), 0.0011)
    steady = np.abs(gaps * float(time_base) - float(interval)) <= slack
    constant = bool(steady.mean() > 0.999)
    measured = 1 / interval
    rate = _snap(measured)
    if rate is None:  # a rate of its own: the next known one above shows every picture
        rate = next((r for r in KNOWN_RATES if r >= measured * Fraction(99, 100)), KNOWN_RATES[-1])
    return Cadence(rate, constant, int(gaps.max()) * time_base)


def _snap(rate: Fraction) -> Fraction | None:
    near = min(KNOWN_RATES, key=lambda known: abs(known - rate) / known)
    return near if abs(near - rate) / near < Fraction(2, 1000) else None


def shown(ticks: npt.NDArray[np.int64], time_base: Fraction) -> npt.NDArray[np.int64]:
    """Times at which a new picture shows, sorted.

    A packet less than 2 ms before the next is a picture that others refer to and nobody sees:
    VP8 and VP9 put these a tick before the picture that follows, or on it.
    """
    later = np.diff(ticks) * float(time_base) >= 0.002
    return ticks[np.append(later, True)] if ticks.size else ticks
