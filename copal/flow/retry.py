"""Releasing cells that failed: a person says that they may be tried again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from copal.errors import FeatureError
from copal.fingerprint import is_within
from copal.project import Project, failures
from copal.store import Attempt


def release(project: Project, features: Sequence[str] = (), titles: Sequence[str] = ()) -> int:
    """Forget the failures of features (all) on titles (all); says how many cells there were."""
    asked = [project.graph.declaration(name).name for name in features]
    names = [name for name in asked or project.graph.order if project.store.recipes(name)]
    chosen = {asset.id for asset in project.select(titles)}
    count = 0
    for name in names:
        try:
            recipe = project.recipes([name])[name]
        except FeatureError:  # without weights nothing of it can have failed
            continue
        table = project.store.table(recipe)
        stored = table.index().units
        units = [
            unit
            for unit, failure in failures(table).items()
            if failure.tries and unit not in stored and is_within(unit, chosen)
        ]
        now = datetime.now(UTC)
        table.record([Attempt(unit=u, outcome="released", run_id="", at=now) for u in units])
        count += len(units)
    return count
