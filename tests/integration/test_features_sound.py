"""Loudness and speech of real sound, joined to pictures."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from copal.contracts import check_feature, sample_media
from copal.errors import UnreadableMedia
from copal.fingerprint import AssetId
from copal.media import Source
from copal.media.ffmpeg import binary
from features.audio_loudness import AudioLoudness
from features.shots import Shots
from features.speech_activity import SpeechActivity
from tests.media import X264, counted, encoded, ffmpeg, folder, footage


def _shots(*bounds: int) -> pa.Table:
    rows = [
        {
            "shot_index": i, "start_frame": a, "end_frame": b, "transition": "cut",
            "transition_start": None, "transition_end": None, "clear_start": a, "clear_end": b,
        }
        for i, (a, b) in enumerate(pairwise(bounds))
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, Shots.columns)


def _loudness(path: Path, shots: pa.Table, workspace: Path) -> list[dict[str, Any]]:
    workspace.mkdir(parents=True, exist_ok=True)
    source = Source(AssetId("0" * 32), path, path.name)
    rows = AudioLoudness().compute(source, encoded(path), shots, workspace)
    assert rows.schema.equals(AudioLoudness.columns)
    found: list[dict[str, Any]] = rows.to_pylist()
    return found


def _r128(path: Path, start: float = 0, seconds: float = 1000) -> tuple[float, float, float]:
    """Integrated loudness, range and true peak as ffmpeg's own summary tells them."""
    said = subprocess.run(
        [str(binary()), "-hide_banner", "-nostdin", "-i", path, "-map", "0:a:0",
         "-af", f"atrim={start}:{start + seconds},ebur128=peak=true:framelog=quiet",
         "-f", "null", "-"],
        capture_output=True, text=True, check=True,
    ).stderr.rpartition("Summary:")[2]  # fmt: skip
    found = [re.search(rf"{name}:\s+(-?[\d.]+|-inf)", said) for name in ("I", "LRA", "Peak")]
    integrated, spread, peak = (float(match[1]) for match in found if match)
    return integrated, spread, peak


@cache
def _film(name: str, sound: str, *options: str) -> Path:
    """Three seconds of pictures at 30 and a sound: ``ffmpeg -i … -f lavfi -i SOUND -c:a flac``."""
    path = folder() / name
    ffmpeg(
        *("-i", counted(), "-f", "lavfi", "-i", sound, "-map", "0", "-map", "1", "-c:v", "copy"),
        *("-c:a", "flac", "-strict", "-2", *options, path),
    )
    return path


def test_a_known_tone_is_as_loud_as_the_standard_says(tmp_path: Path) -> None:
    """
    A stereo tone of 1 kHz at -23 dBFS is -23 LUFS with a peak of -23 dBTP (EBU Tech 3341, 1).
    """
    level = 10 ** (-23 / 20)
    tone = f"aevalsrc={level}*sin(2*PI*1000*t)|{level}*sin(2*PI*1000*t):s=48000:d=3"
    rows = _loudness(_film("tone.mkv", tone), _shots(0, 45, 90), tmp_path)
    for row in rows:
        assert row["lufs"] == pytest.approx(-23, abs=0.1)
        assert row["asset_lufs"] == pytest.approx(-23, abs=0.1)
        assert row["asset_true_peak_dbtp"] == pytest.approx(-23, abs=0.3)
        assert row["channels"] == 2
    assert [(row["shot_index"], row["start_frame"], row["end_frame"]) for row in rows] == [
        (0, 0, 45), (1, 45, 90),
    ]  # fmt: skip


@pytest.mark.parametrize("late", [False, True])
def test_each_shot_has_its_own_loudness(late: bool, tmp_path: Path) -> None:
    """
    Shots of different levels are told apart where they change, also when the sound starts late.
    """
    steps = "(0.01+0.09*gte(t\\,1)+0.4*gte(t\\,2))"
    path = _film("steps.mkv", f"aevalsrc={steps}*sin(2*PI*1000*t):s=48000:d=3")
    if late:
        given, path = path, tmp_path / "late.mkv"
        ffmpeg(
            *("-i", given, "-itsoffset", "1", "-i", given, "-map", "0:v", "-map", "1:a"),
            *("-c", "copy", path),
        )
    rows = _loudness(path, _shots(0, 30, 60, 66, 90), tmp_path / "work")
    tone = -3.01  # of a mono tone at full scale
    levels = [None, -40, -40, -20] if late else [-40, -20, -20, -6.02]
    found = [row["lufs"] for row in rows]
    for got, level in zip(
        (found[0], found[1], found[3]), (levels[0], levels[1], levels[3]), strict=True
    ):
        assert got is None if level is None else got == pytest.approx(level + tone, abs=0.2)
    assert found[2] is not None


def test_silence_and_no_sound_have_no_loudness(tmp_path: Path) -> None:
    """
    Nothing heard is null, never minus infinity; no sound at all is told by its channels.
    """
    silent = _loudness(_film("silent.mkv", "anullsrc=r=44100:d=3"), _shots(0, 90), tmp_path / "a")
    names = ("lufs", "asset_lufs", "asset_range_lu", "asset_true_peak_dbtp")
    assert [silent[0][name] for name in names] == [None] * 4 and silent[0]["channels"] == 2
    soundless = _loudness(counted(), _shots(0, 45, 90), tmp_path / "b")
    assert len(soundless) == 2
    assert [soundless[1][name] for name in names] == [None] * 4 and soundless[1]["channels"] == 0
    faint = _film("faint.mkv", "aevalsrc=0.0001*sin(2*PI*1000*t):s=48000:d=3")
    (row,) = _loudness(faint, _shots(0, 90), tmp_path / "c")
    assert [row[name] for name in names] == [None] * 4 and row["channels"] == 1
    assert _loudness(counted(), _shots(0), tmp_path / "d") == []


@pytest.mark.parametrize(
    ("layout", "rate"), [("mono", 8000), ("5.1", 48000), ("7.1", 44100), ("stereo", 192000)]
)
def test_any_layout_and_rate(layout: str, rate: int, tmp_path: Path) -> None:
    """
    Whatever the channels, the whole is what ffmpeg's own summary says.
    """
    name = f"{layout}_{rate}.mkv"
    noise = f"anoisesrc=r={rate}:a=0.2:d=3:seed=1,aformat=channel_layouts={layout}"
    path = _film(name, noise)
    (row,) = _loudness(path, _shots(0, 90), tmp_path)
    integrated, _, peak = _r128(path)
    assert row["asset_lufs"] == pytest.approx(integrated, abs=0.06)
    assert row["asset_true_peak_dbtp"] == pytest.approx(peak, abs=0.06)
    assert row["lufs"] == pytest.approx(integrated, abs=0.5)


def test_real_film(tmp_path: Path) -> None:
    """
    Tears of Steel: the whole as ffmpeg's summary has it, and each long shot as measured alone.
    """
    path = footage("multishot/tos_battle.webm")
    bounds = (0, 309, 715, 987, 1430, 1691)
    rows = _loudness(path, _shots(*bounds), tmp_path)
    integrated, spread, peak = _r128(path)
    assert rows[0]["asset_lufs"] == pytest.approx(integrated, abs=0.06)
    assert rows[0]["asset_range_lu"] == pytest.approx(spread, abs=0.06)
    assert rows[0]["asset_true_peak_dbtp"] == pytest.approx(peak, abs=0.06)
    for row in rows:
        start, end = row["start_frame"] / 24, row["end_frame"] / 24
        assert row["lufs"] == pytest.approx(_r128(path, start, end - start)[0], abs=0.25)


def test_damaged_sound_is_refused(tmp_path: Path) -> None:
    """
    A source that is gone is an error of the file.
    """
    encode = encoded(counted("sound.mp4", sound=True))
    gone = Source(AssetId("0" * 32), tmp_path / "gone.mp4", "gone.mp4")
    with pytest.raises(UnreadableMedia, match=r"gone\.mp4: no such file"):
        AudioLoudness().compute(gone, encode, _shots(0, 90), tmp_path)


@cache
def _speaker() -> Path:
    """Speech with a picture: silence, 11 s of it, silence; AAC in mp4."""
    path = folder() / "speaker.mp4"
    ffmpeg(
        *("-f", "lavfi", "-i", "color=gray:s=320x240:r=25:d=17"),
        *("-i", footage("speech/jfk.flac"), "-af", "adelay=3000:all=1,apad=whole_dur=17"),
        *(*X264, "-c:a", "aac", path),
    )
    return path


def test_real_speech() -> None:
    """
    Most of a real speech is found, none of the silence around it, on the encode's frames.
    """
    encode = encoded(_speaker())
    rows = SpeechActivity().compute(encode).to_pylist()
    spoken = sum(row["end_frame"] - row["start_frame"] for row in rows)
    assert 0.75 < spoken / (11 * 25) < 1
    assert abs(rows[0]["start_frame"] - 3.3 * 25) <= 15
    assert rows[-1]["end_frame"] <= 14.2 * 25
    assert all(row["score"] >= 0.5 for row in rows)


def test_a_film_without_words() -> None:
    """
    At most a quarter of half a minute of music and birdsong is taken for speech.
    """
    encode = encoded(footage("multishot/bbb_0_30.webm"))
    rows = SpeechActivity().compute(encode).to_pylist()
    assert sum(row["end_frame"] - row["start_frame"] for row in rows) < 0.25 * encode.frame_count
    assert SpeechActivity().compute(encoded(counted())).num_rows == 0


@pytest.mark.parametrize("feature", ["captions", "audio_loudness", "speech_activity"])
@pytest.mark.parametrize("film", ["sample", "footage"])
def test_the_contract_of_features(feature: str, film: str, tmp_path: Path) -> None:
    """
    The same film gives the same rows twice, of the right columns, also where nothing is needed.
    """
    media = sample_media(tmp_path) if film == "sample" else footage("robust/sample_with_srt.mkv")
    (tmp_path / "stores").mkdir()
    check_feature(Path(__file__).parents[2], feature, media, tmp_path / "stores")
