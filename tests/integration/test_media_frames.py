"""Frame ``i`` is the same picture in both sizes, however it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from copal.errors import UnreadableMedia
from copal.feature import LocalFile
from copal.media import Video
from copal.timeline import FrameRange
from tests.media import (
    X264,
    X265,
    copied,
    counted,
    encoded,
    ffmpeg,
    folder,
    number_in,
    variable_rate,
)


def _same(i: int) -> int:
    return i


def _doubled(i: int) -> int:
    return 2 * i


def _held(i: int) -> int:
    return i - i % 3 if 30 <= i < 60 else i


def _later(i: int) -> int:
    return i + 15


def _interlaced() -> Path:
    flags = ("-vf", "setfield=tff", *X264, "-flags", "+ilme+ildct")
    return counted("fields.mp4", options=flags)


def _behind_sound() -> Path:
    """Pictures that start half a second after the sound."""
    path = folder() / "behind.mkv"
    both = ("-i", counted("sound.mp4", sound=True), "-itsoffset", "0.5", "-i", counted())
    ffmpeg(*both, "-map", "0:a", "-map", "1:v", "-c", "copy", path)
    return path


CASES: dict[str, tuple[Callable[[], Path], Fraction, int, Callable[[int], int]]] = {
    "constant rate": (counted, Fraction(30), 90, _same),
    "23.976": (
        lambda: counted("film.mp4", rate="24000/1001"),
        Fraction(24000, 1001), 90, _same,
    ),
    "29.97": (
        lambda: counted("ntsc.mkv", rate="30000/1001"),
        Fraction(30000, 1001), 90, _same,
    ),
    "59.94, halved": (
        lambda: counted("fast.mp4", rate="60000/1001"),
        Fraction(30000, 1001), 45, _doubled,
    ),
    "12.5": (lambda: counted("slow.mp4", rate="25/2", frames=30), Fraction(25, 2), 30, _same),
    "variable rate": (variable_rate, Fraction(30), 90, _held),
    "edit list": (
        lambda: copied("cut.mp4", counted(), "-ss 0.5", "-avoid_negative_ts disabled"),
        Fraction(30), 75, _later,
    ),
    "late start": (
        lambda: copied("late.mkv", counted(), "-itsoffset 1.0"),
        Fraction(30), 90, _same,
    ),
    "transport stream": (lambda: copied("counted.ts", counted()), Fraction(30), 90, _same),
    "priming in Matroska": (
        lambda: copied("sound.mkv", counted("sound.mp4", sound=True)),
        Fraction(30), 90, _same,
    ),
    "fragments": (
        lambda: copied(
            "fragments.mp4", counted("sound.mp4", sound=True), "", "-movflags +frag_keyframe"
        ),
        Fraction(30), 90, _same,
    ),
    "HEVC, 10 bits, open GOPs": (
        lambda: counted("open.mp4", options=X265),
        Fraction(30), 90, _same,
    ),
    "interlaced": (_interlaced, Fraction(30), 90, _same),
    "odd size": (
        lambda: counted("odd.mkv", options=("-c:v", "ffv1"), size=(321, 241)),
        Fraction(30), 90, _same,
    ),
    "one frame": (lambda: counted("one.mp4", frames=1), Fraction(30), 1, _same),
    "24, MPEG-4 with B-frames in AVI": (
        lambda: counted("b.avi", rate="24", options=("-c:v", "mpeg4", "-bf", "2", "-q:v", "2")),
        Fraction(24), 90, _same,
    ),
    "50, halved": (lambda: counted("fifty.mp4", rate="50"), Fraction(25), 45, _doubled),
    "59.94 in a transport stream": (
        lambda: copied("fast.ts", counted("fast.mp4", rate="60000/1001")),
        Fraction(30000, 1001), 45, _doubled,
    ),
    "120, halved twice": (
        lambda: counted("slow_motion.mp4", rate="120", frames=120),
        Fraction(30), 30, lambda i: 4 * i + 1,  # the nearest to a time between two is the later
    ),
    "variable rate in Matroska": (
        lambda: copied("variable.mkv", variable_rate()), Fraction(30), 90, _held,
    ),
    "variable rate in a transport stream": (
        lambda: copied("variable.ts", variable_rate()), Fraction(30), 90, _held,
    ),
    "late start in a transport stream": (
        lambda: copied("late.ts", counted(), "-itsoffset 5.0"), Fraction(30), 90, _same,
    ),
    "late start behind sound": (
        lambda: copied("behind.mp4", _behind_sound()), Fraction(30), 105, lambda i: max(0, i - 15),
    ),
    "edit list in the middle of a GOP, with B-frames": (
        lambda: copied("middle.mp4", counted(), "-ss 0.7", "-avoid_negative_ts disabled"),
        Fraction(30), 69, lambda i: i + 21,
    ),
    "MPEG-2, fields, transport stream": (
        lambda: counted("fields.ts", rate="25", options=(
            "-vf", "setfield=tff", "-c:v", "mpeg2video", "-q:v", "2", "-bf", "2",
            "-flags", "+ilme+ildct",
        )),
        Fraction(25), 90, _same,
    ),
    "open GOPs, H.264": (
        lambda: counted("open_h264.mp4", options=(*X264, "-x264-params", "open-gop=1:bframes=3")),
        Fraction(30), 90, _same,
    ),
    "VP9 with hidden pictures": (
        lambda: counted("hidden.webm", options=(
            "-c:v", "libvpx-vp9", "-deadline", "good", "-cpu-used", "5", "-auto-alt-ref", "1",
            "-lag-in-frames", "16", "-crf", "20", "-b:v", "0",
        )),
        Fraction(30), 90, _same,
    ),
    "AV1": (
        lambda: counted("av1.mkv", options=("-c:v", "libaom-av1", "-cpu-used", "8", "-crf", "20")),
        Fraction(30), 90, _same,
    ),
    "ProRes": (
        lambda: counted("prores.mov", options=("-c:v", "prores_ks")), Fraction(30), 90, _same,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_every_path_gives_the_same_picture(case: str) -> None:
    """
    Sequentially, at chosen indices and one at a time, large and small, frame i is picture i.
    """
    make, rate, count, expected = CASES[case]
    encode = encoded(make())
    assert (encode.frame_rate, encode.frame_count) == (rate, count)
    wanted = [expected(i) for i in range(count)]
    for video in (encode.video, encode.small):
        assert [number_in(p) for p in video.frames(format="gray")] == wanted
        chosen = sorted({0, count // 7, count // 3, count // 2, count - 1})
        assert [(i, number_in(p)) for i, p in video.frames_at(chosen)] == [
            (i, wanted[i]) for i in chosen
        ]
        for i in reversed(chosen):
            assert number_in(video.frame(i, size=(160, 120))) == wanted[i]


def test_rotation_is_applied() -> None:
    """
    A file that says 'turn me by 90 degrees' is encoded upright, its sides exchanged.
    """
    encode = encoded(copied("turned.mp4", counted(), "-display_rotation 90"))
    assert (encode.width, encode.height) == (360, 480)
    assert (encode.small.width, encode.small.height) == (192, 256)
    # -display_rotation 90 turns counterclockwise, so the player's picture is rot90 of ours
    upright = np.rot90(encode.video.frame(37, format="gray"), k=-1)
    assert number_in(upright) == 37


def test_ranges_steps_sizes_and_formats() -> None:
    """
    A range is half-open, a step is kept, and a picture has the size and format asked for.
    """
    video = encoded(counted()).video
    numbers = [number_in(p) for p in video.frames(FrameRange(31, 62), step=7)]
    assert numbers == [31, 38, 45, 52, 59]
    (rgb,) = video.frames(FrameRange(5, 6))
    assert rgb.shape == (360, 480, 3) and rgb.dtype == np.uint8
    assert np.array_equal(video.frame(5, format="bgr24")[..., ::-1], rgb)
    assert video.frame(5, format="gray").shape == (360, 480)
    assert video.frame(5, size=(64, 36), format="gray").shape == (36, 64)
    assert video.frame(5, size=(640, 480)).shape == (480, 640, 3)


def test_every_index_is_reached_at_random() -> None:
    """
    One picture at a time, backwards through the whole video, is the picture of that index.
    """
    small = encoded(counted()).small
    assert [number_in(small.frame(i)) for i in range(89, -1, -1)] == list(range(89, -1, -1))


def test_pictures_do_not_change_behind_the_reader() -> None:
    """
    Pictures kept from an iterator are copies: the decoder does not write over them.
    """
    kept = list(encoded(counted()).small.frames(format="gray"))
    assert [number_in(p) for p in kept] == list(range(90))


def test_out_of_range_is_refused_at_once() -> None:
    """
    Frames that are not there are refused when asked for, not when iterated to.
    """
    video = encoded(counted()).video
    with pytest.raises(ValueError, match="frames 80 to 90 asked of a video with 90 frames"):
        video.frames(FrameRange(80, 91))
    with pytest.raises(ValueError, match="frames -1 to 3"):
        video.frames_at([-1, 3])
    with pytest.raises(ValueError, match="ascending and distinct"):
        video.frames_at([3, 3])
    with pytest.raises(ValueError, match="frames 90 to 90"):
        video.frame(90)
    with pytest.raises(ValueError, match="step 0"):
        video.frames(step=0)
    with pytest.raises(ValueError, match="pixel format 'yuv'"):
        video.frames(format="yuv")  # type: ignore[arg-type]  # what is tested


def _open_files(path: Path) -> int:
    links = Path("/proc/self/fd")
    if not links.exists():
        pytest.skip("needs /proc to count open files")
    found = 0
    for link in links.iterdir():
        with suppress(OSError):  # the listing's own handle is gone by now
            found += link.readlink() == path
    return found


def test_a_dropped_iterator_closes_its_file() -> None:
    """
    An iterator that is never finished, or never started, leaves no file open.
    """
    video = encoded(counted()).video
    path = video.file.path()
    for read in (video.frames, lambda: video.frames_at(range(90))):
        pictures = read()
        assert _open_files(path) == 0
        next(pictures)
        assert _open_files(path) == 1
        del pictures
        assert _open_files(path) == 0
    list(video.frames())
    assert _open_files(path) == 0


def test_a_damaged_encode_is_refused(tmp_path: Path) -> None:
    """
    A video with fewer frames than it should have says which one is missing.
    """
    video = encoded(counted()).video
    longer = Video(LocalFile(video.file.path()), 95, video.frame_rate, 480, 360)
    with pytest.raises(UnreadableMedia, match="no frame 90 in it"):
        list(longer.frames())
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(video.file.path().read_bytes()[:2000])
    with pytest.raises(UnreadableMedia, match=r"broken\.mp4: .*Encode again"):
        Video(LocalFile(broken), 90, video.frame_rate, 480, 360).frame(0)


def test_sound_by_sample() -> None:
    """
    Samples asked for in pieces are those of the whole, from the second that frame 0 shows.
    """
    audio = encoded(counted("sound.mp4", sound=True)).audio
    assert audio is not None
    whole = audio.samples()
    assert whole.shape == (audio.sample_count,) and whole.dtype == np.float32
    assert abs(audio.sample_count / 16000 - 3.0) < 0.1
    for start, end in ((0, 1), (4095, 4097), (16000, 31000), (audio.sample_count - 5, None)):
        assert np.array_equal(audio.samples(start, end), whole[start:end])
    # a sine of 440 Hz crosses zero 880 times a second
    crossings = np.count_nonzero(np.diff(np.signbit(whole[8000:24000])))
    assert abs(crossings - 880) <= 2
    with pytest.raises(ValueError, match="asked of sound with"):
        audio.samples(10, audio.sample_count + 1)
