"""What is missing, and why: a pure decision over a graph, the assets and what the store holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import combinations_with_replacement
from operator import attrgetter

from copal.asset import Asset
from copal.errors import WorkerDied
from copal.fingerprint import UnitId, pair_assets, pair_unit
from copal.graph import Graph, Recipe
from copal.registry import Declaration, FeatureName
from copal.units import absent

MAX_TRIES = 3
"""Retryable failures of a cell after which it is quarantined like a permanent one."""


class Reason(StrEnum):
    """Why a cell is computed."""

    NEW_ASSET = "new asset"
    NEW_FEATURE = "new feature"
    VERSION = "version"
    PARAMS = "params"
    TOOLS = "tools"
    INPUT = "input changed"
    RETRY = "retry"
    FORCED = "forced"


@dataclass(frozen=True, slots=True)
class Cell:
    """One feature on one unit, to be computed."""

    unit: UnitId
    reason: Reason
    replace: bool = False
    """Whether a stored value is to be replaced; only ever because a person forced it."""
    alone: bool = False
    """Whether a worker died with it before, so that it must not take others with it again."""


@dataclass(frozen=True, slots=True)
class Failure:
    """How a cell failed when it was last tried under its recipe."""

    error: str
    error_class: str
    retryable: bool
    tries: int
    skipped: bool = False
    """Whether a rule of the registry says that such a failure is none: the cell is left out."""

    @property
    def final(self) -> bool:
        """Whether the cell is quarantined: not tried again until something changes."""
        return self.skipped or not self.retryable or self.tries >= MAX_TRIES


@dataclass(frozen=True, slots=True)
class Earlier:
    """An older recipe of a feature, and the units it has values for."""

    recipe: Recipe
    units: Set[str]


@dataclass(frozen=True, slots=True)
class Held:
    """What the store holds of one feature."""

    stored: Set[str] = frozenset()
    """Units that have a value under the recipe of today."""
    failures: Mapping[str, Failure] = field(default_factory=dict)
    """Units that failed under the recipe of today; it matters of those that have no value."""
    earlier: Sequence[Earlier] = ()
    """Older recipes, the newest first."""
    empty: Set[str] = frozenset()
    """Those of the units stored whose value has no rows; nothing is decided by it."""


@dataclass(frozen=True, slots=True)
class FeaturePlan:
    """What one feature is missing."""

    feature: FeatureName
    recipe: Recipe
    unit: str
    """``asset`` or ``pair``."""
    units: int
    """How many units the feature has among the assets that were asked about."""
    stored: int
    cells: tuple[Cell, ...]
    quarantined: Mapping[str, Failure]
    """Unit → why it is not tried again."""
    blocked: Mapping[str, str]
    """Unit → the sentence that names the need it waits for."""
    changes: Mapping[Reason, str]
    """Reason → what changed, where there is more to say: ``1 → 2``."""
    skipped: Mapping[str, str] = field(default_factory=dict)
    """Unit → the sentence that says why it, or a need of it, is left out without being missed."""
    carryable: frozenset[str] = frozenset()
    """Units of cells that perhaps are carried over: an older recipe that is equal but for its
    needs has a value. Whether the inputs are equal too is seen when the needs are there."""

    @property
    def reasons(self) -> Counter[Reason]:
        """How many cells each reason has."""
        return Counter(cell.reason for cell in self.cells)

    def sentence(self) -> str:
        """All reasons in words, the most frequent first."""
        words = []
        for reason, count in self.reasons.most_common():
            change = self.changes.get(reason)
            text = f"{reason} {change}" if change else str(reason)
            words.append(text if len(self.reasons) == 1 else f"{text} ({count})")
        return "; ".join(words)


@dataclass(frozen=True, slots=True)
class Plan:
    """The cells to compute, feature by feature, every need before what needs it."""

    features: tuple[FeaturePlan, ...]

    @property
    def cells(self) -> int:
        """How many cells are to be computed."""
        return sum(len(each.cells) for each in self.features)

    @property
    def stored(self) -> int:
        """How many of the cells asked about have a value already."""
        return sum(each.stored for each in self.features)

    @property
    def quarantined(self) -> int:
        """How many cells are not tried again until something changes."""
        return sum(len(each.quarantined) for each in self.features)

    @property
    def blocked(self) -> int:
        """How many cells wait for a need that is quarantined."""
        return sum(len(each.blocked) for each in self.features)

    @property
    def skipped(self) -> int:
        """How many cells are left out by a rule of the registry."""
        return sum(len(each.skipped) for each in self.features)

    @property
    def carryable(self) -> int:
        """How many cells are perhaps carried over; none more are."""
        return sum(len(each.carryable) for each in self.features)

    def __iter__(self) -> Iterator[FeaturePlan]:
        return iter(self.features)

    def feature(self, name: str) -> FeaturePlan:
        """The part of one feature."""
        return next(each for each in self.features if each.feature == name)


def plan(
    graph: Graph,
    recipes: Mapping[FeatureName, Recipe],
    assets: Collection[Asset],
    held: Mapping[FeatureName, Held],
    *,
    force: Iterable[str] = (),
) -> Plan:
    """Decide what is missing for the features of ``recipes`` on ``assets``.

    Parameters
    ----------
    graph
        The declared features.
    recipes
        Every feature that is wanted, and all it needs, in order.
    assets
        The assets asked about. A pair is planned when both its assets are among them.
    held
        What the store holds of each feature; a feature that is left out holds nothing.
    force
        Features to compute again although they are stored. What needs them follows where the
        new value differs.

    Returns
    -------
    Cells with their reasons. Nothing is opened and nothing is run.
    """
    forced = {graph.declaration(name).name for name in force}
    following = {name for each in forced for name in graph.followers(each)}
    parts: dict[FeatureName, FeaturePlan] = {}
    asked: dict[object, list[UnitId]] = {}  # most features have the same units
    for name, recipe in recipes.items():
        declaration = graph.declaration(name)
        alike = (declaration.unit, declaration.pairs, graph.kinds(name))
        if alike not in asked:
            asked[alike] = units_of(declaration, graph.kinds(name), assets)
        parts[name] = _plan_feature(
            declaration,
            recipe,
            asked[alike],
            held.get(name, Held()),
            parts,
            forced=name in forced,
            following=name in following,
        )
    return Plan(tuple(parts.values()))


def _plan_feature(
    declaration: Declaration,
    recipe: Recipe,
    units: Sequence[UnitId],
    held: Held,
    needs: Mapping[FeatureName, FeaturePlan],
    *,
    forced: bool,
    following: bool,
) -> FeaturePlan:
    earlier = [(old.units, *_difference(old.recipe, recipe)) for old in held.earlier]
    alike = [old.units for old in held.earlier if old.recipe.parts() == recipe.parts()]
    fresh = _fresh_reason(declaration, held, needs)
    upstream = [(need, needs[need]) for need in dict.fromkeys(declaration.needs.values())]
    stuck = {
        need: part.quarantined.keys() | part.blocked.keys()
        for need, part in upstream
        if part.quarantined or part.blocked
    }
    left_out = {need: part.skipped.keys() for need, part in upstream if part.skipped}
    cells: list[Cell] = []
    skipped: dict[str, str] = {}
    carryable: set[str] = set()
    quarantined: dict[str, Failure] = {}
    blocked: dict[str, str] = {}
    changes: dict[Reason, str] = {}
    # Nearly all units of a large catalogue are stored: those are counted, not looked at.
    again = forced or following
    todo = units if again else absent(units, held.stored)
    stored = len(units) - len(todo)
    for unit in todo:
        if again and unit in held.stored:
            reason = Reason.FORCED if forced else Reason.INPUT
            cells.append(Cell(unit, reason, replace=True))
            continue
        if stuck and (why := _why_blocked(unit, declaration, stuck, needs)):
            blocked[unit] = why
            continue
        if left_out and (need := _stuck_need(unit, declaration, left_out, needs)):
            skipped[unit] = (
                f"waits for '{need[0]}', which is skipped: {needs[need[0]].skipped[need[1]]}"
            )
            continue
        failure = held.failures.get(unit)
        if failure is not None:
            if failure.skipped and not forced:
                skipped[unit] = failure.error
            elif failure.final and not forced:
                quarantined[unit] = failure
            else:
                retried = Reason.FORCED if forced else Reason.RETRY
                cells.append(Cell(unit, retried, alone=failure.error_class == WorkerDied.__name__))
            continue
        reason, change = fresh, ""
        for old_units, old_reason, old_change in earlier:
            if unit in old_units:
                reason, change = old_reason, old_change
                break
        if any(unit in units for units in alike):
            carryable.add(unit)
        if change:
            changes.setdefault(reason, change)
        cells.append(Cell(unit, reason))
    return FeaturePlan(
        feature=declaration.name,
        recipe=recipe,
        unit=declaration.unit,
        units=len(units),
        stored=stored,
        cells=tuple(cells),
        quarantined=quarantined,
        blocked=blocked,
        changes=changes,
        skipped=skipped,
        carryable=frozenset(carryable),
    )


def units_of(
    declaration: Declaration, kinds: frozenset[str], assets: Collection[Asset]
) -> list[UnitId]:
    """The units that a feature has among assets, in order; ``kinds`` are those it applies to."""
    fitting = sorted((asset for asset in assets if asset.kind in kinds), key=attrgetter("id"))
    if declaration.unit == "asset":
        return [UnitId(asset.id) for asset in fitting]
    return sorted(
        pair_unit(one.id, other.id)
        for group in _groups(fitting, declaration.pairs)
        for one, other in combinations_with_replacement(group, 2)
    )


def _groups(assets: Sequence[Asset], within: str) -> list[list[Asset]]:
    """Assets that may pair with each other; an asset without a show is a show of its own."""
    if within == "catalog":
        return [list(assets)]
    groups: dict[str, list[Asset]] = {}
    for asset in assets:
        key = asset.title if within == "title" else (asset.show or f"title {asset.title}")
        groups.setdefault(key, []).append(asset)
    return list(groups.values())


def _fresh_reason(
    declaration: Declaration, held: Held, needs: Mapping[FeatureName, FeaturePlan]
) -> Reason:
    """Why a unit is missing that no recipe of the feature ever covered."""
    if held.stored or held.earlier or not declaration.needs:
        return Reason.NEW_ASSET
    settled = all(not needs[need].cells for need in declaration.needs.values())
    return Reason.NEW_FEATURE if settled else Reason.NEW_ASSET


def _difference(old: Recipe, new: Recipe) -> tuple[Reason, str]:
    """The first part in which two recipes of a feature differ, as a reason and in words."""
    if old.version != new.version:
        return Reason.VERSION, f"{old.version} → {new.version}"
    for reason, before, after in (
        (Reason.PARAMS, old.params, new.params),
        (Reason.TOOLS, old.weights, new.weights),
        (Reason.TOOLS, old.tools, new.tools),
    ):
        if before != after:
            name = next(
                key
                for key in sorted({*before, *after})
                if (key in before, before.get(key)) != (key in after, after.get(key))
            )
            return reason, f"{name} {before.get(name, 'absent')} → {after.get(name, 'absent')}"
    moved = sorted(
        argument
        for argument in {*old.needs, *new.needs}
        if old.needs.get(argument) != new.needs.get(argument)
    )
    return Reason.INPUT, f"({', '.join(moved)})" if moved else ""


def _why_blocked(
    unit: str,
    declaration: Declaration,
    stuck: Mapping[FeatureName, Set[str]],
    needs: Mapping[FeatureName, FeaturePlan],
) -> str | None:
    found = _stuck_need(unit, declaration, stuck, needs)
    return _block_sentence(found[1], found[0], needs[found[0]]) if found else None


def _stuck_need(
    unit: str,
    declaration: Declaration,
    stuck: Mapping[FeatureName, Set[str]],
    needs: Mapping[FeatureName, FeaturePlan],
) -> tuple[FeatureName, str] | None:
    """The first need, with its unit, that has no value and gets none."""
    for need, units in stuck.items():
        if unit in units:
            return need, unit
        if declaration.unit == "pair" and needs[need].unit == "asset":
            for asset in pair_assets(unit):
                if asset in units:
                    return need, asset
    return None


def _block_sentence(unit: str, need: FeatureName, part: FeaturePlan) -> str:
    if unit in part.quarantined:
        return f"waits for '{need}', which is quarantined: {part.quarantined[unit].error}"
    return part.blocked[unit]
