"""Why a cell is as it is: in sentences, down to the part of a recipe that moved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from copal.asset import Asset
from copal.errors import RequestError
from copal.fingerprint import Json, UnitId, pair_unit
from copal.graph import Recipe
from copal.plan import FeaturePlan, Reason, plan, units_of
from copal.project import Project, failures
from copal.registry import FeatureName
from copal.store import Attempt, StoredValue
from copal.store.base import ValueTable

SHOT_INDEX = "shot_index"
"""Numbers the rows of a shot anew when one before it moves, so it is no difference by itself."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The cell that is asked about."""

    feature: FeatureName
    unit: UnitId
    assets: tuple[Asset, ...]
    what: str
    """For people: ``'shots' on Harbour (917d73c2)``."""


def asked(project: Project, asset: str, feature: str, other: str | None = None) -> Asked:
    """The cell of a feature on an asset, or on two.

    Raises
    ------
    RequestError
        A second asset is named for a feature that covers one; or a name means none, or two.
    """
    declaration = project.graph.declaration(feature)
    assets = [project.asset(asset)]
    unit = UnitId(assets[0].id)
    if declaration.unit == "pair":
        assets.append(project.asset(other) if other else assets[0])
        unit = pair_unit(assets[0].id, assets[1].id)
    elif other:
        raise RequestError(f"'{feature}' covers one asset; {asset} and {other} are two.")
    titles = project.catalog.titles_of(each.title for each in assets)
    names = dict.fromkeys(f"{titles[each.title].name} ({each.short})" for each in assets)
    what = f"'{declaration.name}' on {' and '.join(names)}"
    return Asked(declaration.name, unit, tuple({a.id: a for a in assets}.values()), what)


def why(project: Project, asset: str, feature: str, other: str | None = None) -> list[str]:
    """Sentences on why a cell is stored, stale, missing, failed, skipped, quarantined or blocked.

    Parameters
    ----------
    other
        The second asset, for a feature that covers pairs.
    """
    cell = asked(project, asset, feature, other)
    kinds = project.graph.kinds(cell.feature)
    if wrong := [each for each in cell.assets if each.kind not in kinds]:
        return [
            f"{cell.what}: not asked for. {wrong[0].name} is {wrong[0].kind}, "
            f"and the feature starts from {', '.join(sorted(kinds))}."
        ]
    declaration = project.graph.declaration(cell.feature)
    if cell.unit not in units_of(declaration, kinds, cell.assets):
        return [
            f"{cell.what}: not asked for. The feature pairs assets within one {declaration.pairs}, "
            "and these two are of different ones."
        ]
    recipes = project.recipes([cell.feature])
    units = {
        u for name in recipes for u in project.graph.units_of_need(cell.feature, name, cell.unit)
    }
    found = plan(project.graph, recipes, cell.assets, project.held(recipes, sorted(units)))
    part = found.feature(cell.feature)
    today = project.store.table(part.recipe)
    told = _state(project, cell, part, today)
    return told + _moved(project, recipes, cell)


# The state


def _state(project: Project, cell: Asked, part: FeaturePlan, today: ValueTable) -> list[str]:
    label = f"v{part.recipe.version}, recipe {part.recipe.id[:8]}"
    unit = cell.unit
    if unit in part.quarantined:
        failure = part.quarantined[unit]
        kind = f"failed {failure.tries} times" if failure.retryable else "failed for good"
        return [
            f"{cell.what}: quarantined ({label}); it {kind}: {failure.error}",
            "It is tried again when its recipe changes, or after 'copal retry'.",
        ]
    if unit in part.skipped:
        return [
            f"{cell.what}: skipped ({label}): {part.skipped[unit]}",
            f"A rule under 'errors' of {project.registry.where} says that this is no failure.",
        ]
    if unit in part.blocked:
        return [f"{cell.what}: blocked ({label}); it {part.blocked[unit]}"]
    planned = next((each for each in part.cells if each.unit == unit), None)
    if planned is None:
        return _stored(project, cell, label, today.read([unit])[unit], today)
    computes = f"'copal run {cell.feature}' computes it."
    if planned.reason is Reason.RETRY:
        failure = failures(project.store.table(part.recipe), [unit])[unit]
        times = "once" if failure.tries == 1 else f"{failure.tries} times"
        last = f" It failed {times}: {failure.error}" if failure.tries else ""
        return [f"{cell.what}: failed ({label}), and the next run tries it again.{last}"]
    if planned.reason in (Reason.NEW_ASSET, Reason.NEW_FEATURE):
        return [f"{cell.what}: missing ({label}), because: {planned.reason}. {computes}"]
    change = part.changes.get(planned.reason)
    because = f"{planned.reason} {change}" if change else str(planned.reason)
    carried = "carries it over if its needs come out as they were, or " if part.carryable else ""
    return [
        f"{cell.what}: stale: stored under an older recipe, not under today's ({label}), because: "
        f"{because}. 'copal run {cell.feature}' {carried}computes it."
    ]


def _stored(
    project: Project, cell: Asked, label: str, value: StoredValue, table: ValueTable
) -> list[str]:
    rows = _count(value.rows.num_rows, "row") if value.state == "ok" else "empty: it found nothing"
    sentences = [
        f"{cell.what}: stored ({label}), {rows}, by run {value.run_id} "
        f"at {value.published_at:%Y-%m-%d %H:%M} UTC."
    ]
    made = _attempt(table, value)
    if made is not None and partly(made):
        sentences.append(
            f"{made.shots_computed:,} of {made.shots:,} shots were computed; the others did not "
            "move, and their rows were carried over."
        )
    elif value.carried_from:
        sentences.append(
            f"Carried over from recipe {value.carried_from[:8]}, whose inputs were equal."
        )
    needs = project.graph.declaration(cell.feature).needs
    if needs:
        sentences.append(
            "It follows from " + ", ".join(f"'{need}'" for need in needs.values())
            + f"; inputs {value.inputs_digest[:8]}, value {value.value_digest[:8]}."
        )  # fmt: skip
    return sentences


def partly(made: Attempt) -> bool:
    """Whether some shots of a value were computed, and the rows of others carried over."""
    return bool(made.shots_computed) and made.shots != made.shots_computed


def _attempt(table: ValueTable, value: StoredValue) -> Attempt | None:
    """The attempt that stored a value."""
    made = table.attempts(["stored", "empty", "carried"], [value.unit])
    return next((each for each in made if each.run_id == value.run_id), None)


# What moved


def _moved(project: Project, recipes: Mapping[FeatureName, Recipe], cell: Asked) -> list[str]:
    """Each part that moved since the newest earlier recipe that has the unit, needs first."""
    new = recipes[cell.feature]
    for old in project.store.others(new):
        if project.store.table(old).index([cell.unit]).units:
            said = dict.fromkeys(_steps(project, recipes, cell, old, new))
            return [f"Since {old.label}: {step}" for step in said]
    return []


def _steps(
    project: Project, recipes: Mapping[FeatureName, Recipe], cell: Asked, old: Recipe, new: Recipe
) -> Iterator[str]:
    known = {feature: project.store.recipes(feature) for feature in recipes}
    for argument, need in project.graph.declaration(new.feature).needs.items():
        was, now = old.needs.get(argument), new.needs[argument]
        if was is None or was == now:
            continue
        before = next((each for each in known[need] if each.id == was), None)
        if before is None:
            yield f"'{need}' moved; its recipe {was[:8]} is not stored any more."
        else:
            yield from _steps(project, recipes, cell, before, recipes[need])
    if parts := [*differences(old, new)]:
        units = project.graph.units_of_need(cell.feature, new.feature, cell.unit)
        label = f"{new.feature} v{new.version}"
        if old.version != new.version:
            label, parts = f"{new.feature} v{old.version} → v{new.version}", parts[1:]
        moved = f"{label}: {'; '.join(parts)}" if parts else label
        yield f"{moved}; {_differing(project, old, new, units)}."


def differences(old: Recipe, new: Recipe) -> Iterator[str]:
    """Every own part in which two recipes differ: ``params.threshold 27.0 → 30.0``."""
    if old.version != new.version:
        yield f"version {old.version} → {new.version}"
    groups: tuple[tuple[str, Mapping[str, Json], Mapping[str, Json]], ...] = (
        ("params", old.params, new.params),
        ("weights", old.weights, new.weights),
        ("tools", old.tools, new.tools),
    )
    for group, before, after in groups:
        for name in sorted({*before, *after}):
            if (name in before, before.get(name)) != (name in after, after.get(name)):
                one, other = (_short(group, side.get(name, "absent")) for side in (before, after))
                yield f"{group}.{name} {one} → {other}"
    if [*old.needs] != [*new.needs] and (moved := sorted({*old.needs} ^ {*new.needs})):
        yield f"needs {', '.join(moved)}"


def _short(group: str, value: Json) -> str:
    return str(value)[:8] if group == "weights" else str(value)


def _differing(project: Project, old: Recipe, new: Recipe, units: Sequence[str]) -> str:
    """How many rows of a feature are others than they were, where both values are stored."""
    before, after = (project.store.table(each).read(units) for each in (old, new))
    both = [unit for unit in units if unit in before and unit in after]
    if not both:
        return "not computed anew yet"
    counts = [differing_rows(before[unit].rows, after[unit].rows) for unit in both]
    thing = "shot" if new.feature == "shots" else "row"
    total = sum(after[unit].rows.num_rows for unit in both)
    if not sum(counts):
        return f"its {_count(total, thing)} as before"
    return f"{sum(counts):,} of {_count(total, thing)} differ{'' if total > 1 else 's'}"


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def differing_rows(old: pa.Table, new: pa.Table) -> int:
    """How many rows of the new table the old one does not have, wherever they stand."""
    return sum((Counter(_row_keys(new)) - Counter(_row_keys(old))).values())


def _row_keys(rows: pa.Table) -> list[object]:
    names = [name for name in rows.column_names if name != SHOT_INDEX] or rows.column_names
    columns = [_column_keys(rows[name]) for name in names]
    return [*zip(*columns, strict=True)]


def _column_keys(column: pa.ChunkedArray) -> list[object]:
    import numpy as np

    kind = column.type
    if pa.types.is_fixed_size_list(kind) and not column.null_count and kind.list_size:
        flat = np.asarray(column.combine_chunks().flatten())
        return [row.tobytes() for row in flat.reshape(-1, kind.list_size)]
    return [repr(value) for value in column.to_pylist()]
