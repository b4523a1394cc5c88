"""The best match cuts over any set of titles, merged from the stored blocks of their pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from copal.asset import Asset
from copal.errors import RequestError, suggestion
from copal.fingerprint import AssetId, pair_assets, pair_unit
from copal.project import Project
from copal.registry import FeatureName
from copal.timeline import FrameRange, timecode

PREFIX = "match_pairs_"
"""A pair feature of this name is a flavour of match cut, called by the rest of its name."""
ENCODE = "standard_encode"


_Found = tuple[float, str, int, int, bool, FrameRange, FrameRange]
"""Score with its sign turned, unit, left and right shot, whether left goes first, ranges."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two shots that a match cut joins."""

    asset: Asset
    title: str
    """The title's name, for people."""
    shot_index: int
    range: FrameRange
    frame_rate: Fraction

    @property
    def start_timecode(self) -> str:
        """Label of the shot's first frame."""
        return timecode(self.range.first, self.frame_rate)

    @property
    def last_timecode(self) -> str:
        """Label of the shot's last frame."""
        return timecode(self.range.last, self.frame_rate)


@dataclass(frozen=True, slots=True)
class MatchCut:
    """A cut from the end of one shot to the beginning of another that is like it."""

    score: float
    """Higher is better."""
    flavour: str
    outgoing: Side
    incoming: Side


@dataclass(frozen=True, slots=True)
class MatchAnswer:
    """The best cuts, and how much of what was asked about could be looked at."""

    cuts: tuple[MatchCut, ...]
    flavour: str
    blocks: int
    """Pairs of assets, each with itself too, that the question covers."""
    blocks_stored: int
    """How many of them have been computed."""


def flavours(project: Project) -> list[str]:
    """Names of the declared flavours, the default ones first."""
    declared = [
        declaration
        for name, declaration in project.registry.features.items()
        if declaration.unit == "pair" and name.startswith(PREFIX)
    ]
    declared.sort(key=lambda declaration: not declaration.default)
    return [declaration.name.removeprefix(PREFIX) for declaration in declared]


def match(
    project: Project,
    titles: Sequence[str] = (),
    *,
    flavour: str | None = None,
    top: int = 10,
) -> MatchAnswer:
    """The best match cuts among titles (all when none is named), each with itself too.

    Raises
    ------
    RequestError
        No such flavour, or ``top`` is not positive.
    UnknownTitle
        A title is not in the catalogue.
    """
    known = flavours(project)
    if not known:
        raise RequestError(f"{project.registry.where} declares no feature '{PREFIX}…'.")
    chosen = flavour or known[0]
    if chosen not in known:
        raise RequestError(
            f"no flavour '{chosen}'; there are {', '.join(known)}." + suggestion(chosen, known)
        )
    if top < 1:
        raise RequestError(f"--top {top}: ask for one or more.")
    feature = FeatureName(PREFIX + chosen)
    kinds = project.graph.kinds(feature)
    assets = {asset.id: asset for asset in project.select(titles) if asset.kind in kinds}
    table = project.table(feature)
    ids = sorted(assets)
    asked = [pair_unit(one, other) for i, one in enumerate(ids) for other in ids[i:]]
    stored = [unit for unit in asked if unit in table.index().units]
    best: list[_Found] = []
    for unit, value in table.read(stored).items():
        rows = value.rows.slice(0, 2 * top).to_pylist()  # each pair of shots may come both ways
        best += [
            (
                -row["score"], unit, row["left_shot"], row["right_shot"], row["left_first"],
                FrameRange(row["left_start_frame"], row["left_end_frame"]),
                FrameRange(row["right_start_frame"], row["right_end_frame"]),
            )
            for row in rows
        ]  # fmt: skip
    best = _one_way(sorted(best, key=lambda row: row[:5]))[:top]
    rates = frame_rates(project, sorted({a for row in best for a in pair_assets(row[1])}))
    names = {title.id: title.name for title in project.titles.values()}

    def side(asset: AssetId, shot: int, span: FrameRange) -> Side:
        found = assets[asset]
        return Side(found, names.get(found.title, found.name), shot, span, rates[asset])

    cuts = []
    for negative, unit, left_shot, right_shot, left_first, left_range, right_range in best:
        left, right = pair_assets(unit)
        sides = [side(left, left_shot, left_range), side(right, right_shot, right_range)]
        outgoing, incoming = sides if left_first else reversed(sides)
        cuts.append(MatchCut(-negative, chosen, outgoing, incoming))
    return MatchAnswer(tuple(cuts), chosen, len(asked), len(stored))


def _one_way(ranked: Sequence[_Found]) -> list[_Found]:
    """Two shots that match both ways are told once, the better way."""
    seen: set[tuple[str, int, int]] = set()
    kept = []
    for row in ranked:
        if row[1:4] not in seen:
            seen.add(row[1:4])
            kept.append(row)
    return kept


def frame_rates(project: Project, assets: Sequence[str]) -> dict[AssetId, Fraction]:
    """Exact frame rate of each asset's encode."""
    values = project.table(ENCODE).read(assets)
    return {
        AssetId(unit): Fraction(
            value.rows["rate_numerator"][0].as_py(), value.rows["rate_denominator"][0].as_py()
        )
        for unit, value in values.items()
    }
