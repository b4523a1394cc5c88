"""Evaluation: how well a flavour's scores agree with pairs of shots that people labelled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from copal.errors import CopalError, RequestError
from copal.fingerprint import RecipeId
from copal.project import Project
from copal.search.labels import LabelledPair, by_assets, read_pairs
from copal.search.precision import SAMPLES, Ranking
from copal.search.question import PREFIX, Mix, about, chosen, flavours, told
from copal.search.scores import Scorer

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

AT = (5, 10, 50)
SHOTS = "shots"
OVERALL = "all titles"


@dataclass(frozen=True, slots=True)
class Quality:
    """How one flavour ranks labelled pairs: of one title, or of all together."""

    flavour: str
    title: str
    """A title's name, or ``all titles``."""
    pairs: int
    positives: int
    average_precision: float
    """NaN without positives."""
    low: float
    high: float
    """Where it lies in 95 of 100 resamples of the pairs."""
    precision_at: Mapping[int, float]
    unscored: int
    """Pairs left out because a shot has no vector in this flavour."""


def evaluate(
    project: Project,
    path: Path,
    mixes: Sequence[Mix] = (),
    *,
    seed: int = 0,
    samples: int = SAMPLES,
    at: Sequence[int] = AT,
    reads: str = "",
) -> list[Quality]:
    """Score flavours (every one that is stored, or those named) against a file of labelled pairs.

    A pair's score is that of the better way round, as a block would tell it. Average precision is
    scikit-learn's.

    Parameters
    ----------
    path
        See ``copal.search.labels.read_pairs``.
    mixes
        Each is one flavour, or several by their weights; ``composition@v1`` is an older one.
    reads
        ``release``, ``today`` or a snapshot.

    Raises
    ------
    RequestError
        The file or one of its rows means nothing, a flavour is unknown, or nothing is stored.
    """
    project = project.at(reads)
    wanted = list(mixes) or [{name: 1.0} for name in flavours(project) if _known(project, name)]
    found: list[Quality] = []
    labelled: dict[RecipeId, list[LabelledPair]] = {}
    if not mixes:  # a mistake in the file is told before any flavour is tried
        labelled[project.recipe(SHOTS).id] = read_pairs(project, path)
    for mix in wanted:
        try:
            seen = about(project, chosen(project, mix))
            shots = seen.recipe(SHOTS).id
            if shots not in labelled:  # indices mean other shots there
                labelled[shots] = read_pairs(seen, path)
            pairs = labelled[shots]
            scores = pair_scores(seen, pairs, mix)
        except CopalError:  # no vectors to compare, or no weights to make them with
            if mixes:
                raise
            continue
        if np.isnan(scores).all():
            if mixes:
                raise RequestError(
                    f"no pair has vectors of '{told(mix)}' on both sides: nothing to score. "
                    "'copal status' tells what is stored, 'copal run' computes."
                )
            continue
        found += _qualities(project, pairs, scores, told(mix), seed, samples, at)
    if not found:
        raise RequestError("no flavour has stored vectors of these titles; 'copal run' makes them.")
    return found


def _known(project: Project, flavour: str) -> bool:
    """Whether anybody ever stored what the flavour compares."""
    needs = project.graph.declaration(PREFIX + flavour).needs.values()
    return all(project.store.recipes(need) for need in needs)


def pair_scores(project: Project, pairs: list[LabelledPair], mix: Mix) -> Floats:
    """Score of each pair, the better way round; NaN where a shot has no vector."""
    each_way = np.zeros((2, len(pairs)))
    for flavour, (feature, weight) in chosen(project, mix).items():
        scorer = Scorer(project, flavour, feature)
        scorer.load(sorted({asset for p in pairs for asset in (p.asset_a, p.asset_b)}))
        for a, b, places in by_assets(pairs):
            i = np.array([pairs[place].shot_a for place in places], np.int64)
            j = np.array([pairs[place].shot_b for place in places], np.int64)
            each_way[0, places] += weight * scorer.scores(a, i, b, j)
            each_way[1, places] += weight * scorer.scores(b, j, a, i)
    return np.asarray(each_way.max(axis=0), np.float64)


def _qualities(
    project: Project,
    pairs: list[LabelledPair],
    scores: Floats,
    flavour: str,
    seed: int,
    samples: int,
    at: Sequence[int],
) -> list[Quality]:
    """Of every title that has more than one, and of all."""
    labels = np.array([pair.label for pair in pairs])
    groups: dict[str | None, npt.NDArray[np.bool_]] = {None: np.ones(len(pairs), bool)}
    for title in sorted({title for pair in pairs for title in pair.titles}):
        groups[title] = np.array([title in pair.titles for pair in pairs])
    if len(groups) == 2:
        del groups[list(groups)[1]]  # one title is all titles
    names = {str(title.id): title.name for title in project.titles.values()}
    found = []
    for title_id, mine in groups.items():
        scored = mine & ~np.isnan(scores)
        ranking = Ranking.of(labels[scored], scores[scored])
        low, high = ranking.interval(seed, samples)
        found.append(
            Quality(
                flavour=flavour,
                title=names.get(title_id, title_id) if title_id else OVERALL,
                pairs=int(scored.sum()),
                positives=int(labels[scored].sum()),
                average_precision=float(ranking.average_precision()[0]),
                low=low,
                high=high,
                precision_at={k: ranking.precision_at(k) for k in at},
                unscored=int((mine & ~scored).sum()),
            )
        )
    return found
