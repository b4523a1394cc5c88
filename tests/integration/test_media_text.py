"""Timed text is recognised by what is in it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from copal.errors import UnreadableMedia
from copal.media.text import decoded, read_text

SRT = "1\n00:00:01,000 --> 00:00:02,500\nHello\n\n2\n00:01:00,000 --> 00:01:01,250\nBye\n"
VTT = "WEBVTT\n\nNOTE made by hand\n\n00:01.000 --> 00:02.500\n<v Ann>Hello\n"
ASS = (
    "[Script Info]\nTitle: x\n\n[Events]\nFormat: Layer, Start, End\n"
    "Dialogue: 0,0:00:01.00,0:00:02.50,Default,,0,0,0,,Hello\n"
)
TTML = '<?xml version="1.0"?>\n<tt xmlns="http://www.w3.org/ns/ttml"><body><p>Hi</p></body></tt>'


@pytest.mark.parametrize(
    ("name", "content", "format", "cues", "end"),
    [
        ("a.srt", SRT, "srt", 2, Fraction(245, 4)),
        ("a.vtt", VTT, "vtt", 1, Fraction(5, 2)),
        ("a.ass", ASS, "ass", 1, Fraction(5, 2)),
        ("a.ttml", TTML, "ttml", 1, Fraction(0)),
        ("named.vtt", SRT, "srt", 2, Fraction(245, 4)),
        ("no_suffix", VTT, "vtt", 1, Fraction(5, 2)),
    ],
)
def test_formats(
    tmp_path: Path, name: str, content: str, format: str, cues: int, end: Fraction
) -> None:
    """
    Each format is told from its content, with its cues and the end of the last.
    """
    (tmp_path / name).write_text(content)
    found = read_text(tmp_path / name, name=name)
    assert found is not None
    assert (found.format, found.cues, found.end_seconds) == (format, cues, end)


def test_other_files_are_not_text(tmp_path: Path) -> None:
    """
    Prose, bytes, and a film that is named like a subtitle are not timed text.
    """
    (tmp_path / "notes.txt").write_text("1 apple\n2 pears\n")
    (tmp_path / "bytes.bin").write_bytes(bytes(range(256)))
    (tmp_path / "film.srt").write_bytes(b"\0\0\0\x20ftypisom" + bytes(64))
    for name in ("notes.txt", "bytes.bin", "film.srt"):
        assert read_text(tmp_path / name, name=name) is None
    (tmp_path / "empty.vtt").write_text("buy milk")
    with pytest.raises(UnreadableMedia, match=r"empty\.vtt: no timed text in it"):
        read_text(tmp_path / "empty.vtt", name="empty.vtt")


def test_encodings() -> None:
    """
    UTF-8 with and without mark, UTF-16 and Windows-1252 read alike, whatever the line ends.
    """
    text = "Où est-il?\nLà-bas…\n"
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "cp1252"):
        assert decoded(text.replace("\n", "\r\n").encode(encoding)) == text
    assert decoded("é".encode()[:1]) == ""  # a head may end inside a character
