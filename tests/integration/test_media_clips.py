"""Ranges of an encode: as files, as sound, by time."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from copal.feature import LocalFile
from copal.media import Audio, Encode, Video
from copal.timeline import FrameRange
from tests.media import counted, encoded, ffmpeg, folder, number_in


def _clip(path: Path) -> tuple[list[int], list[Fraction], np.ndarray[Any, Any] | None]:
    """Numbers in the pictures of a clip, when each shows, and its sound."""
    import av

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        found = [
            (number_in(frame.to_ndarray(format="rgb24")), frame.pts * stream.time_base)
            for frame in container.decode(stream)
        ]
    sound = None
    with av.open(str(path)) as container:
        if container.streams.audio:
            blocks = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
            sound = np.concatenate(blocks)
    return [number for number, _ in found], [time for _, time in found], sound


@pytest.mark.parametrize("rate", ["30", "24000/1001"])
def test_a_clip_has_exactly_its_frames(rate: str, tmp_path: Path) -> None:
    """
    Whatever its ends, a clip holds the frames of its range from time 0 at the encode's rate.
    """
    name = "sound.mp4" if rate == "30" else "sound_film.mp4"
    encode = encoded(counted(name, rate=rate, sound=True))
    gop = round(encode.frame_rate)
    copied = []
    for start, end in (
        (0, 90), (0, gop), (gop, 2 * gop), (gop, 90), (0, 1), (17, 18), (89, 90), (5, 50),
        (gop, gop + 7), (gop - 1, gop + 1), (40, 41), (2 * gop, 2 * gop + 3),
    ):  # fmt: skip
        path = tmp_path / f"{start}-{end}.mp4"
        if encode.video.clip(FrameRange(start, end), path):
            copied.append((start, end))
        numbers, times, sound = _clip(path)
        assert numbers == list(range(start, end)), (start, end)
        assert times == [i / encode.frame_rate for i in range(end - start)], (start, end)
        assert sound is None
    assert {(0, 90), (0, gop), (gop, 2 * gop), (gop, 90), (0, 1)} <= set(copied)
    assert not {(17, 18), (89, 90), (5, 50), (gop - 1, gop + 1)} & set(copied)
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".mp4"] * 12


def test_a_clip_with_its_sound(tmp_path: Path) -> None:
    """
    The sound of a clip is that of its frames, sample for sample; no sound is no error.
    """
    encode = encoded(counted("sound.mp4", sound=True))
    assert encode.audio is not None
    for start, end in ((30, 60), (7, 40)):
        path = tmp_path / f"{start}.mp4"
        encode.clip(FrameRange(start, end), path, sound=True)
        numbers, _, sound = _clip(path)
        assert numbers == list(range(start, end))
        assert sound is not None
        wanted = np.rint(encode.audio.samples(FrameRange(start, end)) * 32768)
        assert np.array_equal(sound, wanted)
    silent = encoded(counted())
    assert silent.audio is None
    silent.clip(FrameRange(0, 30), tmp_path / "silent.mp4", sound=True)
    assert _clip(tmp_path / "silent.mp4")[2] is None


def test_clips_beyond_the_end_are_refused(tmp_path: Path) -> None:
    """
    A range that the video does not have leaves no file, not even a part of one.
    """
    video = encoded(counted()).video
    with pytest.raises(ValueError, match="frames 80 to 90 asked of a video with 90"):
        video.clip(FrameRange(80, 91), tmp_path / "clip.mp4")
    with pytest.raises(FileNotFoundError):
        video.clip(FrameRange(0, 3), tmp_path / "nowhere" / "clip.mp4")
    longer = Video(video.file, 95, video.frame_rate, video.width, video.height)
    with pytest.raises(Exception, match="Encode again"):
        longer.clip(FrameRange(80, 95), tmp_path / "clip.mp4")
    assert list(tmp_path.iterdir()) == []


def _tones() -> Encode:
    """A second of 400 Hz, a second of 800, a second of silence, and pictures a while longer."""
    path = folder() / "tones.mp4"
    if not path.exists():
        tones = "sine=f=400:r=48000:d=1[a];sine=f=800:r=48000:d=1[b];anullsrc=r=48000:d=1[c]"
        ffmpeg(
            *("-f", "lavfi", "-i", "testsrc=s=320x240:r=24000/1001:d=4"),
            *("-f", "lavfi", "-i", f"{tones};[a][b][c]concat=n=3:v=0:a=1"),
            *("-c:v", "libx264", "-preset", "ultrafast", "-c:a", "flac", "-strict", "-2", path),
        )
    return encoded(path)


def _pitch(samples: np.ndarray[Any, Any]) -> float:
    return float(np.count_nonzero(np.diff(np.signbit(samples))) / 2 / (len(samples) / 16000))


def test_sound_of_frames() -> None:
    """
    Sound is asked for by frames; ranges that meet share no sample, and silence follows its end.
    """
    audio = _tones().audio
    assert audio is not None and audio.frame_rate == Fraction(24000, 1001)
    assert _pitch(audio.samples(FrameRange(2, 22))) == pytest.approx(400, abs=5)
    assert _pitch(audio.samples(FrameRange(26, 46))) == pytest.approx(800, abs=8)
    whole = audio.samples(FrameRange(0, 90))
    parts = [audio.samples(FrameRange(a, a + 30)) for a in (0, 30, 60)]
    assert np.array_equal(np.concatenate(parts), whole)
    assert len(whole) == audio.sample_at(90) == int(90 * 16000 * 1001 / 24000)
    assert not whole[audio.sample_count :].any()
    assert len(audio.samples(FrameRange(94, 95))) == audio.sample_at(95) - audio.sample_at(94)
    alone = Audio(LocalFile(audio.file.path()), audio.sample_count)
    with pytest.raises(ValueError, match="belongs to no pictures"):
        alone.samples(FrameRange(0, 1))


def test_by_time() -> None:
    """
    A time finds the picture that shows then, exactly; a float or a time outside is refused.
    """
    video = encoded(counted("film.mp4", rate="24000/1001")).video
    frame = Fraction(1001, 24000)
    assert [video.index_at(k * frame) for k in (0, 1, 89)] == [0, 1, 89]
    assert video.index_at(frame - Fraction(1, 10**9)) == 0
    assert video.range_at(1, 2) == FrameRange(23, 48)
    assert video.range_at(24 * frame, 48 * frame) == FrameRange(24, 48)
    assert number_in(video.frame(video.index_at(Fraction(3, 2)))) == 35
    with pytest.raises(TypeError, match=r"0\.5 is a float"):
        video.index_at(0.5)  # type: ignore[arg-type]
    for wrong in (90 * frame, Fraction(-1, 1000)):
        with pytest.raises(ValueError, match="s asked of a video of"):
            video.index_at(wrong)
    with pytest.raises(ValueError, match="s asked of a video of"):
        video.range_at(1, 4)
