"""Verbs that ask: status, why, show."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import click

from copal.cli import options
from copal.cli.command import DONE, Settings
from copal.cli.tables import count, print_rows, print_table, say

MOST_PROBLEMS = 50
"""So many cells that failed are told one by one on a terminal."""
WIDEST = 40
"""Columns of 'show' are cut to this many characters."""


@click.command()
@options.titles
@options.as_json
@click.pass_obj
def status(settings: Settings, titles: tuple[str, ...], as_json: bool) -> int:
    """Show how many cells of each feature are stored, empty, failed, quarantined, blocked, missing.

    Under the table: every cell that failed, and every file that was refused, with the reason.
    """
    lake = settings.lake()
    found = lake.status(titles)
    released = {each.feature: each.sentence for each in lake.releases.standing() if each.sentence}
    states = ["stored", "empty", "failed", "quarantined", "blocked", "missing"]
    if as_json or any(each.skipped for each in found.coverage):
        states.append("skipped")
    if as_json:
        print_rows(
            {
                "feature": each.feature,
                "version": each.version,
                "note": each.note,
                "release": released.get(each.feature, ""),
            }
            | {state: getattr(each, state) for state in states}
            for each in found.coverage
        )
        print_rows(
            {"feature": each.feature, "unit": each.unit, "title": each.name,
             "quarantined": each.final, "error": each.error}
            for each in found.problems
        )  # fmt: skip
        print_rows({"refused": place.locator, "error": place.error} for place in found.refused)
        return DONE
    say(f"{count(found.titles, 'title')}, {count(found.assets, 'asset')}.")
    print_table(
        [
            [each.feature, f"v{each.version}", *(getattr(each, state) or "" for state in states)]
            for each in found.coverage
        ],
        head=["feature", "", *states],
    )
    for each in found.coverage:
        if each.note:
            say(f"{each.feature}: not computable here: {each.note}")
    for feature, sentence in released.items():
        say(f"{feature}: {sentence}.")
    for problem in found.problems[:MOST_PROBLEMS]:
        word = "quarantined" if problem.final else "failed"
        say(f"{word:<11}  {problem.feature}  {problem.error}")
    if (more := len(found.problems) - MOST_PROBLEMS) > 0:
        say(f"and {more:,} more; --json tells all of them.")
    for place in found.refused:
        say(f"refused      {place.error}")
    return DONE


@click.command()
@click.argument("asset")
@click.argument("feature")
@options.other
@options.as_json
@click.pass_obj
def why(settings: Settings, asset: str, feature: str, other: str | None, as_json: bool) -> int:
    """Say why FEATURE of ASSET is stored, stale, missing, failed, skipped, quarantined or blocked.

    It goes down to the part of a recipe that moved since an older value, and counts the rows that
    differ.

    ASSET is a title, or the start of an asset's id.
    """
    sentences = settings.lake().why(asset, feature, other)
    if as_json:
        print_rows([{"asset": asset, "feature": feature, "why": sentences}])
    else:
        for sentence in sentences:
            say(sentence)
    return DONE


@click.command()
@click.argument("feature")
@options.titles
@options.at
@click.option("--version", type=int, metavar="N", help="The same as FEATURE@vN.")
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="Print at most this many rows."
)
@options.as_json
@click.pass_obj
def show(
    settings: Settings,
    feature: str,
    titles: tuple[str, ...],
    at: str,
    version: int | None,
    limit: int | None,
    as_json: bool,
) -> int:
    """Print the rows of FEATURE; frame ranges with their timecodes.

    They are those of the recipe that is released. FEATURE@today, FEATURE@v1, FEATURE@ and the
    start of a recipe, or FEATURE@ and the name of a snapshot are others.
    """
    if version is not None:
        feature = f"{feature}@v{version}"
    lake = settings.lake().seen(feature, at=at)
    feature = feature.partition("@")[0]
    rows = lake.rows(feature, titles)
    if limit is not None:
        rows = rows.slice(0, limit)
    if as_json:
        print_rows(rows.to_pylist())
        return DONE
    if rows.num_rows == 0:
        say(f"No rows of '{feature}'. 'copal why TITLE {feature}' tells the reason.")
        return DONE
    print_table(*_readable(lake, rows.to_pylist()))
    return DONE


def _readable(lake: Any, rows: list[dict[str, Any]]) -> tuple[list[list[str]], list[str]]:
    from copal.search.cuts import ENCODE, frame_rates
    from copal.timeline import timecode

    names = {asset.id: lake.project.titles[asset.title].name for asset in lake.assets()}
    rates: dict[Any, Fraction] = {}
    encoded = ENCODE in lake.project.registry.features
    if encoded and "start_frame" in rows[0] and "asset_id" in rows[0]:
        rates = frame_rates(lake.project, sorted({row["asset_id"] for row in rows}))
    printed = []
    for row in rows:
        cells: dict[str, str] = {}
        for name, value in row.items():
            if name.endswith("asset_id"):
                cells[name.removesuffix("_id").replace("asset", "title").lstrip("_")] = names.get(
                    value, value[:8]
                )
            else:
                cells[name] = _short(value)
        if rate := rates.get(row.get("asset_id")):
            cells["from"] = timecode(row["start_frame"], rate)
            cells["to"] = timecode(row["end_frame"] - 1, rate)
        printed.append(cells)
    head = list(printed[0])
    return [[cells.get(name, "") for name in head] for cells in printed], head


def _short(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, list) and value and isinstance(value[0], float):
        return f"[{value[0]:.3f} … {len(value)} numbers]"
    text = str(value)
    return text if len(text) <= WIDEST else text[: WIDEST - 1] + "…"
