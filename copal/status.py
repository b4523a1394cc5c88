"""How things stand: coverage by feature, files that were refused, and why a cell is as it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from copal.asset import Asset, Place
from copal.errors import FeatureError, RequestError
from copal.fingerprint import UnitId, pair_assets, pair_unit
from copal.plan import FeaturePlan, Reason
from copal.project import Project
from copal.registry import FeatureName
from copal.store import StoredValue


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many units of a feature are in which state."""

    feature: FeatureName
    version: int
    stored: int
    """With rows."""
    empty: int
    """Computed, and nothing was found."""
    failed: int
    """Tried without success; tried again by the next run."""
    quarantined: int
    """Failed for good; not tried again until something changes."""
    blocked: int
    """Waiting for a need that is quarantined."""
    missing: int
    """Not tried yet."""
    note: str = ""
    """Why nothing can be said, such as weights that are not there."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A cell that failed."""

    feature: FeatureName
    unit: str
    name: str
    error: str
    final: bool


@dataclass(frozen=True, slots=True)
class Status:
    """How the whole project stands."""

    coverage: tuple[Coverage, ...]
    problems: tuple[Problem, ...]
    refused: tuple[Place, ...]
    """Places whose bytes could not be brought in."""
    assets: int
    titles: int


def status(project: Project, titles: Sequence[str] = ()) -> Status:
    """Coverage of every declared feature on titles, or on everything."""
    assets = project.select(titles)
    names = {str(asset.id): project.titles[asset.title].name for asset in assets}
    coverage: list[Coverage] = []
    problems: list[Problem] = []
    ready, notes = _computable(project)
    plan = project.plan(ready, titles) if ready else ()
    for part in plan:
        empty = project.store.table(part.recipe).index().empty
        coverage.append(_coverage(part, len(empty) if not titles else _among(empty, names)))
        problems += _problems(project, part, names)
    for name, note in notes.items():
        version = project.graph.declaration(name).version
        coverage.append(Coverage(name, version, 0, 0, 0, 0, 0, 0, note))
    order = {name: index for index, name in enumerate(project.graph.order)}
    coverage.sort(key=lambda each: order[each.feature])
    refused = tuple(place for place in project.catalog.places() if place.asset is None)
    return Status(
        tuple(coverage), tuple(problems), refused, len(assets), len({a.title for a in assets})
    )


def _computable(project: Project) -> tuple[list[FeatureName], dict[FeatureName, str]]:
    """Features that have a recipe here, and why the others have none.

    One that is computed only when named counts once something of it was stored.
    """
    ready: list[FeatureName] = []
    notes: dict[FeatureName, str] = {}
    default = set(project.graph.targets())
    for name in project.graph.order:
        if name not in default and not project.store.recipes(name):
            continue
        needs = project.graph.declaration(name).needs.values()
        stuck = next((need for need in needs if need in notes), None)
        if stuck is not None:
            notes[name] = f"needs '{stuck}'"
            continue
        try:
            project.recipes([name])
        except FeatureError as exc:
            notes[name] = str(exc)
        else:
            ready.append(name)
    return ready, notes


def _among(units: Iterable[str], names: Mapping[str, str]) -> int:
    return sum(all(asset in names for asset in pair_assets(unit) if asset) for unit in units)


def _coverage(part: FeaturePlan, empty: int) -> Coverage:
    retried = part.reasons[Reason.RETRY]
    return Coverage(
        feature=part.feature,
        version=part.recipe.version,
        stored=part.stored - empty,
        empty=empty,
        failed=retried,
        quarantined=len(part.quarantined),
        blocked=len(part.blocked),
        missing=len(part.cells) - retried,
    )


def _problems(project: Project, part: FeaturePlan, names: Mapping[str, str]) -> list[Problem]:
    failing = dict(part.quarantined)
    if part.reasons[Reason.RETRY]:
        held = project.held({part.feature: part.recipe})[part.feature]
        wanted = {cell.unit for cell in part.cells if cell.reason is Reason.RETRY}
        failing |= {unit: held.failures[unit] for unit in wanted if unit in held.failures}
    return [
        Problem(part.feature, unit, _unit_name(unit, names), failure.error, failure.final)
        for unit, failure in sorted(failing.items())
    ]


def _unit_name(unit: str, names: Mapping[str, str]) -> str:
    return " + ".join(names.get(each, each[:8]) for each in pair_assets(unit) if each)


def why(project: Project, asset: str, feature: str, other: str | None = None) -> list[str]:
    """Sentences on why a cell is stored, missing, failed, quarantined or blocked.

    Parameters
    ----------
    other
        The second asset, for a feature that covers pairs.
    """
    declaration = project.graph.declaration(feature)
    first = project.asset(asset)
    assets: list[Asset] = [first]
    unit = UnitId(first.id)
    if declaration.unit == "pair":
        second = project.asset(other) if other else first
        assets.append(second)
        unit = pair_unit(first.id, second.id)
    elif other:
        raise RequestError(f"'{feature}' covers one asset; {asset} and {other} are two.")
    what = f"'{feature}' on {' and '.join(dict.fromkeys(_named(project, each) for each in assets))}"
    kinds = project.graph.kinds(feature)
    if wrong := [each for each in assets if each.kind not in kinds]:
        return [
            f"{what}: not asked for. {wrong[0].name} is {wrong[0].kind}, "
            f"and the feature starts from {', '.join(sorted(kinds))}."
        ]
    part = project.plan([feature], [each.id for each in assets]).feature(feature)
    table = project.store.table(part.recipe)
    label = f"v{part.recipe.version}, recipe {part.recipe.id[:8]}"
    if unit in part.quarantined:
        failure = part.quarantined[unit]
        kind = "failed for good" if not failure.retryable else f"failed {failure.tries} times"
        return [
            f"{what}: quarantined ({label}); it {kind}: {failure.error}",
            "It is tried again when its recipe changes, or after 'copal retry'.",
        ]
    if unit in part.blocked:
        return [f"{what}: blocked ({label}); it {part.blocked[unit]}"]
    for cell in part.cells:
        if cell.unit == unit:
            return [_missing(what, label, part, cell.reason, project)]
    return _stored(what, label, table.read([unit])[unit], project, feature)


def _missing(what: str, label: str, part: FeaturePlan, reason: Reason, project: Project) -> str:
    change = part.changes.get(reason)
    because = f"{reason} {change}" if change else str(reason)
    return f"{what}: missing ({label}), because: {because}. 'copal run {part.feature}' computes it."


def _stored(what: str, label: str, value: StoredValue, project: Project, feature: str) -> list[str]:
    rows = f"{value.rows.num_rows} rows" if value.state == "ok" else "empty: it found nothing"
    sentences = [
        f"{what}: stored ({label}), {rows}, by run {value.run_id} "
        f"at {value.published_at:%Y-%m-%d %H:%M} UTC."
    ]
    if value.carried_from:
        sentences.append(
            f"Carried over from recipe {value.carried_from[:8]}, whose inputs were equal."
        )
    needs = project.graph.declaration(feature).needs
    if needs:
        sentences.append(
            "It follows from " + ", ".join(f"'{need}'" for need in needs.values())
            + f"; inputs {value.inputs_digest[:8]}, value {value.value_digest[:8]}."
        )  # fmt: skip
    return sentences


def _named(project: Project, asset: Asset) -> str:
    return f"{project.titles[asset.title].name} ({asset.short})"
