"""Speech activity, on sounds made of numbers."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest

from copal.media import Encode
from features.speech_activity import SpeechActivity

RATE = 16000
Floats = npt.NDArray[np.float32]


class _Sound:
    """Sound in memory that can be read like an encode's."""

    def __init__(self, samples: npt.NDArray[Any]) -> None:
        self.data = samples.astype(np.float32)
        self.sample_count = len(samples)

    def samples(self, start: int, end: int) -> Floats:
        assert 0 <= start < end <= self.sample_count
        return self.data[start:end]


def found(samples: npt.NDArray[Any] | None, frames: int | None = None) -> list[dict[str, Any]]:
    """Rows at 25 frames a second."""
    sound = None if samples is None else _Sound(samples)
    count = frames or (0 if samples is None else int(len(samples) / RATE * 25))
    encode = SimpleNamespace(audio=sound, frame_rate=Fraction(25), frame_count=count)
    rows = SpeechActivity().compute(cast(Encode, encode))
    assert rows.schema.equals(SpeechActivity.columns)
    said: list[dict[str, Any]] = rows.to_pylist()
    for one, other in pairwise(said):
        assert one["end_frame"] <= other["start_frame"]
    assert all(0 <= row["start_frame"] < row["end_frame"] <= count for row in said)
    assert all(0 < row["score"] <= 1 for row in said)
    return said


def babble(seconds: float, seed: int = 1) -> Floats:
    """Syllables: a buzz with the formants of a vowel, then a hiss, four times a second."""
    rng = np.random.default_rng(seed)
    parts = []
    while sum(map(len, parts)) < seconds * RATE:
        length = int(rng.uniform(0.14, 0.22) * RATE)
        at = np.arange(length) / RATE
        pitch = rng.uniform(95, 160)
        harmonics = np.arange(1, int(3800 / pitch))
        formants = rng.uniform((300, 900, 2300), (800, 1900, 2900))
        weights = sum(np.exp(-(((harmonics * pitch - f) / 150) ** 2)) for f in formants) + 0.02
        waves = np.sin(2 * np.pi * np.outer(harmonics * pitch, at))
        vowel = (weights @ waves) * np.hanning(length) * 0.1
        hiss = rng.normal(0, 0.01, int(rng.uniform(0.03, 0.09) * RATE))
        parts += [vowel, hiss]
    return np.concatenate(parts)[: int(seconds * RATE)].astype(np.float32)


def _seconds(count: int) -> Floats:
    return (np.arange(count * RATE) / RATE).astype(np.float32)


def test_syllables_between_silences() -> None:
    """
    What is spoken between two silences is one range, to a few tenths of a second.
    """
    quiet = np.zeros(3 * RATE, np.float32)
    (row,) = found(np.concatenate([quiet, babble(4), quiet]))
    assert abs(row["start_frame"] - 75) <= 8 and abs(row["end_frame"] - 175) <= 8
    assert row["score"] > 0.8


NOISE = np.random.default_rng(2).normal(0, 0.05, 8 * RATE)
AT = _seconds(8)
SOUNDS = {
    "silence": np.zeros(8 * RATE),
    "one bit of noise": np.random.default_rng(3).integers(-1, 2, 8 * RATE) / 32768,
    "white noise": NOISE,
    "a swell": NOISE * (1 + np.sin(2 * np.pi * 0.3 * AT)),
    "hum": np.sin(2 * np.pi * 100 * AT) * 0.3,
    "a chord": sum(np.sin(2 * np.pi * f * AT) for f in (220, 277, 330, 440)) * 0.1,
    "notes": sum(np.sin(2 * np.pi * 220 * k * AT) / k for k in range(1, 9))
    * np.exp(-8 * (AT % 0.25))
    * 0.2,
    "drums": np.random.default_rng(4).normal(0, 0.3, 8 * RATE) * np.exp(-20 * (AT % 0.5)),
    "full scale": np.sign(np.sin(2 * np.pi * 50 * AT)),
}


@pytest.mark.parametrize("name", SOUNDS)
def test_what_is_no_speech(name: str) -> None:
    """
    Silence, noise, hum, chords, notes and drums are not taken for speech.
    """
    assert found(np.asarray(SOUNDS[name])) == []


def test_speech_in_noise() -> None:
    """
    Syllables are found in noise 10 dB below them.
    """
    speech = babble(8)
    noise = np.random.default_rng(5).normal(0, np.sqrt((speech**2).mean() / 10), len(speech))
    rows = found(speech + noise)
    assert sum(row["end_frame"] - row["start_frame"] for row in rows) > 0.7 * 200


def test_blocks_do_not_show() -> None:
    """
    What is found does not depend on where the sound was cut to be read.
    """
    import features.speech_activity as module

    sound = np.concatenate([babble(20, 7), np.zeros(5 * RATE, np.float32), babble(20, 8)])
    whole = found(sound)
    before = module.BLOCK_STEPS
    try:
        module.BLOCK_STEPS = 333
        assert found(sound) == whole
    finally:
        module.BLOCK_STEPS = before
    assert len(whole) >= 2


def test_no_sound() -> None:
    """
    Without sound, or with less than a window of it, there are no rows; ranges end with the film.
    """
    assert found(None) == []
    assert found(np.zeros(100), frames=1) == []
    rows = found(babble(6), frames=100)
    assert rows and rows[-1]["end_frame"] <= 100


def test_params_are_checked() -> None:
    """
    Thresholds that make no sense are refused.
    """
    for wrong in ({"threshold": 0.0}, {"min_swing": 0.5, "full_swing": 0.4}):
        with pytest.raises(ValueError, match="need threshold"):
            SpeechActivity(**wrong)
