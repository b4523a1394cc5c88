"""Average precision and precision at k of scores against labels, with intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Flags = npt.NDArray[np.bool_]

SAMPLES = 1000
CELLS_AT_ONCE = 4_000_000
"""Of the counts of resampled pairs; 32 MB."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """Labels in order of their scores, the best first, and where equal scores end."""

    labels: Flags
    ends: npt.NDArray[np.int64]
    """Place of the last of each run of equal scores."""

    @staticmethod
    def of(labels: Flags, scores: Floats) -> Ranking:
        """The ranking that scores make of labels."""
        order = np.argsort(-scores, kind="stable")
        ordered = scores[order]
        ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True)) if len(order) else order
        return Ranking(labels[order], ends.astype(np.int64))

    def average_precision(self, counts: Floats | None = None) -> Floats:
        """Sum over distinct scores of precision there, times the recall gained there.

        Parameters
        ----------
        counts
            (samples, pairs): how often each pair stands in each sample; once when left out.

        Returns
        -------
        (samples,), NaN where no label is positive.

        Notes
        -----
        Equal to scikit-learn's ``average_precision_score``, also among equal scores: they are
        taken in one step, so that their order counts for nothing.
        """
        counts = np.ones((1, len(self.labels))) if counts is None else counts
        hits = np.cumsum(counts * self.labels, axis=1)[:, self.ends]
        seen = np.cumsum(counts, axis=1)[:, self.ends]
        precision = hits / np.maximum(seen, 1)
        gained = np.diff(hits, axis=1, prepend=0)
        total = hits[:, -1] if hits.shape[1] else np.zeros(len(hits))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((precision * gained).sum(axis=1) / total, np.float64)

    def precision_at(self, k: int) -> float:
        """Share of positives among the first ``k``; equal scores count as if shuffled."""
        k = min(k, len(self.labels))
        if k < 1:
            return float("nan")
        hits = np.concatenate([[0], np.cumsum(self.labels)[self.ends]])
        seen = np.concatenate([[0], self.ends + 1])
        return float(np.interp(k, seen, hits) / k)

    def interval(self, seed: int, samples: int = SAMPLES) -> tuple[float, float]:
        """Where average precision lies in 95 of 100 resamples of the pairs.

        Resamples without a positive are left out. NaN when there is nothing to resample.
        """
        size = len(self.labels)
        if not self.labels.any():
            return float("nan"), float("nan")
        dice = np.random.default_rng(seed)
        at_once = max(1, CELLS_AT_ONCE // size)
        found = []
        for start in range(0, samples, at_once):
            rows = min(at_once, samples - start)
            drawn = dice.integers(size, size=(rows, size)) + size * np.arange(rows)[:, None]
            counts = np.bincount(drawn.ravel(), minlength=rows * size).reshape(rows, size)
            found.append(self.average_precision(counts.astype(np.float64)))
        low, high = np.nanpercentile(np.concatenate(found), [2.5, 97.5])
        return float(low), float(high)
