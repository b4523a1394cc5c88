"""Training a match head on synthetic pairs: the loop closes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from copal.errors import RequestError
from copal.search.head import Examples, Training, train
from copal.search.precision import Ranking
from features.match_head import MatchHead

QUICK = Training(hidden=64, dimensions=16, epochs=25)


def pairs(count: int, seed: int = 3) -> Examples:
    """Pairs that match when they share a faint meaning under a loud part that means nothing."""
    dice = np.random.default_rng(seed)
    meaning = np.random.default_rng(0).normal(size=(5, 40))
    labels = dice.random(count) < 0.3
    sides = [dice.normal(size=(count, 5)) for _ in range(2)]
    sides[1] = np.where(labels[:, None], sides[0] + 0.2 * sides[1], sides[1])
    found = []
    for side in sides:
        loud = np.concatenate([3 * dice.normal(size=(count, 10)), np.zeros((count, 30))], 1)
        rows = side @ meaning * 0.35 + loud + 0.3 * dice.normal(size=(count, 40))
        found.append((rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32))
    return Examples(found[0], found[1], labels)


def test_a_head_learns_what_matches(tmp_path: Path) -> None:
    """
    On pairs it has not seen the head ranks better than the vectors do, by far; and so it does on
    new ones, through the feature that reads its weights.
    """
    head = train(pairs(700), QUICK)
    assert head.after > head.before + 0.15
    assert head.report["last_loss"] < head.report["first_loss"]
    head.save(tmp_path / "head.npz")
    feature = MatchHead(str(tmp_path / "head.npz"), QUICK.dimensions, ("vector",))
    new = pairs(300, seed=9)
    raw, turned = (
        Ranking.of(new.labels, (a * b).sum(1).astype(float)).average_precision()[0]
        for a, b in (
            (new.one, new.other), (feature.turned(new.one), feature.turned(new.other)),
        )
    )  # fmt: skip
    assert turned > raw + 0.15


def test_the_same_seed_gives_the_same_head() -> None:
    """
    Training is seeded: twice the same gives equal weights, another seed gives others.
    """
    few, short = pairs(200), replace(QUICK, epochs=3)
    one, same, other = (train(few, replace(short, seed=seed)) for seed in (1, 1, 2))
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(one.layers, same.layers, strict=True))
    assert not np.array_equal(one.layers[0][0], other.layers[0][0])


def test_too_few_matches_teach_nothing() -> None:
    """
    With fewer than eight matches training is refused, and says how many there are.
    """
    given = pairs(30)
    none = Examples(given.one, given.other, np.zeros(30, bool))
    with pytest.raises(RequestError, match="0 matches among 30 labelled pairs"):
        train(none)
