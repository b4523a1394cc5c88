"""What an edit of registry.yaml means: recipes that move, cells that follow, and their price."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from copal import binding
from copal.errors import BadParams, FeatureError, RegistryError, RequestError
from copal.flow.quote import quote
from copal.graph import Graph, Ingredients, Recipe
from copal.plan import FeaturePlan, Plan
from copal.price import Price
from copal.project import REGISTRY_FILE, Project
from copal.registry import Declaration, FeatureName, parse
from copal.why import differences

GIT_SECONDS = 30


class Kind(StrEnum):
    """How a feature differs from what it was."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    """A part of its own recipe moved by the edit."""
    MOVED = "moved"
    """A part of its own recipe moved without the edit: a tool, weights, a default in the code."""
    FOLLOWS = "follows"
    """Only the recipes of its needs moved."""
    SCOPE = "scope"
    """The recipe is the same, and it is asked for on other units, or by default or not."""


@dataclass(frozen=True, slots=True)
class Change:
    """One feature that is not what it was."""

    feature: FeatureName
    kind: Kind
    parts: tuple[str, ...]
    """What moved: ``params.threshold 27.0 → 30.0``; the needs, for one that follows."""
    cells: int = 0
    """Cells that have a value today and must be computed again, or that are newly asked for."""
    carryable: int = 0
    """Cells of these that perhaps are carried over."""
    units: int = 0


@dataclass(frozen=True, slots=True)
class RegistryDiff:
    """What the working tree's registry means beside that of a commit."""

    ref: str
    changes: tuple[Change, ...]
    plan: Plan
    """The cells that follow."""
    price: Price

    @property
    def drift(self) -> bool:
        """Whether anything that is stored, read or computed differs."""
        return bool(self.changes)


def diff(project: Project, ref: str = "HEAD", *, max_workers: int | None = None) -> RegistryDiff:
    """Compare the registry with that of a commit, and both with what is stored.

    The older registry's recipes are computed with today's code, tools and weights. A recipe whose
    newest table was made with others counts as moved.

    Raises
    ------
    RequestError
        There is no git repository, no such commit, or no registry in it.
    """
    older = Graph(parse(committed(project, ref), where=f"{ref}:{REGISTRY_FILE}"))
    graph = project.graph
    new = {name: each for name in graph.order if (each := _recipe_of(project, name)) is not None}
    old, broken = _recipes(project, older)
    stored = {name: _newest(project, name, new.get(name)) for name in graph.order}
    changes: dict[FeatureName, tuple[Kind, list[str]]] = {}
    for name in graph.order:
        if name not in older.registry.features:
            changes[name] = Kind.ADDED, []
        elif name in broken:
            changes[name] = Kind.CHANGED, [broken[name]]
        elif name in new and name in old:
            before, after = older.declaration(name), graph.declaration(name)
            if found := _change(old[name], new[name], stored[name], before, after, set(changes)):
                changes[name] = found
    changes |= {
        name: (Kind.REMOVED, []) for name in older.order if name not in graph.registry.features
    }
    plan = _following(project, {n: k for n, (k, _) in changes.items() if n in new}, stored)
    parts = {part.feature: part for part in plan}
    return RegistryDiff(
        ref=ref,
        changes=tuple(
            Change(name, kind, tuple(said), *_counts(parts.get(name)))
            for name, (kind, said) in changes.items()
        ),
        plan=plan,
        price=quote(project, plan, flow=True, max_workers=max_workers),
    )


def committed(project: Project, ref: str) -> str:
    """The text of ``registry.yaml`` as a commit has it.

    Raises
    ------
    RequestError
        There is no git repository, no such commit, or no registry in it.
    """
    if ref.startswith("-"):
        raise RequestError(f"'{ref}' is no commit. Name one, such as HEAD~1 or main.")
    command = ["git", "-C", str(project.root), "show", f"{ref}:./{REGISTRY_FILE}"]
    try:
        ran = subprocess.run(command, capture_output=True, timeout=GIT_SECONDS, check=False)
    except FileNotFoundError:
        raise RequestError("git is not installed, and 'copal diff' asks it for a commit.") from None
    except subprocess.TimeoutExpired:
        raise RequestError(
            f"git did not answer within {GIT_SECONDS} s about '{ref}' in {project.root}. Try again."
        ) from None
    if ran.returncode:
        said = ran.stderr.decode(errors="replace").strip().splitlines() or ["git said nothing"]
        if "not a git repository" in said[0]:
            raise RequestError(
                f"{project.root} is in no git repository, so there is no older registry to "
                "compare with."
            )
        raise RequestError(
            f"no {REGISTRY_FILE} at '{ref}': {said[0].removeprefix('fatal: ').rstrip('.')}."
        )
    return ran.stdout.decode(errors="replace")


def _newest(project: Project, name: FeatureName, today: Recipe | None) -> Recipe | None:
    """Today's recipe where it has a table, else the newest that has one."""
    stored = project.store.recipes(name)
    if today is not None and any(each.id == today.id for each in stored):
        return today
    return stored[0] if stored else None


def _recipe_of(project: Project, name: FeatureName) -> Recipe | None:
    try:
        return project.recipes([name])[name]
    except FeatureError:  # without weights it cannot be computed here, whatever the registry says
        return None


def _recipes(
    project: Project, graph: Graph
) -> tuple[dict[FeatureName, Recipe], dict[FeatureName, str]]:
    """Recipes of the older registry, and why some features have none with today's code."""
    found: dict[FeatureName, Ingredients] = {}
    broken: dict[FeatureName, str] = {}
    for name in graph.order:
        needs = graph.declaration(name).needs.values()
        if any(need not in found for need in needs):
            continue
        try:
            bound = binding.bind(graph.declaration(name), project.root, graph.registry.where)
            found[name] = binding.ingredients(bound)
        except FeatureError:
            continue
        except (BadParams, RegistryError) as exc:
            broken[name] = f"today's code does not take what it declared: {exc}"
    return graph.recipes(found, found), broken


def _change(
    old: Recipe,
    new: Recipe,
    stored: Recipe | None,
    before: Declaration,
    after: Declaration,
    changed: set[FeatureName],
) -> tuple[Kind, list[str]] | None:
    if parts := [*differences(old, new), *_other_needs(before, after)]:
        return Kind.CHANGED, parts
    if stored is not None and (parts := [*differences(stored, new)]):
        return Kind.MOVED, parts
    if moved := [need for need in dict.fromkeys(after.needs.values()) if need in changed]:
        return Kind.FOLLOWS, [str(need) for need in moved]
    scope = []
    for name in ("pairs", "of", "unit", "default"):
        one, other = getattr(before, name), getattr(after, name)
        if one != other:
            scope.append(f"{name} {_plain(one)} → {_plain(other)}")
    return (Kind.SCOPE, scope) if scope else None


def _other_needs(before: Declaration, after: Declaration) -> list[str]:
    return [
        f"needs.{argument} {before.needs[argument]} → {after.needs[argument]}"
        for argument in after.needs
        if argument in before.needs and before.needs[argument] != after.needs[argument]
    ]


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _following(
    project: Project, kinds: Mapping[FeatureName, Kind], stored: Mapping[FeatureName, Recipe | None]
) -> Plan:
    """The cells that follow from the changes: of what had a value, and of what is newly asked."""
    if not kinds:
        return Plan(())
    found = []
    for part in project.plan(list(kinds)):
        if part.feature not in kinds:
            continue
        before = stored.get(part.feature)
        if kinds[part.feature] not in (Kind.ADDED, Kind.SCOPE):
            had = project.store.table(before).index().units if before is not None else frozenset()
            cells = tuple(cell for cell in part.cells if cell.unit in had)
            part = replace(part, cells=cells, carryable=part.carryable & had)
        found.append(part)
    return Plan(tuple(found))


def _counts(part: FeaturePlan | None) -> tuple[int, int, int]:
    return (len(part.cells), len(part.carryable), part.units) if part is not None else (0, 0, 0)
