"""How things stand: coverage by feature, what failed, and files that were refused."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from copal.asset import Place
from copal.errors import DamagedTable, FeatureError
from copal.fingerprint import Digest, Json, fingerprint, pair_assets
from copal.graph import Recipe
from copal.plan import FeaturePlan, Held, Reason, plan
from copal.project import Project
from copal.registry import FeatureName
from copal.store import Catalog
from copal.store.summary import Summaries


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
    skipped: int = 0
    """Left out, with what needs them, by a rule of the registry that calls a failure none."""


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
    """Coverage of every declared feature on titles, or on everything.

    On everything it is looked up where the same was asked before and nothing was stored since.
    """
    ready, notes = _computable(project)
    recipes = project.recipes(ready) if ready else {}
    if titles:
        return _status(project, recipes, notes, titles)
    summaries = Summaries(project.store)
    versions = summaries.versions(recipes.values(), features=_declared(project, recipes, notes))
    name = fingerprint("coverage", recipes=[recipe.id for recipe in recipes.values()]) + ".json"
    if kept := _from_json(summaries.load(name), versions, project.catalog):
        return kept
    found = _status(project, recipes, notes)
    if {each.feature for each in found.coverage if each.note} == set(notes):  # else: damaged
        summaries.keep(name, _to_json(found, versions))
    return found


def _status(
    project: Project,
    recipes: Mapping[FeatureName, Recipe],
    notes: Mapping[FeatureName, str],
    titles: Sequence[str] = (),
) -> Status:
    assets = project.select(titles) if titles else project.catalog.assets(brief=True)
    known = {asset.id: asset for asset in assets}
    held, damaged = _held(project, recipes)
    recipes = {name: recipe for name, recipe in recipes.items() if name in held}
    notes = {**notes, **damaged}
    coverage: list[Coverage] = []
    problems: list[Problem] = []
    for part in plan(project.graph, recipes, assets, held):
        coverage.append(_coverage(part, _among(held[part.feature].empty, known)))
        problems += _problems(part, held[part.feature])
    names: dict[str, str] = {
        asset: project.titles[known[asset].title].name
        for problem in problems
        for asset in pair_assets(problem.unit)
        if asset
    }
    named = tuple(replace(each, name=_unit_name(each.unit, names)) for each in problems)
    for name, note in notes.items():
        version = project.graph.declaration(name).version
        coverage.append(Coverage(name, version, 0, 0, 0, 0, 0, 0, note=note))
    order = {name: index for index, name in enumerate(project.graph.order)}
    coverage.sort(key=lambda each: order[each.feature])
    refused = tuple(project.catalog.refused())
    return Status(tuple(coverage), named, refused, len(assets), len({a.title for a in assets}))


def _held(
    project: Project, recipes: Mapping[FeatureName, Recipe]
) -> tuple[dict[FeatureName, Held], dict[FeatureName, str]]:
    """What the store holds of each feature, and why of some, with what needs them, nobody knows."""
    try:
        return project.held(recipes), {}
    except DamagedTable:  # asked one by one, the others still tell
        held: dict[FeatureName, Held] = {}
        notes: dict[FeatureName, str] = {}
    for name in project.graph.order:
        needs = project.graph.declaration(name).needs.values()
        if name not in recipes:
            continue
        if (stuck := next((need for need in needs if need in notes), None)) is not None:
            notes[name] = f"needs '{stuck}'"
            continue
        try:
            held |= project.held({name: recipes[name]})
        except DamagedTable as exc:
            notes[name] = str(exc)
    return held, notes


def _declared(
    project: Project, recipes: Iterable[FeatureName], notes: Mapping[FeatureName, str]
) -> Json:
    """What coverage follows from, apart from recipes and from what the store holds."""
    declared = [project.graph.declaration(name) for name in recipes]
    return [
        [[each.name, each.unit, each.pairs, list(each.needs.values()),
          sorted(project.graph.kinds(each.name))] for each in declared],
        {str(name): note for name, note in notes.items()},
    ]  # fmt: skip


def _to_json(found: Status, versions: Digest) -> bytes:
    parts = {
        "versions": versions,
        "coverage": [_fields(each) for each in found.coverage],
        "problems": [_fields(each) for each in found.problems],
        "assets": found.assets,
        "titles": found.titles,
    }
    return json.dumps(parts, separators=(",", ":")).encode()


def _fields(thing: Coverage | Problem) -> dict[str, Json]:
    return {name: getattr(thing, name) for name in thing.__slots__}


def _from_json(data: bytes | None, versions: Digest, catalog: Catalog) -> Status | None:
    """What was kept, if it is of these versions and whole; refused places are read anew."""
    try:
        kept = json.loads(data or b"{}")
        if kept["versions"] != versions:
            return None
        coverage = tuple(Coverage(**each) for each in kept["coverage"])
        problems = tuple(Problem(**each) for each in kept["problems"])
        assets, titles = kept["assets"], kept["titles"]
    except (ValueError, KeyError, TypeError):  # damaged, or of a format of before
        return None
    return Status(coverage, problems, tuple(catalog.refused()), assets, titles)


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


def _among(units: Iterable[str], known: Container[str]) -> int:
    return sum(all(asset in known for asset in pair_assets(unit) if asset) for unit in units)


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
        skipped=len(part.skipped),
    )


def _problems(part: FeaturePlan, held: Held) -> list[Problem]:
    failing = dict(part.quarantined)
    if part.reasons[Reason.RETRY]:
        wanted = {cell.unit for cell in part.cells if cell.reason is Reason.RETRY}
        failing |= {unit: held.failures[unit] for unit in wanted if unit in held.failures}
    return [
        Problem(part.feature, unit, "", failure.error, failure.final)
        for unit, failure in sorted(failing.items())
    ]


def _unit_name(unit: str, names: Mapping[str, str]) -> str:
    return " + ".join(names.get(each, each[:8]) for each in pair_assets(unit) if each)
