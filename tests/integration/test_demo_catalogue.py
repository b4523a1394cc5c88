"""The demo catalogue: its films are what their truth says they are."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from fractions import Fraction
from itertools import combinations, pairwise
from pathlib import Path

import av
import numpy as np
import pytest
import yaml

from copal.demo import Catalogue, catalogue, make_catalogue, sample_film
from copal.demo.film import Film
from copal.errors import MediaError


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    return make_catalogue(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def pictures(demo: Catalogue) -> dict[str, list[np.ndarray]]:
    """Every frame of every film, (144, 256, 3) uint8 BGR."""
    return {title.title: list(frames(title.path)) for title in demo.titles}


def frames(path: Path) -> Iterator[np.ndarray]:
    with av.open(path) as container:
        for frame in container.decode(video=0):
            yield frame.reformat(256, 144, "bgr24", interpolation="AREA").to_ndarray()


def test_films_are_as_long_and_as_fast_as_declared(
    demo: Catalogue, pictures: dict[str, list[np.ndarray]]
) -> None:
    """
    Each film has its declared frames and exact rate, about 40 seconds, at least 12 shots, sound.
    """
    assert {t.frame_rate for t in demo.titles} == {
        Fraction(24),
        Fraction(25),
        Fraction(24000, 1001),
    }
    for title in demo.titles:
        frame_count = title.shots[-1].end
        assert len(pictures[title.title]) == frame_count
        assert len(title.shots) >= 12
        with av.open(title.path) as container:
            assert container.streams.video[0].average_rate == title.frame_rate
            (sound,) = container.streams.audio
            assert float(sound.duration * sound.time_base) == pytest.approx(
                float(frame_count / title.frame_rate), abs=0.05
            )
        assert 38 < frame_count / title.frame_rate < 45


def test_shots_tile_the_film(demo: Catalogue) -> None:
    """
    Shots follow each other without a gap, and each but the first begins with a cut or a fade.
    """
    for title in demo.titles:
        starts = [frames.start for frames in title.shots]
        assert starts == [0, *(frames.end for frames in title.shots[:-1])]
        middles = [(fade.start + fade.end) // 2 for fade in title.fades]
        assert sorted([*title.cuts, *middles]) == starts[1:]


def test_a_content_detector_finds_every_cut_and_no_other(
    demo: Catalogue, pictures: dict[str, list[np.ndarray]]
) -> None:
    """
    PySceneDetect's ContentDetector at its usual threshold finds the declared cuts, to the frame.
    """
    from scenedetect import ContentDetector, FrameTimecode

    for title in demo.titles:
        detector, found = ContentDetector(threshold=27.0), []
        for index, picture in enumerate(pictures[title.title]):
            at = FrameTimecode(index, title.frame_rate)
            found += detector.process_frame(at, picture)
        assert [cut.frame_num for cut in found] == list(title.cuts)


def test_one_film_fades_through_black(
    demo: Catalogue, pictures: dict[str, list[np.ndarray]]
) -> None:
    """
    Exactly one film goes dark, in the middle of its declared fade, and nowhere else.
    """
    assert sum(len(title.fades) for title in demo.titles) == 1
    for title in demo.titles:
        dark = {i for i, p in enumerate(pictures[title.title]) if p.mean() < 12}
        middles = [(fade.start + fade.end) // 2 for fade in title.fades]
        assert all({m - 1, m} <= dark for m in middles)
        assert all(any(i in fade for fade in title.fades) for i in dark)


def test_set_ups_return(demo: Catalogue, pictures: dict[str, list[np.ndarray]]) -> None:
    """
    Shots of one set-up look more alike than any two shots of different set-ups, yet differ.
    """
    for title in demo.titles:
        same = set(title.returning)
        assert len(same) >= 4
        middles = [pictures[title.title][s.middle].astype(np.float32) for s in title.shots]
        # Mean difference of two pictures after a blur of about a twentieth of their width.
        blurred = [m.reshape(12, 12, 16, 16, 3).mean((1, 3)) for m in middles]
        apart = {
            (i, j): float(np.abs(blurred[i] - blurred[j]).mean())
            for i, j in combinations(range(len(middles)), 2)
        }
        assert max(apart[pair] for pair in same) < min(v for k, v in apart.items() if k not in same)
        assert all(np.abs(middles[i] - middles[j]).mean() > 0.5 for i, j in same)


def test_rhymes_join_two_films(demo: Catalogue) -> None:
    """
    Every rhyme joins shots of two different films, and each names a shot that exists.
    """
    shots = {title.title: len(title.shots) for title in demo.titles}

    assert len(demo.rhymes) >= 20
    for (one, first), (other, second) in demo.rhymes:
        assert one != other
        assert first < shots[one]
        assert second < shots[other]


def test_truth_and_titles_lie_beside_the_films(demo: Catalogue) -> None:
    """
    ``truth.json`` repeats what the catalogue says, and ``titles.yaml`` names every film.
    """
    truth = json.loads((demo.folder / "truth.json").read_text())
    names = yaml.safe_load((demo.folder / "titles.yaml").read_text())

    assert set(truth["films"]) == set(names) == {title.path.name for title in demo.titles}
    for title in demo.titles:
        said = truth["films"][title.path.name]
        assert said["cuts"] == list(title.cuts)
        assert Fraction(said["frame_rate"]) == title.frame_rate
        assert said["shots"] == [[s.start, s.end] for s in title.shots]
        assert names[title.path.name] == {"title": title.title, "year": title.year, "kind": "film"}
    assert {p.name for p in demo.folder.iterdir()} == {*names, "truth.json", "titles.yaml"}


def test_films_that_are_there_are_kept(demo: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Making the catalogue again paints nothing, and one missing film is painted alone.
    """
    painted = recorded(monkeypatch)
    before = {t.path: t.path.stat().st_mtime_ns for t in demo.titles}

    assert make_catalogue(demo.folder) == demo
    assert painted == []
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_films_of_an_older_copal_are_painted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Films whose truth is of another version are replaced; a film that is missing is made alone.
    """
    painted = recorded(monkeypatch)
    (tmp_path / "truth.json").write_text('{"version": 0}')
    (tmp_path / "harbour.mp4").write_bytes(b"older")

    make_catalogue(tmp_path)
    assert sorted(painted) == ["harbour.mp4", "night_train.mp4", "the_clockmaker.mp4"]
    (tmp_path / "night_train.mp4").unlink()
    make_catalogue(tmp_path)
    assert painted[3:] == ["night_train.mp4"]


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the films painted from now on; they become empty files."""
    painted: list[str] = []

    def note(film: Film, path: Path, size: tuple[int, int]) -> None:
        painted.append(film.file)
        path.write_bytes(b"")

    monkeypatch.setattr(catalogue, "encode", note)
    return painted


def test_a_film_that_cannot_be_written_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    When ffmpeg fails, its own words are in the error and no part of the film stays behind.
    """
    broken = tmp_path / "ffmpeg"
    broken.write_text("#!/bin/sh\necho 'No space left on device' >&2\nexit 3\n")
    broken.chmod(broken.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(catalogue, "binary", lambda: broken)
    folder = tmp_path / "films"
    folder.mkdir()

    with pytest.raises(MediaError, match=r"film\.mp4: .*\(exit 3\): No space left on device"):
        sample_film(folder / "film.mp4")
    assert list(folder.iterdir()) == []


def test_a_sample_film_has_the_shots_it_was_asked_for(tmp_path: Path) -> None:
    """
    A sample film's cuts are where its shot lengths put them, and it has the same bytes each time.
    """
    one, other = tmp_path / "one.mp4", tmp_path / "other.mp4"
    cuts = sample_film(one, (20, 30, 10), frame_rate=Fraction(30000, 1001))
    sample_film(other, (20, 30, 10), frame_rate=Fraction(30000, 1001))

    assert cuts == (20, 50)
    seen = [picture.astype(np.int16) for picture in frames(one)]
    jumps = [int(np.abs(b - a).mean() > 20) for a, b in pairwise(seen)]
    assert [i + 1 for i, jump in enumerate(jumps) if jump] == [20, 50]
    assert len(seen) == 60
    assert one.read_bytes() == other.read_bytes()


def test_a_sample_film_may_be_silent(tmp_path: Path) -> None:
    """
    Without sound there is no audio stream at all.
    """
    sample_film(tmp_path / "silent.mp4", (12,), sound=False)

    with av.open(tmp_path / "silent.mp4") as container:
        assert len(container.streams.audio) == 0
        assert len(container.streams.video) == 1
