"""Small values for tests of the engine: graphs from text, assets, recipes, stored values."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from textwrap import dedent
from typing import Any

import pyarrow as pa

from copal.asset import Asset, Essence
from copal.feature import LocalFile
from copal.fingerprint import AssetId, Digest, TitleId, UnitId
from copal.graph import Graph, Ingredients, Recipe
from copal.registry import FeatureName, parse
from copal.store import Attempt, StoredValue
from copal.store.base import new_value


def graph_of(features: str) -> Graph:
    """The graph of a registry whose features are given as YAML, without indentation."""
    body = "".join(f"  {line}\n" for line in dedent(features).strip().splitlines())
    return Graph(parse(f"project: test\nfeatures:\n{body}"))


def recipes_of(
    graph: Graph, names: tuple[str, ...] = (), **ingredients: Ingredients
) -> dict[FeatureName, Recipe]:
    """Recipes of features (all), each with nothing in it but what is given by name."""
    wanted = graph.targets(names or graph.order)
    found = {name: ingredients.get(name, Ingredients()) for name in wanted}
    return graph.recipes(wanted, found)


def recipe_of(feature: str = "shots", version: int = 1, **parts: Any) -> Recipe:
    """A recipe by itself."""
    given: dict[str, Any] = {"params": {}, "weights": {}, "tools": {}, "needs": {}} | parts
    return Recipe(feature=FeatureName(feature), version=version, **given)


def asset_of(
    name: str, title: str = "film", *, kind: str = "video", seconds: float = 60.0, **more: Any
) -> Asset:
    """An asset whose id and name are one word."""
    essences = (Essence(kind, f"ess1:{name}"), Essence("audio", f"ess1:sound of {name}"))
    return Asset(
        id=AssetId(name),
        kind=kind,
        title=TitleId(title),
        name=f"{name}.mov",
        duration_seconds=seconds,
        **({"essences": essences} | more),
    )


def value_of(
    unit: str,
    rows: pa.Table,
    files: Mapping[str, Path] | None = None,
    *,
    inputs: str = "inputs",
    run: str = "run-1",
) -> StoredValue:
    """A value as ``run`` publishes it."""
    handles = {name: LocalFile(path) for name, path in (files or {}).items()}
    return new_value(UnitId(unit), rows, handles, inputs_digest=Digest(inputs), run_id=run)


def attempt_of(unit: str, outcome: str, second: int = 0, **more: Any) -> Attempt:
    """An attempt at a given second of a day."""
    at = datetime(2026, 1, 2, 3, 4, second, tzinfo=UTC)
    return Attempt(unit=unit, outcome=outcome, run_id=f"run-{second}", at=at, **more)
