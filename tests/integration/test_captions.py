"""The dialogue of files and of tracks in containers, on the frames of the encode."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from copal.errors import UnreadableMedia
from copal.fingerprint import AssetId
from copal.media import Source, sandbox
from copal.media import tracks as text_tracks
from features.captions import Captions
from tests.media import copied, counted, encoded, ffmpeg, folder, footage, number_in

SRT = (
    "1\n00:00:00,500 --> 00:00:01,000\n<i>Hello</i>\n\n"
    "2\n00:00:01,001 --> 00:00:02,500\nsecond\nline\n\n"
)


def _rows(path: Path, workspace: Path) -> list[dict[str, Any]]:
    workspace.mkdir(parents=True, exist_ok=True)
    source = Source(AssetId("0" * 32), path, path.name)
    rows = Captions().compute(source=source, workspace=workspace)
    assert rows.schema.equals(Captions.columns)
    found: list[dict[str, Any]] = rows.to_pylist()
    assert [row["line_index"] for row in found] == list(range(len(found)))
    return found


def _said(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    names = ("start_ms", "end_ms", "start_frame", "end_frame", "text", "speaker", "language")
    return [tuple(row[name] for name in names) for row in rows]


def _with_text(
    name: str, text: str, *options: str, film: Path | None = None, suffix: str = "srt"
) -> Path:
    """A film with a text track: ``ffmpeg -i FILM -i TEXT -map 0 -map 1 -c copy OPTIONS NAME``."""
    path, given = folder() / name, folder() / f"{name}.{suffix}"
    given.write_text(text)
    film = film or counted("sound.mp4", sound=True)
    ffmpeg("-i", film, "-i", given, "-map", "0", "-map", "1", "-c", "copy", *options, path)
    return path


HELLO = [
    (500, 1000, 15, 30, "Hello", None, "en"),
    (1001, 2500, 30, 75, "second\nline", None, "en"),
]
TAGGED = ("-metadata:s:s:0", "language=eng")


@pytest.mark.parametrize(
    ("name", "options"),
    [("subrip.mkv", TAGGED), ("mov_text.mp4", (*TAGGED, "-c:s", "mov_text")),
     ("mov_text.mov", (*TAGGED, "-c:s", "mov_text")),
     ("webvtt.mkv", (*TAGGED, "-c:s", "webvtt"))],
)  # fmt: skip
def test_tracks_in_containers(name: str, options: tuple[str, ...], tmp_path: Path) -> None:
    """
    The same lines come out of every container, with frames, and the language of the track.
    """
    assert _said(_rows(_with_text(name, SRT, *options), tmp_path)) == HELLO


def test_ass_and_voices_in_containers(tmp_path: Path) -> None:
    """
    Speakers survive the container: ASS names, and voices of WebVTT.
    """
    ass = (
        "[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\n"
        "Format: Name, Fontname, Fontsize\nStyle: Default,Arial,20\n\n[Events]\n"
        "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
        "Dialogue: 0,0:00:00.50,0:00:01.00,Default,Ann,0,0,0,,{\\i1}Hello{\\i0}, you\n"
    )
    rows = _rows(_with_text("ass.mkv", ass, suffix="ass"), tmp_path / "ass")
    assert _said(rows) == [(500, 1000, 15, 30, "Hello, you", "Ann", None)]
    vtt = "WEBVTT\n\nNOTE not said\n\n00:00.500 --> 00:01.000\n<v Bob>Hello &amp; bye\n"
    rows = _rows(_with_text("vtt.mkv", vtt, suffix="vtt"), tmp_path / "vtt")
    assert _said(rows) == [(500, 1000, 15, 30, "Hello & bye", "Bob", None)]


def test_several_tracks(tmp_path: Path) -> None:
    """
    Lines of all tracks are in one order, each with its track and language.
    """
    one, two = tmp_path / "one.srt", tmp_path / "two.srt"
    one.write_text(SRT)
    two.write_text(SRT.replace("Hello", "Salut").replace("00,500", "00,400"))
    path = tmp_path / "both.mkv"
    ffmpeg(
        *("-i", counted(), "-i", one, "-i", two, "-map", "0", "-map", "1", "-map", "2"),
        *("-c", "copy", "-metadata:s:s:0", "language=eng", "-metadata:s:s:1", "language=fra", path),
    )
    rows = _rows(path, tmp_path / "work")
    told = [(row["track"], row["text"], row["language"]) for row in rows]
    assert told == [
        (2, "Salut", "fr"), (1, "Hello", "en"),
        (1, "second\nline", "en"), (2, "second\nline", "fr"),
    ]  # fmt: skip


@pytest.mark.parametrize("case", ["plain", "late", "cut", "halved", "film"])
def test_frames_are_those_that_the_line_is_shown_on(case: str, tmp_path: Path) -> None:
    """
    A line made for certain pictures of the source is given the frames that show them.

    The line is shown while pictures 30 … 59 of the source are, whatever its start, edit list
    or rate.
    """
    rate = {"halved": Fraction(60), "film": Fraction(24000, 1001)}.get(case, Fraction(30))
    base = counted(f"text_{case}.mp4", rate=str(rate))

    def clock(picture: int) -> str:
        ms = round(picture * 1000 / rate)
        return f"00:00:{ms // 1000:02d},{ms % 1000:03d}"

    film = _with_text(
        f"text_{case}.mkv", f"1\n{clock(30)} --> {clock(60)}\nhere\n", film=base
    )  # fmt: skip
    if case == "late":
        film = copied("text_later.mkv", film, "-itsoffset 1.5")
    elif case == "cut":
        ffmpeg("-ss", "0.5", "-i", film, "-map", "0", "-c", "copy", folder() / "text_less.mkv")
        film = folder() / "text_less.mkv"
    (row,) = _rows(film, tmp_path)
    encode = encoded(film)
    first, last = (
        number_in(encode.video.frame(index)) for index in (row["start_frame"], row["end_frame"] - 1)
    )
    step = 2 if case == "halved" else 1
    assert (first, last // step) == (30, 59 // step)  # of two pictures, either may be taken


def test_tracks_that_are_pictures_are_named_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A PGS track gives no lines; the technical record and the log say what it is.
    """
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(
        text_tracks.log, "info", lambda event, **said: told.append({"event": event, **said}),
        raising=False,
    )  # fmt: skip
    path = tmp_path / "pictures.mkv"
    ffmpeg(
        "-i",
        counted(),
        "-i",
        _picture_track(tmp_path),
        "-map",
        "0",
        "-map",
        "1",
        "-c",
        "copy",
        path,
    )
    technical = sandbox.probe(path)
    assert [text.codec for text in technical.texts] == ["hdmv_pgs_subtitle"]
    assert _rows(path, tmp_path / "work") == []
    assert [(each["event"], each["codec"]) for each in told] == [("text.not_read", "PGS")]


def _picture_track(workspace: Path) -> Path:
    """A PGS track of one display set: a presentation without objects, as a disc ends one."""
    path = workspace / "pictures.sup"
    segments = [
        (0x16, bytes.fromhex("0140 00f0 10 0000 80 00 00 00".replace(" ", ""))),
        (0x80, b""),
    ]
    data = b""
    for pts in (45000, 90000):
        for kind, body in segments:
            data += b"PG" + pts.to_bytes(4, "big") + bytes(4) + bytes([kind])
            data += len(body).to_bytes(2, "big") + body
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("language", ["en", "ja", "ar"])
def test_real_captions(language: str, tmp_path: Path) -> None:
    """
    Real files read as pysubs2 reads them: times, and words but for spaces.
    """
    import pysubs2

    path = footage(f"subtitles/elephantsdream.captions.{language}.vtt")
    rows = _rows(path, tmp_path)
    events = pysubs2.load(str(path), encoding="utf-8")
    spoken = [event for event in events if event.plaintext.strip()]
    assert [(row["start_ms"], row["end_ms"]) for row in rows] == [(e.start, e.end) for e in spoken]
    for row, event in zip(rows, spoken, strict=True):
        assert row["text"].split() == event.plaintext.partition("NOTE")[0].split()
        assert (row["language"], row["speaker"]) == (language, None)
        assert row["start_frame"] is row["end_frame"] is None


def test_real_tracks(tmp_path: Path) -> None:
    """
    Real files with text tracks: MKV with SubRip, MP4 with two tracks of mov_text.
    """
    rows = _rows(footage("robust/sample_with_srt.mkv"), tmp_path / "mkv")
    assert _said(rows) == [(0, 1234, 0, 37, "This is the first subtitle.", None, "en")]
    rows = _rows(footage("multishot/nasa_13013.mp4"), tmp_path / "mp4")
    assert len(rows) == 8 and {row["track"] for row in rows} == {2, 5}
    assert rows[0]["text"].startswith("NAR: This is the optical")  # once: no convention


def test_nothing_said(tmp_path: Path) -> None:
    """
    A film without text, and a text without cues, give no rows of the right columns.
    """
    assert _rows(counted(), tmp_path / "film") == []
    empty = tmp_path / "empty.vtt"
    empty.write_text("WEBVTT\n\nNOTE nothing\n")
    assert _rows(empty, tmp_path / "text") == []
    (tmp_path / "prose.vtt").write_text("no captions")
    with pytest.raises(UnreadableMedia, match="no timed text in it"):
        _rows(tmp_path / "prose.vtt", tmp_path / "prose")
