"""Dialogue comes out of every kind of timed text, whole, in order, without what is not said."""

from __future__ import annotations

from fractions import Fraction

import pyarrow as pa
import pytest

from copal.errors import UnreadableMedia
from copal.feature import Value
from copal.media import Captions
from copal.media.dialogue import Line, read_lines
from copal.media.language import language_in_name, language_tag
from copal.timeline import FrameRange
from features.captions import Captions as CaptionsFeature


def said(content: str, format: str) -> list[tuple[str | None, str]]:
    return [(line.speaker, line.text) for line in read_lines(content, format, "a")]


def cues(*bodies: str, arrow: str = " --> ") -> str:
    """WebVTT with one cue a second."""
    parts = [f"00:{i:02d}.000{arrow}00:{i:02d}.900\n{body}\n" for i, body in enumerate(bodies, 1)]
    return "WEBVTT\n\n" + "\n".join(parts)


def test_subrip() -> None:
    """
    Numbers, tags and positions go; words, line breaks and what looks like a tag stay.
    """
    content = (
        "1\n00:00:01,000 --> 00:00:02,500 X1:1 X2:2\n<i>Hello</i>,\n"
        "{\\an8}<font color=red>you</font>\n"
        "\n2\n00:00:03,000 --> 00:00:04,000\nI <3 this & that\n2001\n\n"
        "3\n00:00:05,000 --> 00:00:06,000\n\n4\n01:00:00,5 --> 01:00:01,25\nLast"
    )
    assert read_lines(content, "srt", "a") == [
        Line(1000, 2500, "Hello,\nyou"),
        Line(3000, 4000, "I <3 this & that\n2001"),
        Line(3600500, 3601250, "Last"),
    ]


def test_webvtt_keeps_what_is_said_and_nothing_else() -> None:
    """
    Notes, styles, regions, identifiers, settings, karaoke times and entities are no words.
    """
    content = (
        "WEBVTT - a title\nLanguage: en\n\nNOTE\nnothing 00:01.000 --> 00:02.000\n\n"
        "STYLE\n::cue { color: red }\n\nREGION\nid:fred\n\n"
        "intro\n00:01.000 --> 00:02.000 align:start position:10%\n"
        "One<00:00:01.500><c.red> two</c><00:00:01.700> &amp; &lt;three&gt;\n\n"
        "NOTE made by hand\n\n00:00:03.000 --> 00:00:04.000\nNOTE is a word here\n"
    )
    assert said(content, "vtt") == [(None, "One two & <three>"), (None, "NOTE is a word here")]


def test_voices() -> None:
    """
    A voice is the speaker; two voices in a cue are two lines of one time.
    """
    content = cues(
        "<v Ann>Hello</v>", "<v.loud.first Mary Ann>Go &amp; <i>run</i>\n<v Bob>No", "<v>Who?"
    )
    lines = read_lines(content, "vtt", "a")
    assert [(line.speaker, line.text) for line in lines] == [
        ("Ann", "Hello"), ("Mary Ann", "Go & run"), ("Bob", "No"), (None, "Who?"),
    ]  # fmt: skip
    assert lines[1].start_ms == lines[2].start_ms == 2000


def test_changes_of_speaker() -> None:
    """
    ``>>`` divides a cue and is taken off; a name after it is the speaker's.
    """
    content = cues(
        "&gt;&gt; Hello.\n&gt;&gt; ANN: Hi there.", "Still her. >> Mr. Smith: Yes?", "2 >1 is true"
    )
    assert said(content, "vtt") == [
        (None, "Hello."), ("ANN", "Hi there."), (None, "Still her."), ("Mr. Smith", "Yes?"),
        (None, "2 >1 is true"),
    ]  # fmt: skip


def test_names_before_a_colon_are_speakers_only_as_a_convention() -> None:
    """
    Three lines that begin with a name in capitals make it one; fewer, or other colons, do not.
    """
    few = cues("WARNING: high voltage", "ANN: Hi", "Time: 10:30")
    assert said(few, "vtt") == [
        (None, "WARNING: high voltage"), (None, "ANN: Hi"), (None, "Time: 10:30"),
    ]  # fmt: skip
    many = cues(
        "ANN: Hi", "BOB SMITH: Hello\nANN: Bye", "Note: it is 10:30", "ÉVA: Oui", "АННА: да"
    )
    assert said(many, "vtt") == [
        ("ANN", "Hi"), ("BOB SMITH", "Hello"), ("ANN", "Bye"), (None, "Note: it is 10:30"),
        ("ÉVA", "Oui"), ("АННА", "да"),
    ]  # fmt: skip
    given = cues("<v Ann>ONE: a", "<v Ann>TWO: b", "<v Ann>THREE: c")
    assert said(given, "vtt") == [("Ann", "ONE: a"), ("Ann", "TWO: b"), ("Ann", "THREE: c")]


def test_ass() -> None:
    """
    The Name field is the speaker; comments, drawings and overrides are no words.
    """
    head = (
        "[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\nFormat: Name, Fontname\n"
        "Style: Default,Arial\n\n[Events]\n"
        "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
    )
    content = head + (
        "Dialogue: 0,0:00:05.00,0:00:06.00,Default,,0,0,0,,Later, with a comma\n"
        "Dialogue: 0,0:00:01.10,0:00:02.25,Default,Ann,0,0,0,,{\\pos(1,2)}{\\i1}Hel{\\i0}lo\\Nyou\n"
        "Comment: 0,0:00:01.00,0:00:02.00,Default,Ann,0,0,0,,not shown\n"
        "Dialogue: 0,0:00:03.00,0:00:04.00,Default,,0,0,0,,{\\p1}m 0 0 l 10 10{\\p0}\n"
    )
    assert read_lines(content, "ass", "a") == [
        Line(1100, 2250, "Hello\nyou", "Ann"),
        Line(5000, 6000, "Later, with a comma"),
    ]


TTML = """<?xml version="1.0" encoding="UTF-8"?>
<tt xmlns="{space}" xmlns:ttm="{space}#metadata" xmlns:ttp="{space}#parameter" xml:lang="fr"
    ttp:frameRate="24" ttp:frameRateMultiplier="1000 1001" ttp:tickRate="10000000">
<head><metadata><ttm:agent xml:id="a1" type="person"><ttm:name type="full">Éva
 Kiss</ttm:name></ttm:agent></metadata></head>
<body begin="10s"><div begin="00:00:01.000">
  <p begin="0s" end="1s">One <span style="x">two</span>
     three<br/>four</p>
  <p begin="00:00:02:12" end="00:00:03:00" ttm:agent="a1">Frames</p>
  <p begin="40000000t" dur="5000000t">Ticks</p>
  <p begin="5s" end="7s"><span begin="0s" end="1s">First</span><span begin="1s">Second</span></p>
  <p begin="8s">No end</p>
</div></body></tt>"""


@pytest.mark.parametrize(
    "space",
    [
        "http://www.w3.org/ns/ttml",
        "http://www.w3.org/2006/10/ttaf1",
        "http://www.w3.org/2006/04/ttaf1",
    ],
)
def test_ttml(space: str) -> None:
    """
    Clocks, frames, ticks and durations, counted from the parent's; agents speak; any namespace.
    """
    frame = Fraction(1001, 24000)
    assert read_lines(TTML.format(space=space), "ttml", "a") == [
        Line(11000, 12000, "One two three\nfour"),
        Line(round(1000 * (13 + 12 * frame)), 14000, "Frames", "Éva Kiss"),
        Line(15000, 15500, "Ticks"),
        Line(16000, 17000, "First"),
        Line(17000, 18000, "Second"),
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("<tt><body><p begin='x' end='1s'>a</p></body></tt>", "'x' is no time"),
        ("<tt><body>", "not well-formed XML"),
        ("<tt frameRate='1e10000000'><body/></tt>", "'1e10000000' is no rate"),
        ("<tt frameRateMultiplier='1 1e9999999'><body/></tt>", "'1e9999999' is no rate"),
        ("<tt tickRate='1/3'><body/></tt>", "'1/3' is no rate"),
        ("<!DOCTYPE tt [<!ENTITY a 'aaaa'>]><tt>&a;</tt>", "document type is not read"),
        ("<tt ><body>" + "<div>" * 300 + "</div>" * 300 + "</body></tt>", "within each other"),
    ],
)
def test_damaged_ttml_is_refused(content: str, words: str) -> None:
    """
    What is no XML, declares entities, nests without end or holds no time says so.
    """
    with pytest.raises(UnreadableMedia, match=words):
        read_lines(content, "ttml", "film.ttml")


def test_any_order_and_script() -> None:
    """
    Lines are sorted by time; overlaps stay; right-to-left and CJK text is kept letter for letter.
    """
    content = (
        "WEBVTT\n\n00:05.000 --> 00:09.000\n‫مرحبا يا عالم‬\n\n"
        "00:01.000 --> 00:06.000\n左に見えるのは…\n　右に\n\n00:01.000 --> 00:02.000\nshort\n\n"
        "00:07.000 --> 00:06.000\nends before it begins\n"
    )
    assert read_lines(content, "vtt", "a") == [
        Line(1000, 2000, "short"),
        Line(1000, 6000, "左に見えるのは…\n　右に"),
        Line(5000, 9000, "‫مرحبا يا عالم‬"),
        Line(7000, 7000, "ends before it begins"),
    ]


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("film.en.vtt", "en"), ("a.b.pt-BR.srt", "pt-BR"), ("film.zh-hans.vtt", "zh-Hans"),
        ("film.eng.forced.srt", "en"), ("film.hi.vtt", "hi"), ("film.en.hi.srt", "en"),
        ("film.en.sdh.cc.srt", "en"), ("elephantsdream.captions.ja.vtt", "ja"),
        ("film.vtt", None), ("film.old.vtt", None), ("en.vtt", None), ("my.en.film.vtt", None),
        ("film.forced.srt", None),
    ],
)  # fmt: skip
def test_languages_in_names(name: str, language: str | None) -> None:
    """
    The language stands last before the suffix, but for words such as ``forced``.
    """
    assert language_in_name(name) == language


def test_languages_of_tracks() -> None:
    """
    Tags of containers come out short; undetermined is none.
    """
    tags = ("eng", "fre", "fra", "und", "", "pt-br", "zh_hant_TW", "fil", "nonsense!")
    found = [language_tag(tag) for tag in tags]
    assert found == ["en", "fr", "fr", None, None, "pt-BR", "zh-Hant-TW", "fil", None]


def _captions(*lines: tuple[int, int, int | None, int | None, str | None]) -> Captions:
    rows = [
        {
            "line_index": i, "track": 0, "start_ms": a, "end_ms": b, "start_frame": first,
            "end_frame": after, "text": f"line {i}", "speaker": None, "language": language,
        }
        for i, (a, b, first, after, language) in enumerate(lines)
    ]  # fmt: skip
    return Captions.from_value(Value(pa.Table.from_pylist(rows, CaptionsFeature.columns)))


def test_lines_by_frames_time_and_language() -> None:
    """
    A range gives the lines shown on any of its frames; times and languages choose as well.
    """
    captions = _captions(
        (0, 1000, 0, 24, "en"), (900, 2000, 22, 48, "en-GB"), (1000, 2000, 24, 48, "fr"),
        (5000, 5000, 120, 121, None),
    )  # fmt: skip

    def found(**wanted: object) -> list[int]:
        return [line.line_index for line in captions.lines(**wanted)]  # type: ignore[arg-type]

    assert found() == [0, 1, 2, 3]
    assert found(range=FrameRange(23, 24)) == [0, 1]
    assert found(range=FrameRange(24, 25)) == [1, 2]
    assert found(range=FrameRange(48, 120)) == []
    assert found(language="en") == [0, 1]
    assert captions.languages == ("en", "en-GB", "fr")
    assert next(captions.lines(FrameRange(0, 1))).range == FrameRange(0, 24)
    by_time = captions.lines_at(Fraction(1), 5, language="fr")
    assert [line.line_index for line in by_time] == [2]
    assert [line.line_index for line in captions.lines_at(5, 6)] == [3]
    with pytest.raises(TypeError, match="a fraction"):
        captions.lines_at(0.5, 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no range of time"):
        captions.lines_at(2, 1)


def test_lines_without_pictures() -> None:
    """
    A text asset has lines and no frames; none at all is no error.
    """
    captions = _captions((0, 1000, None, None, "en"))
    assert next(captions.lines()).range is None
    with pytest.raises(ValueError, match="belong to no pictures; ask for them by time"):
        captions.lines(FrameRange(0, 1))
    assert list(_captions().lines(FrameRange(0, 1))) == []
