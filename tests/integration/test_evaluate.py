"""Flavours against labelled pairs, the files such pairs come in, and a head trained on them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import copal
from copal.errors import RequestError
from copal.lake import Lake
from features.shot_composition import DIMENSIONS
from tests.shelf import ROOT, ShelfFilm, shelf, turned

HEAD = "title_a,shot_a,title_b,shot_b,label\n"


def film(name: str, angles: list[float], **more: object) -> ShelfFilm:
    looks = turned(angles, DIMENSIONS)
    columns = dict.fromkeys(("vector", "first_vector", "last_vector"), looks)
    return ShelfFilm(name, [24] * len(angles), {"shot_composition": columns}, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Ash's and Birch's shots of one index lie 1, 40, 80 and 120 degrees apart."""
    films = [film("Ash", [0, 0, 0, 0]), film("Birch", [1, 40, 80, 120], rate=Fraction(25)),
             ShelfFilm("Cedar", [24, 24])]  # fmt: skip
    return shelf(tmp_path_factory.mktemp("shelf"), films)


def written(folder: Path, text: str) -> Path:
    path = folder / "pairs.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_average_precision_of_a_flavour(lake: Lake, tmp_path: Path) -> None:
    """
    Scores come from the stored vectors; of ranks 1 and 3 average precision is 5/6. Every flavour
    with vectors is scored, overall and for each title.
    """
    path = written(tmp_path, HEAD + "Ash,0,Birch,0,1\nAsh,1,Birch,1,0\nBirch,2,Ash,2,yes\n"
                                    "Ash,3,Birch,3,no\nAsh,0,Ash,2,0\n")  # fmt: skip
    found = {q.title: q for q in lake.evaluate(path)}
    assert {q.flavour for q in found.values()} == {"composition"}
    assert set(found) == {"all titles", "Ash", "Birch"}
    birch = found["Birch"]
    assert (birch.pairs, birch.positives, birch.unscored) == (4, 2, 0)
    assert birch.average_precision == pytest.approx((1 + 2 / 3) / 2)
    assert birch.precision_at == {5: 0.5, 10: 0.5, 50: 0.5}
    assert birch.low <= birch.average_precision <= birch.high
    # Two shots of Ash are the same picture, and labelled no match: they rank above all.
    assert found["all titles"].average_precision == pytest.approx((1 / 2 + 2 / 4) / 2)


def test_titles_of_one_name_are_scored_each(tmp_path: Path) -> None:
    """
    Two titles that are called the same have a row each.
    """
    from dataclasses import replace

    lake = shelf(tmp_path / "store", [film("Ash", [0, 0]), film("Birch", [1, 40])])
    catalog = lake.project.catalog
    catalog.keep([], [replace(title, name="Pilot") for title in catalog.titles()])
    path = written(tmp_path, HEAD + "ash,0,birch,0,1\nash,1,ash,0,0\nash,1,birch,1,0\n")
    found = copal.open(ROOT, store=str(tmp_path / "store")).evaluate(path)
    assert [(q.title, q.pairs) for q in found] == [("all titles", 3), ("Pilot", 3), ("Pilot", 2)]


def test_a_shot_may_be_meant_by_a_frame_or_by_seconds(lake: Lake, tmp_path: Path) -> None:
    """
    Frames count those of the encode, seconds its time; both mean the shot that holds them.
    """
    rows = [
        "title_a,frame_a,title_b,seconds_b,label", "Ash,0,Birch,0.959,1", "Ash,23,Birch,0.96,0",
        "Ash,24,Birch,1.92,1", "ash,95,birch,3.8,0",
    ]  # fmt: skip
    from copal.search.labels import read_pairs

    pairs = read_pairs(lake.project, written(tmp_path, "\n".join(rows)))
    assert [(p.shot_a, p.shot_b) for p in pairs] == [(0, 1), (0, 1), (1, 2), (3, 3)]
    assert [p.line for p in pairs] == [2, 3, 4, 5]


def test_a_mix_is_scored_as_the_question_scores_it(lake: Lake, tmp_path: Path) -> None:
    """
    The score of a labelled pair is the one that a match of the two shots would have.
    """
    from copal.search.evaluate import pair_scores
    from copal.search.labels import read_pairs

    path = written(tmp_path, HEAD + "Ash,0,Birch,2,1\n")
    (score,) = pair_scores(lake.project, read_pairs(lake.project, path), {"composition": 1.0})
    cuts = lake.match(["Ash", "Birch"], top=100, fold=False).cuts
    told = {(c.outgoing.title, c.outgoing.shot_index, c.incoming.title, c.incoming.shot_index):
            c.score for c in cuts}  # fmt: skip
    assert score == max(told["Ash", 0, "Birch", 2], told["Birch", 2, "Ash", 0])


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            HEAD + "Ash,0,Birch,0,1\nAhs,0,Birch,0,1\n",
            r"pairs\.csv:3: no title 'Ahs'.*Did you mean",
        ),
        (HEAD + "Ash,9,Birch,0,1\n", r":2: 'ash\.mp4' has no shot 9; its last is 3"),
        (HEAD + "Ash,x,Birch,0,1\n", r":2: shot_a 'x': need a number of 0 or more"),
        (HEAD + "Ash,1e10000000,Birch,0,1\n", r":2: shot_a '1e10000000': need a number"),
        (HEAD + "Ash,-1,Birch,0,1\n", r":2: shot_a '-1'"),
        (HEAD + "Ash,1.5,Birch,0,1\n", r":2: shot_a '1\.5'"),
        (HEAD + "Ash,0,Birch,0,maybe\n", r":2: label 'maybe': need 1 or 0"),
        (HEAD + "Ash,,Birch,0,1\n", ":2: says no shot of title_a"),
        (HEAD + "Ash,0,Birch\n", r":2: label ''"),
        (HEAD + ",0,Birch,0,1\n", ":2: a title is empty"),
        (HEAD, "no rows below its head"),
        ("title_a,shot_a,title_b,shot_b\n", "no column 'label'"),
        ("title_a,title_b,shot_b,label\n", "no column says which shot of title_a"),
        ("title_a,shott_a,title_b,shot_b,label\n", "no column 'shott_a'.*Did you mean 'shot_a'"),
        ("title_a,seconds_a,title_b,shot_b,label\nAsh,1000,Birch,0,1\n", "after the end of 'ash"),
        (HEAD + "Ash,0,Birch,0,2\n" * 8, "(?s):2: .*:6: .*and 3 more rows"),
    ],
)
def test_bad_rows_are_told_with_their_lines(
    lake: Lake, tmp_path: Path, text: str, complaint: str
) -> None:
    """
    Nothing is skipped in silence: what means nothing is told, with its file and line.
    """
    with pytest.raises(RequestError, match=complaint):
        lake.evaluate(written(tmp_path, text))


def test_pairs_without_vectors_are_counted_not_scored(lake: Lake, tmp_path: Path) -> None:
    """
    A pair whose shot has no vector is left out and counted; none at all is an error.
    """
    path = written(tmp_path, HEAD + "Ash,0,Birch,0,1\nAsh,1,Cedar,1,1\n")
    overall = lake.evaluate(path)[0]
    assert (overall.pairs, overall.unscored) == (1, 1)
    alone = written(tmp_path, HEAD + "Cedar,0,Cedar,1,1\n")
    with pytest.raises(RequestError, match="no flavour has stored vectors"):
        lake.evaluate(alone)
    with pytest.raises(RequestError, match="no pair has vectors of 'composition' on both sides"):
        lake.evaluate(alone, [{"composition": 1.0}])
    with pytest.raises(RequestError, match="cannot be read"):
        lake.evaluate(tmp_path / "nowhere.csv")


def test_the_loop_closes(tmp_path: Path) -> None:
    """
    A flow trains a head on labelled pairs of stored vectors; declared with its weights the head is
    a flavour, and ranks pairs that it was not trained on better than the vectors do.
    """
    dice = np.random.default_rng(2)
    meaning = dice.normal(size=(4, DIMENSIONS))
    themes = dice.normal(size=(12, 4))
    films = []
    for name in ("Ash", "Birch", "Cedar", "Dogwood"):
        loud = np.zeros((60, DIMENSIONS))
        loud[:, :20] = 8 * dice.normal(size=(60, 20))
        rows = themes[np.arange(60) % 12] @ meaning + loud + 0.2 * dice.normal(size=loud.shape)
        rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        columns = dict.fromkeys(("vector", "first_vector", "last_vector"), rows)
        films.append(ShelfFilm(name, [24] * 60, {"shot_composition": columns}))
    shelf(tmp_path / "store", films)
    texts = {}
    for use, (a, b) in {"train": ("Ash", "Birch"), "test": ("Cedar", "Dogwood")}.items():
        rows = [f"{a},{i},{b},{j},{int(i % 12 == j % 12)}" for i in range(60)
                for j in range(60) if i % 12 == j % 12 or dice.random() < 0.2]  # fmt: skip
        texts[use] = tmp_path / f"{use}.csv"
        texts[use].write_text(HEAD + "\n".join(rows) + "\n")
    weights = tmp_path / "heads" / "composition.npz"
    environment = dict(os.environ) | {
        "METAFLOW_HOME": str(tmp_path / "home"), "METAFLOW_USER": "tests",
        "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore",
        "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(tmp_path / "metaflow"),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, str(ROOT / "flows" / "train_match_head.py"), "--no-pylint", "run",
         "--pairs", str(texts["train"]), "--weights", str(weights), "--epochs", "25",
         "--dimensions", "32", "--project", str(ROOT), "--store", str(tmp_path / "store")],
        cwd=tmp_path, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(weights.with_suffix(".json").read_text())
    assert report["average_precision_after"] > report["average_precision_before"]

    registry = (ROOT / "registry.yaml").read_text()
    assert "{weights: match_head.npz}" in registry
    (tmp_path / "registry.yaml").write_text(
        registry.replace("{weights: match_head.npz}", f"{{weights: '{weights}', dimensions: 32}}")
    )
    (tmp_path / "features").symlink_to(ROOT / "features")
    import copal

    trained = copal.open(tmp_path, store=str(tmp_path / "store"))
    assert not trained.run(["shot_head"], engine="inline").failed
    found = {q.flavour: q for q in trained.evaluate(texts["test"]) if q.title == "all titles"}
    assert found["head"].average_precision > found["composition"].average_precision + 0.1
    assert trained.match(["Cedar", "Dogwood"], flavour="head").cuts
