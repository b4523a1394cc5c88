"""The contact sheet: one file, complete, safe to open, and says what it shows."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from html.parser import HTMLParser

import pytest

from copal.sheet import (
    Sheet,
    SheetMatch,
    SheetShot,
    SheetSide,
    SheetStrip,
    SheetTitle,
    SheetWork,
    render,
)


def picture(name: str, size: int = 64) -> bytes:
    """Bytes that begin as a WebP does; the sheet never decodes them."""
    return b"RIFF\0\0\0\0WEBPVP8 " + name.encode().ljust(size, b".")


def side(title: str, shot_index: int) -> SheetSide:
    return SheetSide(
        title=title,
        asset=f"asset of {title}",
        shot_index=shot_index,
        timecode_in=f"00:00:{shot_index:02d}:00",
        timecode_out=f"00:00:{shot_index:02d}:23",
        cut_picture=picture(f"cut {title} {shot_index}"),
        middle_picture=picture(f"middle {title} {shot_index}"),
    )


def match(left: SheetSide, right: SheetSide, flavour: str = "composition") -> SheetMatch:
    return SheetMatch(flavour, 0.93412, left, right)


def title(name: str, *shots: SheetShot) -> SheetTitle:
    return SheetTitle(name, f"asset of {name}", shots, details=("2021", "25 fps"))


def shot(index: int, of: str = "Harbour", **more: int) -> SheetShot:
    return SheetShot(index, f"00:00:{index:02d}:00", 1.0, picture(f"middle {of} {index}"), **more)


@pytest.fixture
def sheet() -> Sheet:
    return Sheet(
        matches=[match(side("Harbour", 0), side("Night Train", 5))],
        titles=[title("Harbour", shot(0), shot(1), shot(2, duplicate_of=0))],
        made_at=datetime(2026, 11, 21, 20, 15),
        copal_version="0.1.0",
        work=[SheetWork("shots", computed=2, stored=1)],
    )


class Page(HTMLParser):
    """Tags with their attributes, and the text between them, as a browser would see them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] not in ("style", "script"):
            self.text += data + " "

    @property
    def words(self) -> str:
        return " ".join(self.text.split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_a_match_shows_both_sides_of_the_cut(sheet: Sheet) -> None:
    """
    A match names its titles and shots, the timecodes either side of the cut, rank and score.
    """
    words = Page(render(sheet)).words

    assert "Harbour shot 0 out 00:00:00:23" in words
    assert "Night Train shot 5 in 00:00:05:00" in words
    assert "№ 1 0.934 composition" in words


def test_hostile_names_are_text(sheet: Sheet) -> None:
    """
    Markup in the name of a title, a flavour or a feature is shown, never obeyed.
    """
    evil = """</script><script>alert(1)</script><img src=x onerror="alert(2)">' onload='x"""
    attacked = replace(
        sheet,
        heading=evil,
        matches=[match(side(evil, 0), side("Night Train", 5), flavour=evil)],
        titles=[title(evil, shot(0, of=evil), shot(1), shot(2, duplicate_of=0))],
        work=[SheetWork(evil, computed=2, stored=1)],
        copal_version=evil,
    )
    tame, hostile = Page(render(sheet)), Page(render(attacked))

    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in tame.tags]
    assert [set(a) for _, a in hostile.tags] == [set(a) for _, a in tame.tags]
    assert hostile.words.count(evil) >= 5


def test_the_file_asks_nothing_of_anyone(sheet: Sheet) -> None:
    """
    Every picture, style and script is in the file, and the page forbids itself all requests.
    """
    html = render(sheet)
    page = Page(html)

    addresses = [a[k] for _, a in page.tags for k in ("src", "href", "action", "srcset") if k in a]
    assert addresses
    assert all(str(a).startswith(("data:image/webp;base64,", "#")) for a in addresses)
    assert not page.all("link")
    assert "@import" not in html
    assert "url(" not in html
    policies = [a["content"] for a in page.all("meta") if "http-equiv" in a]
    assert [str(p).startswith("default-src 'none'") for p in policies] == [True]


def test_a_picture_is_written_once(sheet: Sheet) -> None:
    """
    A picture that is shown at several places is in the file once; the others point to it.
    """
    page = Page(render(replace(sheet, matches=[*sheet.matches, *sheet.matches])))

    written = {a["id"]: a["src"] for a in page.all("img") if a.get("src")}
    pointing = [a["data-same"] for a in page.all("img") if "data-same" in a]
    assert len(set(written.values())) == len(written) == 6
    assert len(pointing) == 5  # four of the second match, one that the strip shares with a match
    assert set(pointing) <= set(written)


def test_every_picture_says_what_it_is(sheet: Sheet) -> None:
    """
    Each picture has a text for those who do not see it, and each button a name.
    """
    html = render(sheet)
    page = Page(html)

    shown = [a for a in page.all("img") if a.get("id") not in ("one", "two")]
    assert all(a["alt"] for a in shown)
    assert "Last picture of Harbour, shot 0, at 00:00:00:23" in [a["alt"] for a in shown]
    assert "First picture of Night Train, shot 5, at 00:00:05:00" in [a["alt"] for a in shown]
    assert not re.findall(r"<button(?![^>]*aria-label)[^>]*>\s*</button>", html)


def test_duplicates_point_to_the_shot_they_repeat(sheet: Sheet) -> None:
    """
    A repeated shot is marked, and leads to the shot it repeats.
    """
    page = Page(render(sheet))

    assert "repeats shot 0" in page.words
    assert "3 shots, 1 repeated" in page.words
    ids = {a.get("id") for _, a in page.tags}
    notes = [a["href"] for a in page.all("a") if a.get("class") == "note"]
    assert notes == ["#t1s0"]
    assert {str(a["href"])[1:] for a in page.all("a")} <= ids


def test_a_match_inside_one_title_says_so(sheet: Sheet) -> None:
    """
    A match between two shots of one asset is named as such; one across titles is not.
    """
    inside = replace(sheet, matches=[match(side("Harbour", 0), side("Harbour", 1))])

    assert "within one title" in Page(render(inside)).words
    assert "within one title" not in Page(render(sheet)).words


def test_ranks_count_within_a_flavour(sheet: Sheet) -> None:
    """
    Each flavour counts its own matches from 1, since scores of two flavours do not compare.
    """
    pair = side("Harbour", 0), side("Night Train", 5)
    flavours = ["composition", "motion", "composition", "motion"]
    page = Page(render(replace(sheet, matches=[match(*pair, flavour=f) for f in flavours])))

    found = re.findall(r"№ (\d) 0\.934 (\w+)", page.words)
    assert found == [("1", "composition"), ("1", "motion"), ("2", "composition"), ("2", "motion")]
    chips = [a["data-flavour"] for a in page.all("button") if "data-flavour" in a]
    assert chips == ["", "composition", "motion"]


@pytest.mark.parametrize(
    ("work", "seconds", "sentence"),
    [
        ([], 1.0, ""),
        ([SheetWork("shots", computed=1)], None, "1 cell computed."),
        (
            [SheetWork("shots", computed=2, stored=1), SheetWork("dedup", carried_over=3)],
            12.34,
            "2 cells computed, 3 carried over, 1 came from the store, in 12.3 s.",
        ),
        ([SheetWork("shots", stored=1200)], 0.4,
         "Nothing was computed, 1,200 came from the store, in 0.4 s."),
        ([SheetWork("shots", computed=2, failed=1)], None, "2 cells computed, 1 failed."),
    ],
)  # fmt: skip
def test_the_head_says_what_was_computed(
    sheet: Sheet, work: list[SheetWork], seconds: float | None, sentence: str
) -> None:
    """
    One sentence tells what was computed and what came from the store.
    """
    told = replace(sheet, work=work, elapsed_seconds=seconds)

    assert told.work_sentence == sentence
    assert sentence in Page(render(told)).words


def test_a_sheet_without_matches_says_why(sheet: Sheet) -> None:
    """
    Nothing to show is said in words, and the page still stands.
    """
    empty = replace(sheet, matches=[], titles=[], work=[])

    assert "No match cuts" in Page(render(empty)).words
    assert Page(render(empty)).all("script")


def strip(name: str, *frames: int) -> SheetStrip:
    return SheetStrip(picture(f"strip {name}"), frames, 384, 216, 12.0)


def test_a_match_with_strips_plays(sheet: Sheet) -> None:
    """
    Strips carry the frames they show and how fast; a match with one on one side only is stills.
    """
    a = replace(side("Harbour", 0), strip=strip("a", 40, 42, 44))
    b = replace(side("Night Train", 5), strip=strip("b", 90, 92))
    played = Page(render(replace(sheet, matches=[match(a, b), match(a, side("Night Train", 6))])))

    views = [t for t in played.all("span") if "data-frames" in t]
    assert [(v["data-frames"], v["data-n"], v["data-rate"]) for v in views] == [
        ("40 42 44", "3", "12.000"), ("90 92", "2", "12.000"),
    ]  # fmt: skip
    pairs = [t["class"] for t in played.all("button") if "aria-label" in t and "class" in t]
    assert pairs == ["pair", "pair stills"]
    assert "play the cut" in played.words
    assert "see the cut" in Page(render(sheet)).words


def test_reasons_and_scores_are_told(sheet: Sheet) -> None:
    """
    What the shots have in common, the score of each flavour of a mix, and how many are alike.
    """
    (one,) = sheet.matches
    told = replace(one, reasons=["same <framing>", "both pan right"], alike=3,
                   scores={"composition": 0.9, "motion": 0.25})  # fmt: skip
    words = Page(render(replace(sheet, matches=[told]))).words

    assert "same <framing> both pan right" in words
    assert "composition 0.900 motion 0.250 + 3 alike" in words
    assert "alike" not in Page(render(sheet)).words


def test_what_is_no_webp_is_refused(sheet: Sheet) -> None:
    """
    A picture in another format is refused by name, not shown broken.
    """
    png = replace(side("Harbour", 0), cut_picture=b"\x89PNG\r\n\x1a\n" + b"\0" * 20)
    wrong = replace(sheet, matches=[match(png, side("Night Train", 5))])

    with pytest.raises(ValueError, match=r"'Last picture of Harbour, shot 0.*' is no WebP \(28"):
        render(wrong)


def test_a_sheet_stays_small() -> None:
    """
    Ten matches and forty shots with pictures of 24 kB each fit in 2.5 MB.
    """
    big = 24_000
    shots = [SheetShot(i, "00:00:00:00", 3.0, picture(f"{i}", big)) for i in range(40)]
    sides = [replace(side("Harbour", i), cut_picture=picture(f"cut {i}", big),
                     middle_picture=picture(f"{i}", big)) for i in range(20)]  # fmt: skip
    sheet = Sheet(
        matches=[match(sides[i], sides[i + 10]) for i in range(10)],
        titles=[SheetTitle("Harbour", "asset", shots)],
        made_at=datetime(2026, 11, 21),
        copal_version="0.1.0",
    )

    assert len(render(sheet).encode()) < 2_500_000
