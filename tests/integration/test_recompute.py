"""What is computed again when something changes, and why: only what must, each with its reason."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from tests.integration.repository import Contents, Repository, contents

SHIFTED = ("apart > self.jump).astype(np.int32) + 1", "apart > self.jump).astype(np.int32)")
"""An edit of the source after which 'cuts' finds each cut one frame earlier."""


def to_compute(repository: Repository, **how: list[str]) -> dict[str, tuple[int, str]]:
    """Feature → cells and reasons, of those that have any."""
    plan = repository.lake().plan(**how)
    return {part.feature: (len(part.cells), part.sentence()) for part in plan if part.cells}


def outcomes(repository: Repository, **how: list[str]) -> dict[str, dict[str, int]]:
    """Run inline; feature → outcome → cells."""
    report = repository.lake().run(engine="inline", **how)
    return {feature: dict(counts) for feature, counts in report.outcomes.items()}


def test_version_bump_recomputes_only_downstream(filled: Repository) -> None:
    """
    After a feature's version goes up, it and what needs it run again; nothing else does, and where
    a new value is as the old one was, what follows from it is carried over.
    """
    before = contents(filled.lake())
    filled.raise_version("cuts")
    filled.edit(*SHIFTED, name="quick/features.py")
    assert to_compute(filled) == {
        "cuts": (4, "version 1 → 2"),
        "spans": (4, "input changed (cuts)"),
        "alike": (10, "input changed (spans)"),
    }
    assert outcomes(filled) == {
        "cuts": {"stored": 3, "empty": 1},
        "spans": {"stored": 3, "carried": 1},  # the film of one take has no cuts in either version
        "alike": {"stored": 9, "carried": 1},
    }
    after = contents(filled.lake())
    assert before.items() <= after.items()
    assert to_compute(filled) == {}


def test_equal_output_is_carried_over_downstream(filled: Repository) -> None:
    """
    A version bump whose rows are as they were computes the feature and nothing else.
    """
    before = contents(filled.lake())
    filled.raise_version("cuts")
    assert outcomes(filled) == {
        "cuts": {"stored": 3, "empty": 1},
        "spans": {"carried": 4},
        "alike": {"carried": 10},
    }
    old = {key: values for key, values in contents(filled.lake()).items() if key in before}
    new = {key: values for key, values in contents(filled.lake()).items() if key not in before}
    assert old == before
    for (feature, _), values in new.items():
        ((_, recipe),) = [key for key in before if key[0] == feature]
        same = before[feature, recipe]
        assert {u: v["rows"] for u, v in values.items()} == {u: v["rows"] for u, v in same.items()}
        origins = {value["carried_from"] for value in values.values()}
        assert origins == ({None} if feature == "cuts" else {recipe})
    film = filled.lake().assets()[0].id
    told = filled.lake().why(film, "spans")
    assert told[1].startswith("Carried over from recipe ")


def test_a_feature_with_files_is_carried_over_with_them(filled: Repository) -> None:
    """
    A value that goes back to an older recipe is taken from its own table, files and all.
    """
    filled.raise_version("levels")
    filled.edit("side: 8", "side: 4")
    assert outcomes(filled)["levels"] == {"stored": 4}
    filled.edit("side: 4", "side: 8")
    assert outcomes(filled)["levels"] == {"stored": 4}
    filled.edit("version: 2", "version: 1")
    assert to_compute(filled) == {}
    contents(filled.lake())


def test_changed_params_are_the_reason(filled: Repository) -> None:
    """
    A param that changes the recipe is shown with its old and new value.
    """
    filled.edit("jump: 9.0", "jump: 12.5")
    assert to_compute(filled)["cuts"] == (4, "params jump 9.0 → 12.5")
    said = filled.copal("plan").out.splitlines()
    assert [" ".join(line.split()) for line in said[:4]] == [
        "cuts 4 of 4 assets params jump 9.0 → 12.5",
        "spans 4 of 4 assets input changed (cuts); maybe carried over",
        "alike 10 of 10 pairs input changed (spans); maybe carried over",
        "18 cells to compute, 4 already stored. Nothing was run.",
    ]


def test_params_that_only_change_speed_compute_nothing(filled: Repository) -> None:
    """
    A param declared 'speed_only' is no part of the recipe.
    """
    filled.edit("block: 4", "block: 64")
    assert filled.lake().project.bound("levels").instance.block == 64
    assert to_compute(filled) == {}


def test_a_new_film_brings_its_own_cells_and_its_pairs(
    repository: Repository, films: Path, undisturbed: Callable[..., Contents]
) -> None:
    """
    The fourth film costs one cell of each feature of assets, and its pairs with all four.
    """
    *three, fourth = sorted(films.iterdir())
    list(repository.lake().add(three))
    outcomes(repository)
    list(repository.lake().add([fourth]))
    new = (1, "new asset")
    assert to_compute(repository) == {
        "levels": new, "cuts": new, "spans": new, "alike": (4, "new asset"),
    }  # fmt: skip
    outcomes(repository)
    assert contents(repository.lake()) == undisturbed()


def test_force_computes_again_and_what_differs_is_followed(filled: Repository) -> None:
    """
    A forced feature is computed again; what needs it is kept where its inputs are equal, and
    replaced where they are not, also when nobody raised the version.
    """
    force = ["cuts"]
    before = contents(filled.lake())
    assert to_compute(filled, force=force) == {
        "cuts": (4, "forced"),
        "spans": (4, "input changed"),
        "alike": (10, "input changed"),
    }
    assert outcomes(filled, force=force) == {
        "cuts": {"stored": 3, "empty": 1},
        "spans": {"kept": 4},
        "alike": {"kept": 10},
    }
    assert contents(filled.lake()) == before

    filled.edit(*SHIFTED, name="quick/features.py")
    assert outcomes(filled, force=force) == {
        "cuts": {"stored": 3, "empty": 1},
        "spans": {"stored": 3, "kept": 1},
        "alike": {"stored": 9, "kept": 1},
    }
    after = contents(filled.lake())
    assert after.keys() == before.keys()
    changed = {feature for (feature, recipe), values in after.items()
               if values != before[feature, recipe]}  # fmt: skip
    assert changed == {"cuts", "spans", "alike"}


def test_what_failed_for_good_is_tried_again_only_when_a_person_says_so(
    filled: Repository, undisturbed: Callable[..., Contents]
) -> None:
    """
    A feature's own exception quarantines its cells and blocks what needs them, until 'retry'.
    """
    filled.edit("jump: 9.0", "jump: 10.0")
    sign = filled.signs / "cuts.fail"
    sign.touch()
    ran = filled.copal("run", "--engine", "inline", code=1)
    assert "4 failed, 14 blocked, 4 came from the store" in ran.out
    assert ran.out.count("ValueError: the sign 'cuts.fail' is up") == 4
    said = filled.copal("status").out.splitlines()
    assert said[:6] == [
        "4 titles, 4 assets.",
        "feature      stored  empty  failed  quarantined  blocked  missing",
        "levels   v1       4",
        "cuts     v1                                   4",
        "spans    v1                                            4",
        "alike    v1                                           10",
    ]
    released = [line for line in said[6:] if not line.startswith("quarantined")]
    assert [line.partition(":")[0].strip() for line in released] == ["cuts", "spans", "alike"], said
    assert len(said) == 6 + 3 + 4
    for line in [line for line in said[6:] if line not in released]:
        assert line.startswith("quarantined  cuts  'cuts' on ")
        assert line.endswith(": ValueError: the sign 'cuts.fail' is up")

    sign.unlink()
    again = filled.copal("run", "--engine", "inline", code=1)
    assert [" ".join(line.split()) for line in again.out.splitlines()[:4]] == [
        "cuts 0 of 4 assets 4 quarantined",
        "spans 0 of 4 assets 4 blocked",
        "alike 0 of 10 pairs 10 blocked",
        "Nothing to compute: 4 cells are stored. No flow was started.",
    ]
    assert re.search(r"^4 cells .*quarantined.* 14 blocked", again.out, re.MULTILINE)
    film = filled.lake().assets()[0]
    assert "'copal retry'" in filled.lake().why(film.id, "cuts")[1]
    assert filled.copal("retry", "--title", film.id).out == (
        "1 cell released. 'copal run' tries them.\n"
    )
    assert filled.copal("retry", "cuts").out == "3 cells released. 'copal run' tries them.\n"
    assert filled.copal("retry", "cuts").out == "No cell has failed.\n"
    assert to_compute(filled)["cuts"][0] == 4
    outcomes(filled)
    filled.edit("jump: 10.0", "jump: 9.0")
    kept = contents(filled.lake())
    assert undisturbed().items() <= kept.items()
    assert to_compute(filled) == {}


def test_a_forced_feature_leaves_its_quarantine(filled: Repository) -> None:
    """
    Forcing a quarantined feature tries it again, and what it blocked goes on.
    """
    filled.raise_version("cuts")
    (filled.signs / "cuts.fail").touch()
    assert outcomes(filled)["cuts"] == {"failed": 4}
    (filled.signs / "cuts.fail").unlink()
    assert outcomes(filled) == {}
    assert outcomes(filled, force=["cuts"]) == {
        "cuts": {"stored": 3, "empty": 1},
        "spans": {"carried": 4},
        "alike": {"carried": 10},
    }
