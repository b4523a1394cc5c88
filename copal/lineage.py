"""Where a value comes from: the values it was made of, and who made each, when and with what."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from html import escape

from copal.drawing import Box, boxes_svg, page
from copal.errors import MissingValue
from copal.fingerprint import AssetId, UnitId, pair_assets
from copal.graph import Recipe
from copal.project import Project
from copal.registry import FeatureName
from copal.store import Attempt, StoredValue
from copal.why import asked, partly, why


@dataclass(frozen=True, slots=True)
class Origin:
    """A value, how it was made, and the values it was made of."""

    feature: FeatureName
    unit: UnitId
    name: str
    """The unit for people: ``Harbour``, or ``Harbour + Night Train``."""
    recipe: Recipe
    value_digest: str = ""
    """Empty when the value is not stored any more; then nothing below is known."""
    inputs_digest: str = ""
    rows: int = 0
    files: int = 0
    run_id: str = ""
    """The run that published it."""
    published_at: datetime | None = None
    carried_from: str = ""
    """The recipe under which its rows, or some of them, were computed."""
    made: Attempt | None = None
    """The attempt that computed it; that of the older recipe when all of it was carried over."""
    essences: tuple[str, ...] = ()
    """Streams of the source, ``video 3f9a07c1``, of a feature that starts from media."""
    needs: Mapping[str, tuple[Origin, ...]] = field(default_factory=dict)
    """Argument → the values that were taken: two for a feature of pairs."""

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from every other value."""
        return self.feature, self.recipe.id, self.unit

    def to_json(self) -> dict[str, object]:
        """All of it, needs included."""
        made = self.made
        return {
            "feature": self.feature, "version": self.recipe.version, "recipe": self.recipe.id,
            "unit": self.unit, "title": self.name, "value_digest": self.value_digest,
            "inputs_digest": self.inputs_digest, "rows": self.rows, "files": self.files,
            "run": self.run_id, "published_at": str(self.published_at or ""),
            "carried_from": self.carried_from, "params": dict(self.recipe.params),
            "tools": dict(self.recipe.tools), "weights": dict(self.recipe.weights),
            "computed_by": made.run_id if made else "", "machine": made.machine if made else "",
            "code_digest": made.code_digest if made else "",
            "seconds": made.seconds if made else None,
            "cpu_seconds": made.cpu_seconds if made else None,
            "essences": list(self.essences),
            "needs": {a: [each.to_json() for each in some] for a, some in self.needs.items()},
        }  # fmt: skip


def lineage(project: Project, feature: str, asset: str, other: str | None = None) -> Origin:
    """Where the value of a feature that readers see comes from.

    Parameters
    ----------
    feature
        ``FEATURE``, or ``FEATURE@AT`` for another recipe than the released one.
    other
        The second asset, for a feature that covers pairs.

    Raises
    ------
    MissingValue
        The value is not stored.
    """
    seen = project.at("", feature)
    cell = asked(seen, asset, feature.partition("@")[0], other)
    recipe = seen.recipe(cell.feature)
    if not seen.store.table(recipe).digests([cell.unit]):
        raise MissingValue(" ".join(why(seen, asset, cell.feature, other)))
    return _Tracer(seen).origin(recipe, cell.unit)


class _Tracer:
    """Follows recipes and values back; each value is read once, however many were made of it."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.known: dict[tuple[str, str, str], Origin] = {}
        self.names: dict[AssetId, str] = {}

    def origin(self, recipe: Recipe, unit: UnitId) -> Origin:
        key = (recipe.feature, recipe.id, unit)
        if key not in self.known:
            value = self.project.store.table(recipe).read([unit]).get(unit)
            self.known[key] = (
                Origin(recipe.feature, unit, self.name(unit), recipe)
                if value is None
                else self._found(recipe, value)
            )
        return self.known[key]

    def _found(self, recipe: Recipe, value: StoredValue) -> Origin:
        return Origin(
            feature=recipe.feature,
            unit=value.unit,
            name=self.name(value.unit),
            recipe=recipe,
            value_digest=value.value_digest,
            inputs_digest=value.inputs_digest,
            rows=value.rows.num_rows,
            files=len(value.file_digests),
            run_id=value.run_id,
            published_at=value.published_at,
            carried_from=value.carried_from or "",
            made=self._made(recipe, value),
            essences=self._essences(recipe, value.unit),
            needs=self._needs(recipe, value.unit),
        )

    def _made(self, recipe: Recipe, value: StoredValue) -> Attempt | None:
        """The attempt that computed the value, or at least some of its rows."""
        store = self.project.store
        outcomes = ("stored", "empty", "carried")
        own = store.table(recipe).attempts(outcomes, [value.unit])
        found = next((each for each in own if each.run_id == value.run_id), None)
        if value.carried_from is None or (found is not None and found.shots_computed):
            return found
        for older in store.recipes(recipe.feature):
            if older.id == value.carried_from:
                made = store.table(older).attempts(outcomes[:2], [value.unit])
                return made[-1] if made else found
        return found

    def _needs(self, recipe: Recipe, unit: UnitId) -> dict[str, tuple[Origin, ...]]:
        graph, found = self.project.graph, {}
        declared = graph.declaration(recipe.feature).needs
        for argument, recipe_id in recipe.needs.items():
            need = declared.get(argument)
            if need is None:  # today's feature has no such argument any more
                continue
            try:
                older = self.project.store.find(need, recipe_id)
            except MissingValue:
                continue
            units = graph.units_of_need(recipe.feature, need, unit)
            found[argument] = tuple(self.origin(older, UnitId(each)) for each in units)
        return found

    def _essences(self, recipe: Recipe, unit: UnitId) -> tuple[str, ...]:
        if not self.project.graph.declaration(recipe.feature).of:
            return ()
        reads = getattr(self.project.bound(recipe.feature).instance, "reads", None)
        return tuple(
            f"{each.kind} {each.digest.rpartition(':')[2][:8]}"
            for each in self.project.asset(unit).essences
            if reads is None or each.kind in reads
        )

    def name(self, unit: str) -> str:
        """A unit for people."""
        for each in pair_assets(unit):
            if each and each not in self.names:
                self.names[each] = self.project.titles[self.project.asset(each).title].name
        return " + ".join(dict.fromkeys(self.names[each] for each in pair_assets(unit) if each))


def tools_of(origin: Origin) -> dict[str, str]:
    """Tools and weights by name, as the recipe names them."""
    return dict(origin.recipe.tools) | {n: d[:8] for n, d in origin.recipe.weights.items()}


# Drawn


def lineage_svg(root: Origin) -> str:
    """The values as boxes with their digests, the media's to the left, the one asked for right."""
    found: dict[Hashable, Origin] = {}
    lines: dict[tuple[Hashable, Hashable, str], None] = {}
    depth: dict[Hashable, int] = {}
    for origin, level in _walk(root, 0):
        found[origin.key] = origin
        depth[origin.key] = max(level, depth.get(origin.key, 0))
        for needed in _needed(origin):
            lines[needed.key, origin.key, "need"] = None
    deepest = max(depth.values())
    columns = [[key for key in found if depth[key] == deepest - i] for i in range(deepest + 1)]
    boxes = {key: _box(origin) for key, origin in found.items()}
    label = f"What {root.feature} of {root.name} was made of"
    return boxes_svg(columns, boxes, list(lines), label)


def lineage_html(root: Origin) -> str:
    """A self-contained page with the picture and a table of the values."""
    seen = {origin.key: origin for origin, _ in _walk(root, 0)}
    rows = "".join(
        f"<tr><td><b>{escape(each.feature)}</b></td><td>{escape(each.name)}</td>"
        + "".join(f"<td>{escape(line)}</td>" for line in (_digests(each), *facts(each)))
        + "</tr>"
        for each in seen.values()
    )
    return page(f"{root.feature} of {root.name}: where it comes from", lineage_svg(root), rows)


def facts(origin: Origin) -> list[str]:
    """Who made a value, when, with what and at what cost, each in a phrase."""
    if not origin.value_digest:
        return ["not stored any more"]
    made = origin.made
    said = [f"run {origin.run_id} at {origin.published_at:%Y-%m-%d %H:%M} UTC"]
    if made is not None and partly(made):
        said.append(
            f"{made.shots_computed:,} of {made.shots:,} shots computed, others carried over"
        )
    elif origin.carried_from:
        said.append(f"carried over from recipe {origin.carried_from[:8]}")
        if made is not None and made.run_id != origin.run_id:
            said.append(f"computed by run {made.run_id}")
    if made is not None:
        said.append(f"{made.seconds:.2g} s, {made.cpu_seconds:.2g} s CPU, on {made.machine}")
        said.append(f"code {made.code_digest[:8]}")
    if tools := tools_of(origin):
        said.append(", ".join(f"{name} {version}" for name, version in tools.items()))
    if origin.essences:
        said.append(f"of {', '.join(origin.essences)}")
    return said


def _digests(origin: Origin) -> str:
    value = f"value {origin.value_digest[:8]}" if origin.value_digest else "not stored"
    return f"{origin.recipe.label} {value}"


def _box(origin: Origin) -> Box:
    more = "\n".join([f"{origin.feature} of {origin.name}", *facts(origin)])
    kinds = "box pair" if "+" in origin.unit else "box"
    return Box(
        f"{origin.feature}", f"{origin.name[:18]} · {_digests(origin).partition(') ')[2]}", more,
        kinds if origin.value_digest else f"{kinds} optional",
    )  # fmt: skip


def _walk(origin: Origin, level: int) -> Iterator[tuple[Origin, int]]:
    yield origin, level
    for needed in _needed(origin):
        yield from _walk(needed, level + 1)


def _needed(origin: Origin) -> list[Origin]:
    found = {each.key: each for some in origin.needs.values() for each in some}
    return list(found.values())
