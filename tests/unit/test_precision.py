"""Average precision, precision at k, and their intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copal.search.precision import Ranking


def ranking(labels: list[int], scores: list[float]) -> Ranking:
    return Ranking.of(np.array(labels, bool), np.array(scores, float))


@pytest.mark.parametrize(
    ("labels", "scores", "value"),
    [
        ([1, 0, 1, 0], [4, 3, 2, 1], (1 / 1 + 2 / 3) / 2),
        ([0, 0, 1], [3, 2, 1], 1 / 3),
        ([1, 1, 0], [3, 2, 1], 1.0),
        ([1, 0], [1, 1], 0.5),  # equal scores are one step
        ([0, 1, 1, 0], [2, 2, 1, 1], (1 / 2) / 2 + (2 / 4) / 2),
    ],
)
def test_average_precision_is_what_a_hand_computes(
    labels: list[int], scores: list[float], value: float
) -> None:
    """
    Precision at each distinct score, weighted by the recall gained there.
    """
    assert ranking(labels, scores).average_precision()[0] == pytest.approx(value)


@settings(deadline=None)  # the first call imports scikit-learn
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=1, max_size=40).filter(
        lambda pairs: any(label for label, _ in pairs)
    )
)
def test_average_precision_is_that_of_scikit_learn(pairs: list[tuple[bool, int]]) -> None:
    """
    On any labels and scores, with many equal scores, the value is scikit-learn's.
    """
    metrics = pytest.importorskip("sklearn.metrics")
    labels, scores = (np.array(column) for column in zip(*pairs, strict=True))
    ours = Ranking.of(labels.astype(bool), scores.astype(float)).average_precision()[0]
    assert ours == pytest.approx(metrics.average_precision_score(labels, scores))


def test_precision_at_k_shares_equal_scores_out() -> None:
    """
    Among equal scores the first k hold their share of positives, whatever the order of the rows.
    """
    assert ranking([1, 0, 1, 0], [4, 3, 2, 1]).precision_at(1) == 1
    assert ranking([1, 0, 1, 0], [4, 3, 2, 1]).precision_at(3) == pytest.approx(2 / 3)
    assert ranking([0, 1], [1, 1]).precision_at(1) == ranking([1, 0], [1, 1]).precision_at(1) == 0.5
    assert ranking([1, 0], [2, 1]).precision_at(10) == 0.5  # there are but two


def test_an_interval_is_the_same_for_the_same_seed() -> None:
    """
    Resampling is seeded; the interval holds the value, and is narrower with more pairs.
    """
    dice = np.random.default_rng(0)
    few, many = (
        Ranking.of(labels, labels + dice.normal(size=n))
        for n in (40, 1000)
        for labels in [dice.random(n) < 0.3]
    )
    low, high = few.interval(seed=1)
    assert (low, high) == few.interval(seed=1) != few.interval(seed=2)
    assert 0 < low < few.average_precision()[0] < high < 1
    assert np.subtract(*many.interval(seed=1)[::-1]) < high - low


def test_resampling_counts_a_pair_as_often_as_it_is_drawn() -> None:
    """
    A pair that is drawn twice weighs as two pairs do.
    """
    drawn = ranking([1, 0, 1], [3, 2, 1]).average_precision(np.array([[1.0, 2.0, 1.0]]))[0]
    assert drawn == ranking([1, 0, 0, 1], [3, 2, 2, 1]).average_precision()[0]


def test_without_positives_there_is_no_value() -> None:
    """
    Nothing to find gives no number, and no warning.
    """
    empty = ranking([0, 0], [2, 1])
    assert math.isnan(empty.average_precision()[0])
    assert all(math.isnan(bound) for bound in empty.interval(seed=0))
    assert empty.precision_at(1) == 0
    assert math.isnan(ranking([], []).precision_at(3))
