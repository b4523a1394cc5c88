"""What a question can write: a contact sheet that plays, timelines in the sources' own timing."""

from __future__ import annotations

import io
import json
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import opentimelineio as otio
import pytest
from PIL import Image

import copal
from copal.cli import main
from copal.demo import sample_film
from copal.errors import RequestError
from copal.lake import Lake
from copal.search import Side, edl
from copal.search import otio as timelines
from copal.search.contact import contact_sheet
from copal.search.previews import PICTURES, Previews
from copal.sheet import SheetStrip
from copal.timeline import FrameRange
from features.shot_composition import DIMENSIONS
from tests.builders import asset_of
from tests.media import counted, encoded, number_in
from tests.shelf import ROOT, ShelfFilm, shelf, turned

CHROMIUM = Path("/usr/bin/chromium")


def tiles(strip: SheetStrip) -> list[np.ndarray]:
    picture = np.asarray(Image.open(io.BytesIO(strip.picture)).convert("RGB"))
    assert picture.shape == (strip.height * len(strip.frames), strip.width, 3)
    return np.split(picture, len(strip.frames))


@pytest.mark.parametrize(("rate", "step"), [("24", 2), ("25", 2), ("30", 2), ("12", 1)])
def test_a_strip_shows_the_very_frames_beside_the_cut(rate: str, step: int) -> None:
    """
    The last picture before a cut is the shot's last frame and the first after it the first, by
    the numbers painted in the pictures; the others lead up to it at even steps.
    """
    encode = encoded(counted(f"strip{rate}.mp4", rate=rate, frames=90))
    shot = FrameRange(7, 70)
    side = Side(asset_of("a"), "A", 0, shot, shot, encode.frame_rate)
    previews = Previews({"a": encode})
    before, after = previews.before(side), previews.after(side)

    assert [number_in(tile) for tile in tiles(before)] == list(before.frames)
    assert [number_in(tile) for tile in tiles(after)] == list(after.frames)
    assert before.frames == tuple(range(69 - 11 * step, 70, step))
    assert after.frames == tuple(range(7, 7 + 12 * step, step))
    assert before.per_second == pytest.approx(float(Fraction(rate) / step))
    assert previews.before(side) is before  # made once


def test_a_strip_keeps_inside_its_shot() -> None:
    """
    A short shot has fewer pictures, a shot with fades none of them, and one frame is one picture.
    """
    encode = encoded(counted("strip24.mp4", rate="24", frames=90))
    previews = Previews({"a": encode})

    def frames(start: int, end: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        clear = FrameRange(start, end)
        side = Side(asset_of("a"), "A", 0, FrameRange(0, 90), clear, encode.frame_rate)
        return previews.before(side).frames, previews.after(side).frames

    assert frames(10, 15) == ((10, 12, 14), (10, 12, 14))
    assert frames(89, 90) == ((89,), (89,))
    assert frames(10, 14) == ((11, 13), (10, 12))


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Two real films of a few seconds, one of them at 59.94, through the real features."""
    folder = tmp_path_factory.mktemp("films")
    sample_film(folder / "one.mp4", (30, 26, 28, 24, 30, 26))
    sample_film(folder / "two.mp4", (60, 56, 64, 52), frame_rate=Fraction(60000, 1001))
    lake = copal.open(ROOT, store=str(tmp_path_factory.mktemp("store")))
    assert all(arrival.decision == "new" for arrival in lake.add([folder]))
    features = ["shot_stills", "match_pairs_composition", "match_pairs_motion"]
    assert not lake.run(features, engine="inline").failed
    return lake


def test_a_contact_sheet_plays_its_cuts(lake: Lake) -> None:
    """
    Each match has a strip for either side, ending and beginning at the frames that its labels
    name; without previews the sheet has none and is a fraction of the size.
    """
    answer = lake.match(top=6)
    html = contact_sheet(lake.project, (), [answer])
    shown = re.findall(r'strip-view (\w+).*?data-frames="([\d ]+)"', html)
    ends = [(way, frames.split()[-1 if way == "out" else 0]) for way, frames in shown]
    assert ends == [
        end
        for cut in answer.cuts
        for end in (("out", str(cut.outgoing.clear.last)), ("in", str(cut.incoming.clear.first)))
    ]  # fmt: skip
    plain = contact_sheet(lake.project, (), [answer], previews=False)
    assert "data-frames=" not in plain
    assert len(plain) < len(html) < 4_000_000
    assert 'class="pair stills"' in plain


def test_a_browser_plays_a_then_b_and_again(lake: Lake, tmp_path: Path) -> None:
    """
    In Chromium, pointing at a pair shows A's pictures up to its last frame, then B's from its
    first, and begins again; nothing is asked of the network and nothing fails.
    """
    playwright = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip(f"no browser at {CHROMIUM}")
    answer = lake.match(top=2)
    page_file = tmp_path / "cuts.html"
    page_file.write_text(contact_sheet(lake.project, (), [answer]))
    complaints: list[str] = []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page = browser.new_page()
        page.on("console", lambda said: complaints.append(said.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda r: None if r.url.startswith(("file:", "data:"))
                else complaints.append(r.url))  # fmt: skip
        page.goto(page_file.as_uri())
        seen = page.evaluate("""async () => {
            const pair = document.querySelector('.pair'), screen = pair.querySelector('.screen');
            const seen = [];
            new MutationObserver(() => seen.push(screen.dataset.now + screen.dataset.frame))
                .observe(screen, {attributes: true, attributeFilter: ['data-frame']});
            pair.focus();
            while (seen.length < 30) await new Promise((done) => setTimeout(done, 20));
            pair.blur();
            return seen;
        }""")
        page.click(".pair")
        page.keyboard.press(".")
        large = page.get_attribute(".stage .screen", "data-frame")
        browser.close()
    cut = answer.cuts[0]
    last, first = f"A{cut.outgoing.clear.last}", f"B{cut.incoming.clear.first}"
    assert seen[seen.index(last) + 1] == first
    again = seen.index(seen[0], 1)
    assert seen[again] == seen[0]
    assert again <= 2 * PICTURES
    assert large
    assert complaints == []


def test_timelines_speak_the_sources_own_frames(lake: Lake, tmp_path: Path) -> None:
    """
    A source at 59.94 is cut at its own frames, two for each of its encode's; what is shown meets
    the cut and is a second long, or the shot.
    """
    answer = lake.match(["two"], top=3)
    made = otio.adapters.read_from_string(timelines.timeline(lake.project, answer), "otio_json")
    clips = list(made.find_clips())
    rate = Fraction(60000, 1001)
    for cut, out, into in zip(answer.cuts, clips[::2], clips[1::2], strict=True):
        assert out.source_range.start_time.rate == float(rate)
        assert out.source_range.end_time_exclusive().value == 2 * cut.outgoing.clear.end
        assert into.source_range.start_time.value == 2 * cut.incoming.clear.start
        shots = (2 * len(cut.outgoing.clear), 2 * len(cut.incoming.clear))
        lengths = [clip.source_range.duration.value for clip in (out, into)]
        assert lengths == [min(60, length) for length in shots]
        assert out.media_reference.available_range.duration.value == 232
        assert Path(out.media_reference.target_url.removeprefix("file://")).name == "two.mp4"
    text = edl.edit_list(lake.project, answer, seconds=0.25)
    starts = re.findall(r"V     C        (\S+) (\S+)", text)
    for cut, (_, end) in zip(answer.cuts, starts[::2], strict=True):
        assert otio.opentime.from_timecode(end, float(rate)).value == 2 * cut.outgoing.clear.end


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_handles_that_cannot_be_are_refused(lake: Lake, seconds: float) -> None:
    """
    A timeline shows more than nothing of a shot.
    """
    with pytest.raises(RequestError, match="--handles"):
        timelines.timeline(lake.project, lake.match(top=1), seconds)
    with pytest.raises(RequestError, match="no match cuts"):
        timelines.timeline(lake.project, lake.match(where="year = 1"), 1.0)


def test_a_source_of_variable_rate_is_cut_by_the_encodes_clock(tmp_path: Path) -> None:
    """
    Where frames of the source do not follow each other evenly, times are the encode's, and the
    lists say so.
    """
    video = {
        "index": 0, "codec": "h264", "width": 1, "height": 1, "sample_aspect": "1", "rotation": 0,
        "mirrored": False, "pixel_format": "", "transfer": 2, "primaries": 2, "matrix": 2,
        "full_range": False, "hdr": None, "interlaced": False, "decodable": True,
        "frame_rate": "60", "constant_rate": False, "frame_count": 99, "declared_frames": None,
        "hidden_packets": 0, "packet_count": 99, "start_seconds": "0", "duration_seconds": "4",
        "longest_gap_seconds": "1", "default": True, "language": "",
    }  # fmt: skip
    technical = {"kind": "video", "container": "mov", "duration_seconds": "4", "start_seconds": "0",
                 "videos": [video], "audios": [], "texts": [], "others": []}  # fmt: skip
    looks = dict.fromkeys(("vector", "first_vector", "last_vector"), turned([0, 90, 5], DIMENSIONS))
    film = ShelfFilm("Phone", [30, 30, 60], {"shot_composition": looks}, rate=Fraction(30),
                     technical=technical, file="a\nb – phone.mp4")  # fmt: skip
    lake = shelf(tmp_path, [film])
    text = edl.edit_list(lake.project, lake.match())
    assert "NO CONSTANT FRAME RATE" in text
    assert "00:00:00:00 00:00:01:00 " in text
    assert "* SOURCE FILE: a b – phone.mp4" in text


def test_what_one_format_cannot_hold_keeps_no_other_from_being_written(
    lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Titles of two rates fit no edit decision list: it is not written and that is said once; the
    cuts are printed and the timeline is written.
    """
    where = ["--project", str(ROOT), "--store", lake.project.location]
    edl_file, otio_file = tmp_path / "cuts.edl", tmp_path / "cuts.otio"
    assert main([*where, "match", "--edl", str(edl_file), "--otio", str(otio_file)]) == 2
    told = capsys.readouterr()
    assert otio_file.exists()
    assert not edl_file.exists()
    assert f"Timeline: {otio_file}" in told.out
    assert told.err.count("cuts.edl was not written: the sources run at") == 1


def test_the_command_writes_what_it_was_asked_for(
    lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    One call prints the cuts and writes sheet and timelines; --json prints one object a cut, with
    the score of each flavour; 'evaluate' prints a table.
    """
    where = ["--project", str(ROOT), "--store", lake.project.location]
    files = [tmp_path / "new" / name for name in ("cuts.html", "cuts.otio", "cuts.edl")]
    asked = ["match", "one", "--top", "2", "--flavour", "composition=3", "--flavour", "motion"]
    assert main([*where, *asked, "--html", str(files[0]), "--otio", str(files[1]),
                 "--edl", str(files[2]), "--no-previews"]) == 0  # fmt: skip
    out = capsys.readouterr().out
    assert [path.exists() for path in files] == [True] * 3
    assert all(str(path) in out for path in files)
    assert "composition: blocks of pairs of assets: 1 of 1 from the store." in out
    assert main([*where, *asked, "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [set(row["scores"]) for row in rows] == [{"composition", "motion"}] * 2
    assert rows[0]["score"] == pytest.approx(
        0.75 * rows[0]["scores"]["composition"] + 0.25 * rows[0]["scores"]["motion"]
    )
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("title_a,shot_a,title_b,shot_b,label\none,0,one,2,1\none,0,one,3,0\n")
    assert main([*where, "evaluate", str(pairs), "--samples", "20"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0].split() == ["flavour", "title", "pairs", "positive", "AP", "from", "to",
                                "P@5", "P@10", "P@50"]  # fmt: skip
    assert {line.split()[0] for line in table[1:]} == {"composition", "motion", "continuity"}
    assert main([*where, "match", "--where", "year >"]) == 2
    assert "year needs a whole number at its end" in capsys.readouterr().err
