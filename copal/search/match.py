"""The best match cuts over any set of titles, merged from the blocks of their pairs of assets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np

from copal.asset import Asset
from copal.fingerprint import AssetId, UnitId, pair_assets
from copal.plan import units_of
from copal.project import Project
from copal.registry import FeatureName
from copal.search.blocks import read_rows
from copal.search.candidates import Candidates, candidates
from copal.search.cuts import MatchAnswer, MatchCut, Side, frame_rates
from copal.search.question import Question, about, chosen, told
from copal.search.ranking import ShotKey, Told, long_enough, ranked
from copal.timeline import FrameRange

SHOTS, DEDUP = "shots", "dedup"


def match(project: Project, question: Question | None = None) -> MatchAnswer:
    """The best match cuts among titles (all when none is named), each with itself too.

    The best of any subset of titles are the best of its blocks, exactly, as far down as blocks
    reach; the answer says how far.

    Raises
    ------
    RequestError
        No such flavour, a filter that says nothing, a number that cannot be.
    UnknownTitle
        A title is not in the catalogue.
    """
    question = question or Question()
    mix = chosen(project, question.flavours)
    project = about(project, mix, question.at)
    assets = _asked(project, question, mix)
    ids = sorted(assets)
    units = _pairs(project, mix, assets)
    found, looked, certain = candidates(project, mix, units, fill=True)
    found = _filtered(project, question, found, ids, units)
    titles = {str(asset.id): asset.title for asset in assets.values()}
    kept = ranked(question, found, units, titles, _repeats(project, mix, ids))
    last = float(found.score[kept[-1].row]) if len(kept) == question.top else -math.inf
    if question.min_score is not None:
        last = max(last, question.min_score)
    return MatchAnswer(
        cuts=_cuts(project, mix, assets, units, found, kept),
        flavour=told({name: weight for name, (_, weight) in mix.items()}),
        looked=tuple(looked),
        certain_above=certain,
        exact=certain <= last,
        at=project.reading.at,
        recipes={name: recipe.id for name, recipe in project.reading.pins.items()},
    )


def _asked(
    project: Project, question: Question, mix: Mapping[str, tuple[FeatureName, float]]
) -> dict[AssetId, Asset]:
    """The assets that a question is about, by id."""
    kinds = set.intersection(*(set(project.graph.kinds(feature)) for feature, _ in mix.values()))
    assets = [asset for asset in project.select(question.titles) if asset.kind in kinds]
    if (where := question.filter) is not None:
        assets = [a for a in assets if a.title in project.titles
                  and where.holds(project.titles[a.title])]  # fmt: skip
    return {asset.id: asset for asset in assets}


def _pairs(
    project: Project,
    mix: Mapping[str, tuple[FeatureName, float]],
    assets: Mapping[AssetId, Asset],
) -> list[UnitId]:
    """The pairs that a run computes for every flavour of the mix, in order."""
    graph = project.graph
    planned = [
        set(units_of(graph.declaration(feature), graph.kinds(feature), assets.values()))
        for feature, _ in mix.values()
    ]
    return sorted(set.intersection(*planned))


def _filtered(
    project: Project,
    question: Question,
    found: Candidates,
    ids: Sequence[AssetId],
    units: Sequence[UnitId],
) -> Candidates:
    """Candidates whose shots are of the wanted length and kind."""
    place = {asset: index for index, asset in enumerate(ids)}
    if question.min_seconds is not None or question.max_seconds is not None:
        rates = frame_rates(project, ids)
        frames = [_frames(question, rates.get(asset)) for asset in ids]
        pairs = np.array([[place[a] for a in pair_assets(unit)] for unit in units], np.int64)
        found = found.take(long_enough(question, found, frames, pairs.reshape(-1, 2)))
    if not question.fades:
        fading = _fading(project, ids)
        named = [pair_assets(unit) for unit in units]
        shots = zip(found.unit.tolist(), found.shots.tolist(), strict=True)
        kept = [
            (named[u][0], left) not in fading and (named[u][1], right) not in fading
            for u, (left, right) in shots
        ]
        found = found.take(np.array(kept, bool))
    return found


def _frames(question: Question, rate: Fraction | None) -> tuple[int, int]:
    """Fewest and most frames that a shot of an asset may have."""
    if rate is None:
        return 0, 0
    least, most = question.min_seconds, question.max_seconds
    return (
        0 if least is None else math.ceil(Fraction(str(least)) * rate),
        2**31 if most is None else math.floor(Fraction(str(most)) * rate),
    )


def _fading(project: Project, ids: Sequence[str]) -> set[ShotKey]:
    """The shots that fade in or out."""
    rows = read_rows(project.table(SHOTS), ids)
    if not rows.units:
        return set()
    fades = np.array([kind == "fade" for kind in rows.columns["transition"].to_pylist()])
    fades |= rows.numpy("clear_end") < rows.numpy("end_frame")
    owners, shots = rows.unit[fades].tolist(), rows.numpy("shot_index")[fades].tolist()
    return {(rows.units[owner], shot) for owner, shot in zip(owners, shots, strict=True)}


def _repeats(
    project: Project, mix: Mapping[str, tuple[FeatureName, float]], ids: Sequence[str]
) -> dict[ShotKey, ShotKey]:
    """Shot → the earlier one it repeats; nothing to look up for flavours that need ``dedup``."""
    needs = [project.graph.declaration(feature).needs.values() for feature, _ in mix.values()]
    if DEDUP not in project.registry.features or all(DEDUP in each for each in needs):
        return {}
    rows = read_rows(project.table(DEDUP), ids)
    if not rows.units:
        return {}
    owners, shots = rows.unit.tolist(), rows.columns["shot_index"].to_pylist()
    of = rows.columns["duplicate_of"].to_pylist()
    return {
        (rows.units[owner], shot): (rows.units[owner], earlier)
        for owner, shot, earlier in zip(owners, shots, of, strict=True)
        if earlier is not None
    }


def _cuts(
    project: Project,
    mix: Mapping[str, tuple[FeatureName, float]],
    assets: Mapping[AssetId, Asset],
    units: Sequence[UnitId],
    found: Candidates,
    kept: Sequence[Told],
) -> tuple[MatchCut, ...]:
    """What is told, with the sides' names, rates and frames."""
    rows = [row for each in kept for row in (each.row, *each.folded)]
    shots: set[ShotKey] = {
        (asset, shot)
        for row in rows
        for asset, shot in zip(
            pair_assets(units[found.unit[row]]), found.shots[row].tolist(), strict=True
        )
    }
    rates = frame_rates(project, sorted({asset for asset, _ in shots}))
    clear = _clear(project, shots)
    names = {title.id: title.name for title in project.titles.values()}
    flavour = told({name: weight for name, (_, weight) in mix.items()})

    def side(asset: AssetId, shot: int, start: int, end: int) -> Side:
        about, span = assets[asset], FrameRange(start, end)
        return Side(about, names.get(about.title, about.name), shot, span,
                    clear.get((asset, shot), span), rates[asset])  # fmt: skip

    def cut(row: int, folded: tuple[MatchCut, ...] = ()) -> MatchCut:
        left, right = pair_assets(units[found.unit[row]])
        spans, (i, j) = found.ranges[row].tolist(), found.shots[row].tolist()
        sides = [side(left, i, *spans[:2]), side(right, j, *spans[2:])]
        outgoing, incoming = sides if found.left_first[row] else reversed(sides)
        scores = dict(zip(mix, found.by_flavour[row].tolist(), strict=True))
        return MatchCut(float(found.score[row]), flavour, outgoing, incoming, scores, folded)

    return tuple(cut(each.row, tuple(map(cut, each.folded))) for each in kept)


def _clear(project: Project, wanted: set[ShotKey]) -> dict[ShotKey, FrameRange]:
    """Frames without fades of some shots; empty where shots do not tell."""
    if SHOTS not in project.registry.features:
        return {}
    rows = read_rows(project.table(SHOTS), sorted({asset for asset, _ in wanted}))
    names = ("shot_index", "clear_start", "clear_end")
    if not rows.units or not set(names) <= set(rows.columns):
        return {}
    index, start, end = (rows.numpy(name) for name in names)
    found = {}
    for asset, first, count in zip(rows.units, rows.starts.tolist(), rows.counts, strict=True):
        places = {shot: first + i for i, shot in enumerate(index[first : first + count].tolist())}
        for key in wanted:
            if key[0] == asset and key[1] in places:
                row = places[key[1]]
                found[key] = FrameRange(int(start[row]), int(end[row]))
    return found
