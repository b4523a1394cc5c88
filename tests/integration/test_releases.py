"""Who sees which recipe: runs fill beside what readers see, and releases move whole sets."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from copal.cli.command import main
from copal.errors import RequestError, WriteConflict
from copal.fingerprint import RecipeId
from copal.lake import Lake
from copal.registry import FeatureName
from copal.store import open_folder
from copal.store.releases import Released, Releases
from tests.integration.repository import Repository
from tests.integration.test_recompute import SHIFTED

FEATURES = ("levels", "cuts", "spans", "alike")


@pytest.fixture
def shifted(filled: Repository) -> Repository:
    """A filled repository in which 'cuts' has a second version, not run yet, with other rows."""
    filled.raise_version("cuts")
    filled.edit(*SHIFTED, name="quick/features.py")
    return filled


def seen(lake: Lake, *features: str) -> dict[str, list[dict[str, Any]]]:
    """What readers see of features."""
    return {name: lake.rows(name).to_pylist() for name in features or FEATURES}


def released(lake: Lake) -> dict[str, int]:
    """Feature → how many recipes of it were released, one after the other."""
    sets = [each.feature for move in lake.releases.moves() for each in move.set]
    return {name: sets.count(name) for name in FEATURES}


def test_the_first_run_releases_what_it_computes(filled: Repository) -> None:
    """
    After the first run its recipes are released, as one set; a run with nothing to do moves none.
    """
    lake = filled.lake()
    (move,) = lake.releases.moves()
    assert [each.feature for each in move.set] == list(FEATURES)
    assert (move.kind, move.why) == ("automatic", "complete")
    lake.run(engine="inline")
    assert len(lake.releases.moves()) == 1


def test_a_release_that_fails_loses_no_report(
    shifted: Repository, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    A run whose values are stored and whose release meets others says both; the next one releases.
    """

    def away(*_: Any, **__: Any) -> bool:
        raise WriteConflict("others kept releasing.")

    with monkeypatch.context() as patched:
        patched.setattr(Releases, "move", away)
        assert main(["--project", str(shifted.root), "run", "--engine", "inline"]) == 0
    said = capsys.readouterr().out
    assert " computed, " in said
    assert "was not released: others kept releasing. The next 'copal run' releases it." in said
    lake = shifted.lake()
    (run, *_) = lake.runs()
    assert run.state == "done"
    assert released(lake)["cuts"] == 1
    shifted.run()
    assert released(shifted.lake())["cuts"] == 2


def test_readers_see_the_old_until_the_new_is_complete(shifted: Repository) -> None:
    """
    While a new recipe is filled, readers see the old one of every title; once it is complete, the
    new one, of every feature that follows from it too.
    """
    lake = shifted.lake()
    before = seen(lake)
    lake.run(titles=["calm", "busy"], engine="inline")
    assert seen(lake) == before
    assert seen(lake, "cuts@today")["cuts@today"] != before["cuts"]
    lines = shifted.copal("status").out.splitlines()
    assert "cuts: v1 released; v2: 2 of 4." in lines
    assert [line.partition(" (")[0] for line in lines if line.startswith("alike: ")] == [
        "alike: v1"
    ]
    lake.run(engine="inline")
    after = seen(lake)
    assert after["levels"] == before["levels"]
    assert all(after[name] != before[name] for name in ("cuts", "spans", "alike"))
    assert after["cuts"] == seen(lake, "cuts@today")["cuts@today"]
    assert seen(lake, "cuts@v1")["cuts@v1"] == before["cuts"]
    assert [each.feature for each in lake.releases.moves()[-1].set] == ["cuts", "spans", "alike"]
    assert "released;" not in shifted.copal("status").out


def test_a_need_alone_may_move_and_its_followers_keep_theirs(shifted: Repository) -> None:
    """
    A run of one feature releases it; what follows from it is read as it was, with the old one.
    """
    lake = shifted.lake()
    before = seen(lake)
    lake.run(["cuts"], engine="inline")
    after = seen(lake)
    assert after["cuts"] != before["cuts"]
    assert (after["spans"], after["alike"]) == (before["spans"], before["alike"])
    about = lake.seen("alike")
    assert about.rows("cuts").to_pylist() == before["cuts"]


def test_a_manual_release_waits_for_a_person(shifted: Repository) -> None:
    """
    With 'release: manual' a complete recipe waits, and what follows from it waits too, until it is
    promoted.
    """
    shifted.edit("  cuts:\n", "  cuts:\n    release: manual\n")
    lake = shifted.lake()
    before = seen(lake)
    lake.run(engine="inline")
    assert seen(lake) == before
    shifted.copal("promote", "cuts", "spans", "alike", "--why", "better")
    assert all(seen(lake)[name] != before[name] for name in ("cuts", "spans", "alike"))
    move = lake.releases.moves()[-1]
    assert (move.kind, move.why, len(move.set)) == ("promote", "better", 3)


def test_after_a_manual_need_moved_its_followers_move_by_themselves(shifted: Repository) -> None:
    """
    Once a person promoted the need, the next run releases what was complete and waited for it.
    """
    shifted.edit("  cuts:\n", "  cuts:\n    release: manual\n")
    lake = shifted.lake()
    lake.run(engine="inline")
    found = lake.releases.promote(["cuts"])
    assert [step.feature for step in found.steps] == ["cuts"]
    (told,) = [each for each in found.told if each.startswith("'spans'")]
    assert "was made from 'cuts' v1" in told
    lake.run(engine="inline")
    assert [each.feature for each in lake.releases.moves()[-1].set] == ["spans", "alike"]


def test_promoting_with_needs_moves_a_consistent_set(shifted: Repository) -> None:
    """
    --with-needs moves a feature with all that it was made from, and tells nothing differs.
    """
    shifted.edit("project: quick", "project: quick\nrelease: manual")
    lake = shifted.lake()
    lake.run(engine="inline")
    assert len(lake.releases.moves()) == 1
    dry = lake.releases.promote(["alike"], with_needs=True, dry_run=True)
    assert [step.feature for step in dry.steps] == ["cuts", "spans", "alike"]
    assert (dry.told, dry.number) == ((), None)
    assert len(lake.releases.moves()) == 1
    assert lake.releases.promote(["alike"], with_needs=True).number == 2
    assert released(lake) == {"levels": 1, "cuts": 2, "spans": 2, "alike": 2}
    assert lake.releases.promote(["alike"], with_needs=True).steps == ()


def test_an_incomplete_recipe_is_promoted_only_by_force(shifted: Repository) -> None:
    """
    Readers do not lose values unless somebody says so.
    """
    lake = shifted.lake()
    lake.run(titles=["calm"], engine="inline")
    ran = shifted.copal("promote", "cuts", code=2)
    assert "has 1 of the 4 values that readers see: they would miss 3." in ran.err
    assert len(lake.releases.moves()) == 1
    shifted.copal("promote", "cuts", "--force")
    assert len({row["asset_id"] for row in seen(lake, "cuts")["cuts"]}) == 1
    nothing = shifted.copal("promote", "cuts@v3", code=2)
    assert "nothing was stored under this version" in nothing.err


def test_a_rollback_is_seen_at_once_and_stays(shifted: Repository) -> None:
    """
    A rollback brings the whole last set back, is not undone by the next run, and is undone by
    promoting.
    """
    lake = shifted.lake()
    before = seen(lake)
    lake.run(engine="inline")
    after = seen(lake)
    (first, *_, note) = shifted.copal("rollback").out.splitlines()
    assert first.split()[:3] == ["cuts", "v2", f"({lake.project.recipe('cuts@today').id[:8]})"]
    assert note == "Move 3: rolled back."
    assert seen(lake) == before
    lake.run(engine="inline")
    assert seen(lake) == before
    with pytest.raises(RequestError, match="had no other release before"):
        lake.releases.rollback()
    lake.releases.promote(["cuts", "spans", "alike"])
    assert seen(lake) == after
    lake.releases.rollback(to="1")
    assert seen(lake) == before


def test_rolling_back_twice_goes_back_twice(filled: Repository) -> None:
    """
    Each rollback of a feature goes one release further back, not forward again.
    """
    rows = []
    for jump in ("9.0", "12.5", "60.0"):
        filled.edit("jump: 9.0", f"jump: {jump}")
        filled.lake().run(["cuts"], engine="inline")
        rows.append(filled.lake().project.recipe("cuts").id)
        filled.edit(f"jump: {jump}", "jump: 9.0")
    filled.edit("jump: 9.0", "jump: 60.0")
    lake = filled.lake()
    for expected in (rows[1], rows[0]):
        lake.releases.rollback(["cuts"])
        assert lake.project.recipe("cuts").id == expected
    with pytest.raises(RequestError, match="'cuts' had no other release before"):
        lake.releases.rollback(["cuts"])
    with pytest.raises(RequestError, match="there is no move of this number"):
        lake.releases.rollback(to="99")


def test_an_edit_that_is_taken_back_is_released_back(filled: Repository) -> None:
    """
    When the registry goes back to what it was, so do readers, though nothing is computed.
    """
    lake = filled.lake()
    before = seen(lake)
    filled.edit("jump: 9.0", "jump: 200.0")
    filled.lake().run(engine="inline")
    assert seen(filled.lake()) != before
    filled.edit("jump: 200.0", "jump: 9.0")
    report = filled.lake().run(engine="inline")
    assert report.run_id == ""
    assert seen(filled.lake()) == before


def test_a_recipe_that_fails_everywhere_is_not_released(shifted: Repository) -> None:
    """
    What fails for good on everything that readers see stays beside, however complete it is.
    """
    lake = shifted.lake()
    before = seen(lake)
    (shifted.signs / "cuts.fail").touch()
    assert lake.run(engine="inline").failed
    assert seen(lake) == before
    assert "cuts: v1 released; v2: 0 of 4, 4 failed for good." in shifted.copal("status").out
    with pytest.raises(RequestError, match="has no values"):
        lake.releases.promote(["cuts"])


def test_a_title_that_fails_for_good_holds_nobody_up(shifted: Repository) -> None:
    """
    A permanent failure under the new recipe is told, and the others are released.
    """
    lake = shifted.lake()
    (shifted.signs / "cuts.fail").touch()
    assert lake.run(["cuts"], titles=["calm"], engine="inline").failed
    (shifted.signs / "cuts.fail").unlink()
    lake.run(engine="inline")
    assert released(lake) == {"levels": 1, "cuts": 2, "spans": 2, "alike": 2}
    calm = lake.project.asset("calm").id
    assert calm not in {row["asset_id"] for row in seen(lake, "spans")["spans"]}
    (step,) = lake.releases.rollback(["alike"]).steps
    assert (step.cover.seen, step.cover.kept) == (6, 6)


def test_both_engines_release(filled: Repository) -> None:
    """
    A Metaflow run releases what it completed, as the inline engine does.
    """
    filled.raise_version("cuts")
    filled.edit(*SHIFTED, name="quick/features.py")
    filled.run(engine="metaflow")
    lake = filled.lake()
    assert [each.feature for each in lake.releases.moves()[-1].set] == ["cuts", "spans", "alike"]


def test_no_reader_sees_two_recipes_at_once(shifted: Repository) -> None:
    """
    While a set is promoted and rolled back without pause, every question is answered from one.
    """
    lake = shifted.lake()
    states = [{n: lake.rows(n) for n in FEATURES}]
    lake.run(engine="inline")
    states.append({n: lake.rows(n) for n in FEATURES})
    over = threading.Event()
    wrong: list[BaseException] = []

    def move() -> None:
        mover = shifted.lake()
        try:
            while not over.is_set():
                mover.releases.rollback(to="1")
                mover.releases.promote(["cuts", "spans", "alike"])
        except BaseException as exc:
            wrong.append(exc)

    thread = threading.Thread(target=move)
    thread.start()
    found: list[dict[str, pa.Table]] = []
    try:
        for _ in range(25):
            about = lake.seen()
            found.append({name: about.rows(name) for name in reversed(FEATURES)})
            pinned = lake.seen("alike")
            found.append({name: pinned.rows(name) for name in FEATURES})
    finally:
        over.set()
        thread.join()
    assert wrong == []
    assert all(each in states for each in found)
    assert all(state in found for state in states)


def test_a_snapshot_is_read_by_its_name(shifted: Repository) -> None:
    """
    What a snapshot named is read by FEATURE@NAME, by --at NAME and by copal.open(at=NAME), after
    other recipes were released and other films came.
    """
    import copal

    lake = shifted.lake()
    before = seen(lake)
    shifted.copal("snapshot", "create", "spring")
    lake.run(engine="inline")
    assert seen(lake, "cuts@spring")["cuts@spring"] == before["cuts"]
    assert seen(copal.open(shifted.root, at="spring")) == before
    shown = shifted.copal("show", "spans", "--at", "spring", "--json").objects
    assert shown == before["spans"]
    shown = shifted.copal("show", "spans@spring", "--json").objects
    assert shown == before["spans"]
    assert "no snapshot 'summer'" in shifted.copal("show", "spans", "--at", "summer", code=2).err
    assert "write FEATURE@v1" in shifted.copal("show", "spans", "--at", "v1", code=2).err
    assert "nor a snapshot" in shifted.copal("show", "spans@summer", code=2).err


def test_a_version_that_is_not_there_is_the_requests_fault(filled: Repository) -> None:
    """
    Asking for what was never stored exits 2 and says what there is.
    """
    for asked in (["cuts@v9"], ["cuts", "--version", "9"]):
        ran = filled.copal("show", *asked, code=2)
        assert "nothing was stored under this version. There is v1 (" in ran.err
    assert "write FEATURE@release" in filled.copal("show", "cuts@", code=2).err


def test_releases_are_told(shifted: Repository) -> None:
    """
    'copal releases' says which recipe readers see, since when, and how far today's is.
    """
    shifted.lake().run(titles=["calm"], engine="inline")
    told = {each["feature"]: each for each in shifted.copal("releases", "--json").objects}
    assert list(told) == list(FEATURES)
    assert (told["cuts"]["version"], told["cuts"]["today_version"]) == (1, 2)
    assert (told["cuts"]["seen"], told["cuts"]["kept"]) == (4, 1)
    assert told["levels"]["recipe"] == told["levels"]["today"]
    (line,) = [
        line for line in shifted.copal("releases").out.splitlines() if line.startswith("cuts")
    ]
    assert line.endswith("v1 released; v2: 1 of 4")
    (move,) = shifted.copal("releases", "--history", "--json").objects
    assert set(move["set"]) == set(FEATURES)
    assert json.dumps(move["set"]["cuts"]) in shifted.copal("releases", "cuts", "--json").out


def test_releases_in_s3(s3: dict[str, str], tmp_path: Path) -> None:
    """
    In a bucket too, of those who decided on the same state one moves and the others are told.
    """
    releases = Releases(open_folder(s3["COPAL_STORE"], tmp_path))
    told: list[bool] = []
    start = threading.Barrier(4)

    def move(name: str) -> None:
        what = Released(FeatureName("cuts"), RecipeId(name), 1)
        start.wait()
        told.append(releases.move([what], seen=0, kind="promote", by=name))

    racers = [threading.Thread(target=move, args=(f"r{n}",)) for n in range(4)]
    for each in racers:
        each.start()
    for each in racers:
        each.join()
    assert sorted(told) == [False, False, False, True]
    (made,) = releases.history()
    assert releases.current() == {"cuts": made.by}
