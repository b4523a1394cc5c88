"""The same pictures and sound are the same asset, whatever they travel in; changed ones are not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from copal.errors import UnreadableMedia
from copal.media.essence import Inspection, inspect
from tests.media import X264, X265, colours, copied, counted, ffmpeg, folder, footage, variable_rate


def _film() -> Path:
    return counted("film_sound.mp4", rate="24000/1001", sound=True)


def _by_kind(found: Inspection) -> dict[str, str]:
    return {essence.kind: essence.essence for essence in found.essences}


SAME = {
    "tags": ("tags.mp4", "", "-metadata title=Heist -metadata comment=x"),
    "language and disposition": ("lang.mp4", "", "-metadata:s:a language=fra -disposition:a 0"),
    "mov": ("film.mov", "", ""),
    "mkv": ("film.mkv", "", ""),
    "faststart": ("fast.mp4", "", "-movflags +faststart"),
    "fragments": ("frag.mp4", "", "-movflags +frag_keyframe"),
    "fragments without index": ("empty.mp4", "", "-movflags +frag_keyframe+empty_moov"),
    "cmaf": ("cmaf.mp4", "", "-movflags +cmaf"),
}


@pytest.mark.parametrize("change", SAME)
def test_another_wrapping_is_the_same_asset(change: str) -> None:
    """
    Tags, containers and layouts change, the essence of every stream stays.
    """
    name, before, after = SAME[change]
    assert inspect(copied(f"same_{name}", _film(), before, after)).asset == inspect(_film()).asset


def test_there_and_back_again_is_the_same_asset() -> None:
    """
    Through Matroska's milliseconds and back into QuickTime, nothing is another.
    """
    film = _film()
    once = copied("back.mkv", film)
    for name, source in (("back.mov", once), ("back2.mkv", copied("back3.mov", film))):
        assert inspect(copied(name, source)).asset == inspect(film).asset


def test_order_of_streams_does_not_matter(tmp_path: Path) -> None:
    """
    Sound before pictures is the same asset.
    """
    turned = tmp_path / "order.mp4"
    ffmpeg("-i", _film(), "-map", "0:a", "-map", "0:v", "-c", "copy", turned)
    assert inspect(turned).asset == inspect(_film()).asset
    assert [e.kind for e in inspect(turned).essences] == ["audio", "video"]


CODECS = {
    "hevc": (("-c:v", "libx265", *X265[2:]), "mp4", ("mov", "mkv")),
    "vp8": (("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8"), "webm", ("mkv",)),
    "vp9": (("-c:v", "libvpx-vp9", "-deadline", "realtime"), "mkv", ("mp4", "webm")),
    "av1": (("-c:v", "libsvtav1", "-preset", "12"), "mp4", ("mkv",)),
    "mpeg2": (("-c:v", "mpeg2video", "-bf", "2"), "mp4", ("mov", "mkv")),
    "mpeg4": (("-c:v", "mpeg4"), "avi", ("mp4", "mkv", "mov")),
    "prores": (("-c:v", "prores_ks"), "mov", ("mkv",)),
    "vfr": (("-vf", "select='lt(n,9)+not(mod(n,4))'", "-fps_mode", "vfr", *X264), "mp4", ("mkv",)),
}


@pytest.mark.parametrize("codec", CODECS)
def test_remuxed_codecs_keep_their_essence(codec: str) -> None:
    """
    Each codec's packets and configuration are recognised in every container that takes them.
    """
    options, made_in, others = CODECS[codec]
    source = counted(f"codec_{codec}.{made_in}", frames=30, options=options)
    for other in others:
        assert inspect(copied(f"codec_{codec}_copy.{other}", source)).asset == inspect(source).asset


SOUNDS = {
    "aac": ("m4a", ("mkv", "mov")),
    "libmp3lame": ("mp3", ("mkv", "mp4")),
    "libopus": ("mkv", ("mp4",)),
    "flac": ("flac", ("mkv",)),
    "ac3": ("mkv", ("mp4",)),
    "pcm_s16le": ("mov", ("mkv",)),
    "alac": ("m4a", ("mkv",)),
}


@pytest.mark.parametrize("codec", SOUNDS)
def test_remuxed_sound_keeps_its_essence(codec: str) -> None:
    """
    A file of nothing but sound is an asset of its own, in any container.
    """
    made_in, others = SOUNDS[codec]
    source = folder() / f"tone_{codec}.{made_in}"
    ffmpeg("-f", "lavfi", "-i", "sine=r=48000:d=2", "-c:a", codec, source)
    found = inspect(source)
    assert (found.technical.kind, [e.kind for e in found.essences]) == ("audio", ["audio"])
    for other in others:
        assert inspect(copied(f"tone_{codec}_copy.{other}", source)).asset == found.asset


PICTURES_CHANGE = {
    "slower by a thousandth": ("scale.mp4", "-itsscale 1.001", ""),
    "rotation": ("rotation.mp4", "-display_rotation 90", ""),
    "mirror": ("mirror.mp4", "-display_hflip", ""),
    "aspect of the container": ("aspect.mp4", "", "-aspect 16:9"),
    "aspect of the samples": ("sar.mp4", "", "-bsf:v h264_metadata=sample_aspect_ratio=4/3"),
    "crop": ("crop.mp4", "", "-bsf:v h264_metadata=crop_left=16"),
    "trimmed end": ("end.mp4", "", "-t 2"),
    "trimmed start": ("start.mp4", "-ss 0.5", ""),
}


@pytest.mark.parametrize("change", PICTURES_CHANGE)
def test_changed_pictures_are_another_asset(change: str) -> None:
    """
    What changes the pictures or their times changes the essence of the video.
    """
    name, before, after = PICTURES_CHANGE[change]
    changed = inspect(copied(f"other_{name}", _film(), before, after))
    assert changed.asset != inspect(_film()).asset
    assert _by_kind(changed)["video"] != _by_kind(inspect(_film()))["video"]


def test_new_sound_leaves_the_pictures_essence(tmp_path: Path) -> None:
    """
    A redub is another asset, whose video has the essence it had.
    """
    redub = tmp_path / "redub.mp4"
    tone = ("-f", "lavfi", "-i", "sine=f=900:d=3:r=44100")
    ffmpeg("-i", _film(), *tone, "-map", "0:v", "-map", "1:a", "-c:v", "copy", redub)
    silent = tmp_path / "silent.mp4"
    ffmpeg("-i", _film(), "-an", "-c", "copy", silent)
    was, now = _by_kind(inspect(_film())), _by_kind(inspect(redub))
    assert was["video"] == now["video"] == _by_kind(inspect(silent))["video"]
    assert was["audio"] != now["audio"]
    assert len({inspect(p).asset for p in (_film(), redub, silent)}) == 3


def test_moved_sound_is_another_asset(tmp_path: Path) -> None:
    """
    The same sound half a second later is another sound.
    """
    moved = tmp_path / "moved.mp4"
    ffmpeg(
        *("-i", _film(), "-itsoffset", "0.5", "-i", _film()),
        *("-map", "0:v", "-map", "1:a", "-c", "copy", moved),
    )
    was, now = _by_kind(inspect(_film())), _by_kind(inspect(moved))
    assert was["video"] == now["video"] and was["audio"] != now["audio"]


def test_one_changed_packet_is_another_asset(tmp_path: Path) -> None:
    """
    A single changed byte inside one packet changes the asset.
    """
    changed = tmp_path / "changed.mp4"
    data = bytearray(_film().read_bytes())
    data[data.index(b"mdat") + len(data) // 2] ^= 1
    changed.write_bytes(data)
    assert inspect(changed).asset != inspect(_film()).asset


def test_an_essence_is_read_the_same_twice_and_under_any_name(tmp_path: Path) -> None:
    """
    A move keeps the asset; essences carry the version of their making.
    """
    moved = tmp_path / "moved elsewhere #1.mp4"
    shutil.copy(_film(), moved)
    assert inspect(moved) == inspect(_film())
    assert all(
        e.essence.startswith("ess1:") and len(e.essence) == 37 for e in inspect(moved).essences
    )


def test_different_videos_are_different_assets() -> None:
    """
    Files made differently never share an asset.
    """
    files = [_film(), colours(), variable_rate(), counted(), counted("one.mp4", frames=1)]
    assert len({inspect(path).asset for path in files}) == len(files)


def test_text_is_known_by_its_words(tmp_path: Path) -> None:
    """
    Line ends and encodings of a subtitle file are wrapping; a changed time or word is not.
    """
    text = "1\n00:00:01,000 --> 00:00:02,500\nIl était une fois\n"
    writings = {
        "unix.srt": text.encode(),
        "windows.srt": text.replace("\n", "\r\n").encode("utf-8-sig"),
        "latin.srt": text.encode("cp1252"),
        "wide.srt": text.encode("utf-16"),
    }
    for name, data in writings.items():
        (tmp_path / name).write_bytes(data)
    assert len({inspect(tmp_path / name).asset for name in writings}) == 1
    found = inspect(tmp_path / "unix.srt")
    assert (found.technical.kind, found.essences[0].codec) == ("text", "srt")
    (tmp_path / "later.srt").write_text(text.replace("02,500", "02,501"))
    assert inspect(tmp_path / "later.srt").asset != found.asset


def test_real_files_keep_their_essence_in_another_container() -> None:
    """
    Clips from cameras, phones and the web are the same asset after a remux.
    """
    for name in ("robust/sample_portrait.mp4", "robust/hlg10-color-test.mp4"):
        source = footage(name)
        assert inspect(copied(f"real_{source.stem}.mkv", source)).asset == inspect(source).asset


def test_what_is_no_media_is_refused(tmp_path: Path) -> None:
    """
    A missing file, a folder, an empty file and noise are refused with what to do about it.
    """
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "noise.mp4").write_bytes(bytes(range(256)) * 64)
    (tmp_path / "notes.srt").write_text("buy milk")
    expected = {
        "gone.mp4": "gone.mp4: no such file. Was it moved?",
        ".": ": a folder, not a media file. Name the files in it.",
        "empty.mp4": "empty.mp4: the file is empty. Was it still being copied?",
        "notes.srt": "notes.srt: no timed text in it, though it is named as such (expected srt). "
        "Check that it is the right file.",
    }
    for name, message in expected.items():
        with pytest.raises(UnreadableMedia) as caught:
            inspect(tmp_path / name)
        assert str(caught.value).endswith(message)
    with pytest.raises(UnreadableMedia, match=r"noise\.mp4: not media, or damaged beyond reading"):
        inspect(tmp_path / "noise.mp4")
