"""Sound for a demo film: soft chords that change with every shot, and the air of the place."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
from numpy.typing import NDArray

from copal.demo.brush import Floats
from copal.demo.film import Film

SAMPLE_RATE = 48_000
_FADE_SECONDS = 0.03


def soundtrack(film: Film) -> NDArray[np.int16]:
    """The film's sound, (samples, 2) at 48 kHz, exactly as long as its pictures."""
    total = int(len(film) / film.frame_rate * SAMPLE_RATE)
    mixed = np.zeros(total, np.float32)
    for index, (shot, frames) in enumerate(zip(film.shots, film.ranges, strict=True)):
        start = int(frames.start / film.frame_rate * SAMPLE_RATE)
        end = min(total, int(frames.end / film.frame_rate * SAMPLE_RATE))
        mixed[start:end] += _chord(shot.chord, end - start)
        mixed[start:end] += _AIR[shot.air](end - start, np.random.default_rng(index))
        mixed[start:end] *= _edges(end - start)
    if film.fade is not None:
        mixed *= _hush(total, *(int(f / film.frame_rate * SAMPLE_RATE) for f in _ends(film)))
    # A room's width: the right ear hears it 11 ms later, and a little less of it.
    right = np.concatenate([np.zeros(528, np.float32), mixed[:-528]]) * np.float32(0.9)
    both = np.tanh(np.stack([mixed, right], 1) * np.float32(1.3))
    return cast(NDArray[np.int16], (both * 30_000).astype(np.int16))


def _chord(notes: tuple[int, ...], length: int) -> Floats:
    """Notes struck one after the other, each with three partials that beat a little."""
    seconds, total = _clock(length), np.zeros(length, np.float32)
    for index, note in enumerate(notes):
        pitch = 440.0 * 2 ** ((note - 69) / 12)
        local = seconds - np.float32(0.16 * index)
        swell = np.where(local > 0, np.exp(-0.55 * local) * (1 - np.exp(-18 * local)), 0)
        for partial, part in ((1, 1.0), (2.003, 0.32), (3.007, 0.12)):
            total += swell * np.float32(0.1 * part) * np.sin(2 * np.pi * pitch * partial * seconds)
    return total


def _noise(length: int, rng: np.random.Generator, softness: int) -> Floats:
    """White noise through a moving average of ``softness`` samples, of deviation 1."""
    total = np.cumsum(rng.standard_normal(length + softness).astype(np.float64))
    smooth = total[softness:] - total[:-softness]
    return (smooth / max(float(smooth.std()), 1e-9)).astype(np.float32)


def _waves(length: int, rng: np.random.Generator) -> Floats:
    swell = 0.5 + 0.5 * np.sin(2 * np.pi * 0.23 * _clock(length) + rng.random() * 6)
    return cast(Floats, (0.05 * _noise(length, rng, 9) * swell * swell).astype(np.float32))


def _wind(length: int, rng: np.random.Generator) -> Floats:
    swell = 0.6 + 0.4 * np.sin(2 * np.pi * 0.31 * _clock(length) + rng.random() * 6)
    return cast(Floats, (0.035 * _noise(length, rng, 60) * swell).astype(np.float32))


def _room(length: int, rng: np.random.Generator) -> Floats:
    return cast(Floats, (0.008 * _noise(length, rng, 30)).astype(np.float32))


def _creak(length: int, rng: np.random.Generator) -> Floats:
    seconds = _clock(length)
    lean = np.abs(np.sin(np.pi * 0.65 * seconds)) ** 12
    groan = np.sign(np.sin(2 * np.pi * (70 + 25 * lean) * seconds))
    return cast(Floats, (_waves(length, rng) + 0.012 * lean * groan).astype(np.float32))


def _ticks(length: int, rng: np.random.Generator) -> Floats:
    return _room(length, rng) + _knocks(length, 0.5, (0.0, 0.24), 2_300.0, 90.0, 0.12)


def _rails(length: int, rng: np.random.Generator) -> Floats:
    beat = _knocks(length, 0.86, (0.0, 0.15), 95.0, 22.0, 0.3)
    return cast(Floats, 0.03 * _noise(length, rng, 90) + beat)


def _engine(length: int, rng: np.random.Generator) -> Floats:
    puff = np.exp(-7 * (_clock(length) * 3.4 % 1))
    return cast(Floats, (0.09 * _noise(length, rng, 14) * puff).astype(np.float32))


def _knocks(
    length: int, every: float, at: tuple[float, ...], pitch: float, decay: float, loud: float
) -> Floats:
    """Short struck tones at moments of a beat that is ``every`` seconds long."""
    seconds, total = _clock(length), np.zeros(length, np.float32)
    for moment in at:
        local = (seconds - np.float32(moment)) % np.float32(every)
        total += np.exp(-decay * local) * np.sin(2 * np.pi * pitch * local)
    return np.float32(loud) * total


_AIR: dict[str, Callable[[int, np.random.Generator], Floats]] = {
    "waves": _waves,
    "wind": _wind,
    "room": _room,
    "creak": _creak,
    "ticks": _ticks,
    "rails": _rails,
    "engine": _engine,
}


def _clock(length: int) -> Floats:
    return np.arange(length, dtype=np.float32) / np.float32(SAMPLE_RATE)


def _edges(length: int) -> Floats:
    """1 with short ramps at both ends, so that no cut clicks."""
    ramp = np.arange(length, dtype=np.float32) / np.float32(_FADE_SECONDS * SAMPLE_RATE)
    return cast(Floats, np.minimum(np.minimum(ramp, ramp[::-1]), 1))


def _ends(film: Film) -> tuple[int, int]:
    fade = film.fade
    assert fade is not None
    return fade.start, fade.end


def _hush(length: int, start: int, end: int) -> Floats:
    """1 apart from a dip to silence between two samples."""
    away = np.abs(np.arange(length, dtype=np.float32) - (start + end) / 2) / ((end - start) / 2)
    return cast(Floats, np.minimum(away, 1))
