"""What depends on what: the features of a registry as a graph, and their recipes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import networkx as nx

from copal.errors import DependencyCycle
from copal.fingerprint import Json, RecipeId, fingerprint, pair_assets
from copal.registry import KINDS, Declaration, FeatureName, Registry


@dataclass(frozen=True, slots=True)
class Ingredients:
    """What decides a feature's rows apart from the media and from its needs."""

    params: Mapping[str, Json] = field(default_factory=dict)
    """All params with their defaults filled in, less those that only change speed."""
    weights: Mapping[str, str] = field(default_factory=dict)
    """Name → digest."""
    tools: Mapping[str, str] = field(default_factory=dict)
    """Name → version."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A feature as it is declared today, with everything that its rows follow from."""

    feature: FeatureName
    version: int
    params: Mapping[str, Json]
    weights: Mapping[str, str]
    tools: Mapping[str, str]
    needs: Mapping[str, RecipeId]
    """Argument → recipe of the need."""

    @property
    def id(self) -> RecipeId:
        """Digest of all parts; equal recipes give equal rows for equal media."""
        return RecipeId(fingerprint("recipe", **self.parts(), needs=dict(self.needs)))

    @property
    def label(self) -> str:
        """For people: ``v2 (379678fb)``."""
        return f"v{self.version} ({self.id[:8]})"

    def parts(self) -> dict[str, Json]:
        """The parts without the needs, whose *values* stand in for them in an inputs digest."""
        return {
            "version": self.version,
            "params": dict(self.params),
            "weights": dict(self.weights),
            "tools": dict(self.tools),
        }

    def to_json(self) -> dict[str, Json]:
        """All named parts, as kept in ``recipe.json``."""
        return {"feature": self.feature, **self.parts(), "needs": dict(self.needs)}

    @staticmethod
    def from_json(data: Mapping[str, object]) -> Recipe:
        """The recipe that ``to_json`` wrote."""
        return Recipe(**data)  # type: ignore[arg-type]  # the reader of recipe.json checks its id


class Graph:
    """The features of a registry in an order in which they can be computed."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._graph: nx.DiGraph = nx.DiGraph()
        self._graph.add_nodes_from(registry.features)
        self._graph.add_edges_from(
            (need, name)
            for name, declaration in registry.features.items()
            for need in declaration.needs.values()
        )
        try:
            cycle = nx.find_cycle(self._graph)
        except nx.NetworkXNoCycle:
            pass
        else:
            circle = " → ".join([cycle[0][0], *(edge[1] for edge in cycle)])
            raise DependencyCycle(
                f"{registry.where}: a circle of needs: {circle}. Remove one of these needs."
            )
        place = {name: index for index, name in enumerate(registry.features)}
        self.order: tuple[FeatureName, ...] = tuple(
            nx.lexicographical_topological_sort(self._graph, key=place.__getitem__)
        )
        """Every feature after all its needs; as declared where the needs leave a choice."""

    def declaration(self, name: str) -> Declaration:
        """The declaration of a feature, or ``UnknownFeature``."""
        return self.registry.feature(name)

    def targets(self, names: Iterable[str] = ()) -> tuple[FeatureName, ...]:
        """The features named, or the default ones, with all they need, in order."""
        wanted = [self.declaration(name).name for name in names] or [
            name for name, declaration in self.registry.features.items() if declaration.default
        ]
        closure = set(wanted).union(*(nx.ancestors(self._graph, name) for name in wanted))
        return tuple(name for name in self.order if name in closure)

    def followers(self, name: str) -> tuple[FeatureName, ...]:
        """Every feature that needs this one, directly or not, in order."""
        found = nx.descendants(self._graph, self.declaration(name).name)
        return tuple(other for other in self.order if other in found)

    def units_of_need(self, feature: str, need: str, unit: str) -> tuple[str, ...]:
        """The units of a need that a unit of a feature takes: both assets' for a pair of them."""
        mine, its = self.declaration(feature).unit, self.declaration(need).unit
        if mine == "pair" and its == "asset":
            return tuple(dict.fromkeys(pair_assets(unit)))
        return (unit,)

    def layers(self) -> list[Sequence[FeatureName]]:
        """Features by their distance from the media, for drawing."""
        return [sorted(layer, key=self.order.index) for layer in
                nx.topological_generations(self._graph)]  # fmt: skip

    def implied(self) -> frozenset[tuple[FeatureName, FeatureName]]:
        """Edges (need, feature) that another way between the two implies; drawn more lightly."""
        return frozenset(set(self._graph.edges) - set(nx.transitive_reduction(self._graph).edges))

    def kinds(self, name: str) -> frozenset[str]:
        """Kinds of asset that have a value of the feature: those that all its beginnings take."""
        found = frozenset(KINDS)
        for each in self.targets([name]):
            if of := self.declaration(each).of:
                found &= set(of)
        return found

    def recipes(
        self, names: Iterable[FeatureName], ingredients: Mapping[FeatureName, Ingredients]
    ) -> dict[FeatureName, Recipe]:
        """Recipe of each feature named; ``names`` holds the needs of each before it."""
        made: dict[FeatureName, Recipe] = {}
        ids: dict[FeatureName, RecipeId] = {}
        for name in names:
            declaration = self.declaration(name)
            given = ingredients[name]
            recipe = Recipe(
                feature=name,
                version=declaration.version,
                params=given.params,
                weights=given.weights,
                tools=given.tools,
                needs={argument: ids[need] for argument, need in declaration.needs.items()},
            )
            made[name], ids[name] = recipe, recipe.id
        return made
