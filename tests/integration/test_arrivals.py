"""Files that come again: retagged, renamed, remuxed, trimmed; what is computed again for each."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from copal.demo import sample_film
from tests.integration.repository import Repository, contents
from tests.media import ffmpeg


@pytest.fixture
def media(tmp_path: Path, films: Path) -> Path:
    """Films of the test's own."""
    return Path(shutil.copytree(films, tmp_path / "media"))


@pytest.fixture
def stored(repository: Repository, media: Path) -> Repository:
    """A repository in whose store everything about the films is."""
    assert set(decisions(repository, media).values()) == {"new"}
    repository.lake().run(engine="inline")
    return repository


def decisions(repository: Repository, *paths: Path) -> dict[str, str]:
    """File name → decision."""
    arrivals = repository.lake().add(paths)
    return {each.locator.rpartition("/")[2]: each.decision for each in arrivals}


def places(repository: Repository) -> dict[str, str | None]:
    """File name → asset."""
    found = repository.lake().project.catalog.places()
    return {place.locator.rpartition("/")[2]: place.asset for place in found}


def test_what_was_added_before_is_unchanged(stored: Repository, media: Path) -> None:
    """
    Adding the same files again changes nothing.
    """
    assert set(decisions(stored, media).values()) == {"unchanged"}
    assert stored.lake().plan().cells == 0


def test_retagged_renamed_and_remuxed_files_compute_nothing(
    stored: Repository, media: Path
) -> None:
    """
    Other tags, another name, another container: the same essences, so nothing is missing.
    """
    before, kept = contents(stored.lake()), places(stored)
    tags = ("-metadata", "title=Something else", "-metadata", "comment=" + "x" * 5000)
    ffmpeg("-i", media / "calm.mp4", "-map", "0", "-c", "copy", *tags, media / "tagged.mp4")
    (media / "tagged.mp4").replace(media / "calm.mp4")
    (media / "brisk.mp4").rename(media / "renamed.mp4")
    ffmpeg("-i", media / "busy.mp4", "-map", "0", "-c", "copy", media / "busy.mkv")
    (media / "busy.mp4").unlink()
    shutil.copy(media / "one_take.mp4", media / "copy.mp4")

    assert decisions(stored, media) == {
        "busy.mkv": "moved",
        "calm.mp4": "revised",
        "copy.mp4": "known",
        "one_take.mp4": "unchanged",
        "renamed.mp4": "moved",
    }
    lake = stored.lake()
    assert lake.plan().cells == 0
    assert contents(lake) == before
    assert places(stored) == {
        "busy.mkv": kept["busy.mp4"],
        "calm.mp4": kept["calm.mp4"],
        "copy.mp4": kept["one_take.mp4"],
        "one_take.mp4": kept["one_take.mp4"],
        "renamed.mp4": kept["brisk.mp4"],
    }
    assert {asset.name for asset in lake.assets()} == {
        "busy.mp4", "calm.mp4", "one_take.mp4", "brisk.mp4",
    }  # fmt: skip
    forced = lake.run(force=["levels"], engine="inline")
    assert dict(forced.outcomes["levels"]) == {"stored": 4}, "read from where the files are now"
    assert contents(lake) == before


def test_another_film_under_an_old_name_is_another_asset(stored: Repository, media: Path) -> None:
    """
    A trimmed file in the old one's place is a new asset with cells of its own; the old one's
    values stay.
    """
    before, kept = contents(stored.lake()), places(stored)
    ffmpeg("-i", media / "calm.mp4", "-map", "0", "-c", "copy", "-t", "0.4", media / "trimmed.mp4")
    (media / "trimmed.mp4").replace(media / "calm.mp4")
    assert decisions(stored, media)["calm.mp4"] == "replaced"
    lake = stored.lake()
    assert len(lake.assets()) == 5
    assert places(stored)["calm.mp4"] != kept["calm.mp4"]
    assert {part.feature: len(part.cells) for part in lake.plan()} == {
        "levels": 1, "cuts": 1, "spans": 1, "alike": 5,
    }  # fmt: skip
    lake.run(engine="inline")
    after = contents(lake)
    for key, values in before.items():
        assert values.items() <= after[key].items()


def test_a_new_sound_track_is_no_other_input_to_what_reads_pictures(
    repository: Repository, media: Path
) -> None:
    """
    A dub is another asset, but to a feature that reads only pictures its inputs are equal.
    """
    feature = "quick/features.py"
    repository.edit(
        'tools: ClassVar[tuple[str, ...]] = ("av",)',
        'tools: ClassVar[tuple[str, ...]] = ("av",)\n'
        '    reads: ClassVar[tuple[str, ...]] = ("video",)',
        name=feature,
    )
    decisions(repository, media / "calm.mp4")
    repository.lake().run(engine="inline")
    ffmpeg(
        *("-i", media / "calm.mp4", "-f", "lavfi", "-i", "sine=f=880:r=48000"),
        *("-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", "aac", "-t", "0.58"),
        media / "dubbed.mp4",
    )
    assert decisions(repository, media / "dubbed.mp4") == {"dubbed.mp4": "new"}
    one, other = repository.lake().assets()
    digests = [{e.kind: e.digest for e in asset.essences} for asset in (one, other)]
    assert digests[0]["video"] == digests[1]["video"]
    assert digests[0]["audio"] != digests[1]["audio"]
    repository.lake().run(engine="inline")
    (values,) = (v for (f, _), v in contents(repository.lake()).items() if f == "levels")
    assert len({value["inputs_digest"] for value in values.values()}) == 1
    assert len({value["value_digest"] for value in values.values()}) == 1


def test_words_about_titles_change_titles_and_nothing_else(stored: Repository, media: Path) -> None:
    """
    A titles.yaml that comes later renames titles; nothing is computed again.
    """
    (media / "titles.yaml").write_text(
        'calm.mp4: {title: "The Calm", year: 2026}\nbrisk.mp4: Brisk Walk\n'
    )
    found = decisions(stored, media)
    assert {name for name, decision in found.items() if decision == "retitled"} == {
        "calm.mp4",
        "brisk.mp4",
    }
    lake = stored.lake()
    assert lake.plan().cells == 0
    assert {title.name for title in lake.titles()} >= {"The Calm", "Brisk Walk", "busy"}
    assert {asset.title for asset in lake.assets()} == {
        "the-calm", "brisk-walk", "busy", "one_take",
    }  # fmt: skip
    assert lake.rows("cuts", ["The Calm"])["frame_index"].to_pylist() == [8]


def test_a_file_that_is_gone_fails_alone(repository: Repository, media: Path) -> None:
    """
    A file removed after it was added is one failed cell that says where it was; put back, the
    next run computes it.
    """
    decisions(repository, media)
    (media / "calm.mp4").rename(media / "elsewhere")
    report = repository.lake().run(["levels"], engine="inline")
    assert dict(report.outcomes["levels"]) == {"stored": 3, "failed": 1}
    (message,) = report.errors["levels"].values()
    assert message.startswith("calm.mp4 (")
    assert f"not at {media / 'calm.mp4'} any more. Put it back" in message
    (media / "elsewhere").rename(media / "calm.mp4")
    run = repository.lake().run(["levels"], engine="inline")
    assert dict(run.outcomes["levels"]) == {"stored": 1}


def test_a_file_renamed_while_a_worker_runs_is_found(repository: Repository, media: Path) -> None:
    """
    A worker looks again where a file is now before it says that the file is gone.
    """
    from copal.errors import MissingMedia
    from copal.flow.worker import make_worker

    decisions(repository, media)
    lake = repository.lake()
    worker = make_worker(lake.project, ["levels"], {})
    asset = lake.project.asset("calm")
    (media / "calm.mp4").rename(media / "calm2.mp4")
    with pytest.raises(MissingMedia, match="Put it back"):
        worker.open_source(asset)
    decisions(repository, media)
    assert worker.open_source(asset).path == media / "calm2.mp4"


def test_sample_films_differ(tmp_path: Path) -> None:
    """
    Two films of other lengths have other essences, or none of these tests would mean a thing.
    """
    from copal.media.essence import inspect

    for index, shots in enumerate([(8, 6), (8, 7)]):
        sample_film(tmp_path / f"{index}.mp4", shots)
    assert inspect(tmp_path / "0.mp4").asset != inspect(tmp_path / "1.mp4").asset
