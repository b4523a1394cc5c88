"""The card of a join: coverage by feature, the slowest cells, and those that failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from copal.fingerprint import pair_assets
from copal.project import Project
from copal.store import Attempt

SLOWEST = 20
MOST_FAILED = 100


def fill(
    card: Any,
    project: Project,
    features: Sequence[str],
    run_id: str,
    tallies: Sequence[dict[str, Any]],
) -> None:
    """Write the card of a step that has gathered the tallies of a run.

    Parameters
    ----------
    card
        What Metaflow's ``current.card`` is: components are appended to it.
    """
    from metaflow import cards

    made: Any = cards  # without types
    sections = card_tables(project, features, run_id, tallies)
    card.append(made.Markdown(f"# Run {run_id}"))
    for title, head, rows in sections:
        card.append(made.Markdown(f"## {title}"))
        if rows:
            card.append(
                made.Table([[str(cell) for cell in row] for row in rows], headers=list(head))
            )
        else:
            card.append(made.Markdown("None."))


def card_tables(
    project: Project, features: Sequence[str], run_id: str, tallies: Sequence[dict[str, Any]]
) -> list[tuple[str, Sequence[str], list[list[object]]]]:
    """What stands on a card: a title, a head and rows for each of its tables."""
    names = _names(project)
    outcomes: dict[str, Counter[str]] = {}
    failed: list[list[object]] = []
    for tally in tallies:
        outcomes.setdefault(tally["feature"], Counter()).update(tally["outcomes"])
        failed += [
            [tally["feature"], _named(unit, names), error]
            for unit, error in tally["errors"].items()
        ]
    recipes = project.recipes(features)
    coverage: list[list[object]] = []
    slowest: list[tuple[float, str, Attempt]] = []
    for name in (name for name in recipes if name in features):
        table = project.store.table(recipes[name])
        counts = outcomes.get(name, Counter())
        told = ", ".join(f"{number:,} {outcome}" for outcome, number in sorted(counts.items()))
        coverage.append([name, f"v{recipes[name].version}", f"{len(table.index().units):,}", told])
        slowest += [
            (each.seconds, name, each)
            for each in (table.attempts(["stored", "empty", "failed"]) if counts else ())
            if each.run_id == run_id
        ]
    slowest.sort(key=lambda each: -each[0])
    return [
        ("Coverage", ("feature", "version", "stored in all", "this run"), coverage),
        (
            f"The {SLOWEST} slowest cells",
            ("feature", "asset", "seconds", "media seconds", "outcome", "machine"),
            [
                [name, _named(each.unit, names), f"{seconds:.1f}", f"{each.media_seconds:.0f}",
                 each.outcome, each.machine]
                for seconds, name, each in slowest[:SLOWEST]
            ],
        ),
        (f"Failed cells: {len(failed):,}", ("feature", "asset", "error"), failed[:MOST_FAILED]),
    ]  # fmt: skip


def _names(project: Project) -> dict[str, str]:
    """Asset → its title, with the start of its id."""
    return {
        str(asset.id): f"{project.titles[asset.title].name} ({asset.short})"
        for asset in project.catalog.assets()
    }


def _named(unit: str, names: Mapping[str, str]) -> str:
    return " + ".join(names.get(each, each[:8]) for each in pair_assets(unit) if each)
