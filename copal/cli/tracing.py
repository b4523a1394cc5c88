"""Verbs that trace: lineage, where a value comes from; diff, what an edit of the registry means."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from copal.cli import options
from copal.cli.command import DONE, REQUEST_WRONG, Settings
from copal.cli.tables import count, print_rows, say

if TYPE_CHECKING:
    from copal.diff import Change
    from copal.lineage import Origin


@click.command()
@click.argument("feature")
@click.argument("asset")
@options.other
@options.svg
@options.html
@options.as_json
@click.pass_obj
def lineage(
    settings: Settings,
    feature: str,
    asset: str,
    other: str | None,
    svg: Path | None,
    html: Path | None,
    as_json: bool,
) -> int:
    """Show the values that FEATURE of ASSET was made of, and who made each, when and with what.

    FEATURE may be FEATURE@v1, as for 'show'.
    """
    from copal.lineage import lineage_html, lineage_svg

    root = settings.lake().lineage(feature, asset, other)
    for path, draw in ((svg, lineage_svg), (html, lineage_html)):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(draw(root), encoding="utf-8")
            if not as_json:
                say(f"wrote {path}")
    if as_json:
        print_rows([root.to_json()])
    elif svg is None and html is None:
        for line in _tree(root, set()):
            say(line)
    return DONE


def _tree(origin: Origin, told: set[tuple[str, str, str]], indent: str = "") -> Iterator[str]:
    """Lines of a value and of those under it; one that was told already is only named."""
    from copal.lineage import facts

    head = f"{indent}{origin.feature} of {origin.name}  {origin.recipe.label}"
    if origin.key in told:
        yield f"{head}  (above)"
        return
    told.add(origin.key)
    if origin.value_digest:
        head += f"  {count(origin.rows, 'row')}, value {origin.value_digest[:8]}"
    yield head
    for fact in facts(origin):
        yield f"{indent}  · {fact}"
    for some in origin.needs.values():
        for each in some:
            yield from _tree(each, told, indent + "    ")


@click.command()
@click.argument("commit", default="HEAD")
@options.max_workers
@options.as_json
@click.pass_obj
def diff(settings: Settings, commit: str, max_workers: int | None, as_json: bool) -> int:
    """Say what registry.yaml means beside that of COMMIT: recipes that move, cells, price.

    Without COMMIT: HEAD, so what is not committed yet. The exit code is 2 when anything moves,
    be it by the edit or by a tool, weights or code that is not what the store was filled with.
    """
    from copal.cli.pricing import price_json, print_whole

    found = settings.lake().diff(commit, max_workers=max_workers)
    if as_json:
        print_rows(
            {"feature": each.feature, "change": str(each.kind), "parts": list(each.parts),
             "units": each.units, "cells": each.cells, "perhaps_carried": each.carryable}
            for each in found.changes
        )  # fmt: skip
        print_rows([price_json(found.price)])
        return REQUEST_WRONG if found.drift else DONE
    for each in found.changes:
        say(f"{each.feature}: {_meaning(each)}")
    if not found.drift:
        say(f"Nothing that is computed, stored or read differs from {found.ref}.")
        return DONE
    say(f"{count(found.plan.cells, 'cell')} would be computed that are not missing today.")
    print_whole(found.price)
    return REQUEST_WRONG


def _meaning(change: Change) -> str:
    from copal.diff import Kind

    what = "; ".join(change.parts)
    said = {
        Kind.ADDED: "new",
        Kind.REMOVED: "removed; what is stored of it stays until 'copal gc'",
        Kind.CHANGED: what,
        Kind.MOVED: f"{what} (not by this edit: the store was filled with the former)",
        Kind.FOLLOWS: f"follows {', '.join(change.parts)}",
        Kind.SCOPE: what,
    }[change.kind]
    if change.kind is Kind.REMOVED:
        return said
    carried = f", {change.carryable:,} of them perhaps carried over" if change.carryable else ""
    return f"{said}; {count(change.cells, 'cell')}{carried}"
