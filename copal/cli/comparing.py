"""The verb that compares two recipes of a feature."""

from __future__ import annotations

from typing import Any

import click

from copal.cli import options
from copal.cli.command import DONE, Settings
from copal.cli.tables import count, print_rows, print_table, say

WORST = 10
"""Units that 'compare' prints, those with the most differing rows."""


@click.command()
@click.argument("old", metavar="FEATURE[@OLD]")
@click.argument("new", default="", metavar="[FEATURE@NEW]")
@options.titles
@click.option("--sample", type=int, default=200, show_default=True, metavar="N",
              help="Units whose rows are compared: N that differ, and N that do not.")  # fmt: skip
@click.option("--tolerance", type=int, default=0, show_default=True, metavar="FRAMES",
              help="Boundaries as near as this are one.")  # fmt: skip
@click.option("--top", "k", type=int, default=10, show_default=True, metavar="K",
              help="How many neighbours and best pairs are compared.")  # fmt: skip
@options.as_json
@click.pass_obj
def compare(
    settings: Settings,
    old: str,
    new: str,
    titles: tuple[str, ...],
    sample: int,
    tolerance: int,
    k: int,
    as_json: bool,
) -> int:
    """Say what another recipe of FEATURE changes: rows, boundaries, neighbours, scores, cost.

    \b
    copal compare shots                   what readers see, and today's recipe
    copal compare shots@v1 shots@v2       the newest of two versions
    """
    found = settings.lake().releases.compare(
        old, new, titles, sample=sample, tolerance=tolerance, k=k
    )
    if as_json:
        print_rows(_objects(found))
        return DONE
    say(f"{found.feature}  {found.old.label} → {found.new.label}")
    print_table([["  " + name, text] for name, text in _sentences(found)])
    differing = [each for each in found.units if each.gone or each.new][:WORST]
    if differing:
        say()
        print_table(
            [
                [each.name, each.old_rows, each.new_rows, each.gone, each.new,
                 "" if each.f1 is None else f"{each.f1:.3f}"]
                for each in differing
            ],
            head=["most changed", "rows", "rows now", "gone", "new",
                  "F1" if found.boundaries else ""],
        )  # fmt: skip
    return DONE


def _sentences(found: Any) -> list[tuple[str, str]]:
    """What a comparison found, by what it is about."""
    old, new = f"v{found.old.version}", f"v{found.new.version}"
    if old == new:
        old, new = found.old.id[:8], found.new.id[:8]
    units = f"{found.both:,} in both, {found.changed:,} of them with other values"
    units += f"; {found.only_old:,} only in {old}" if found.only_old else ""
    units += f"; {found.only_new:,} only in {new}" if found.only_new else ""
    about = " (estimated)" if found.sampled else ""
    said = [("units", units)]
    if found.sampled:
        said.append(("looked at", f"{found.looked:,}, {found.looked_changed:,} that differ"))
    said.append(
        ("rows", f"{found.rows_gone:,.0f} of {found.rows_old:,.0f} gone, "
                 f"{found.rows_come:,.0f} of {found.rows_new:,.0f} new{about}")
    )  # fmt: skip
    if (f := found.boundaries) is not None:
        within = f"within {count(found.tolerance, 'frame')}" if found.tolerance else "to the frame"
        said.append(
            ("boundaries", f"F1 {f.f1:.3f}, precision {f.precision:.3f}, recall {f.recall:.3f}, "
                           f"{within}{about}")
        )  # fmt: skip
    for name, near in found.neighbours.items():
        said.append(
            ("neighbours", f"{name}: {near.overlap * near.k:.1f} of {near.k} nearest are the same "
                           f"({near.queries:,} shots among {near.vectors:,})")
        )  # fmt: skip
    if (scores := found.scores) is not None:
        said.append(
            ("scores", f"{scores.overlap:.1%} of the best {scores.k} of a block are the same; "
                       f"{scores.common:,.0f} pairs in both, apart by {scores.mean_drift:.4f} on "
                       f"average, {scores.largest_drift:.4f} at most")
        )  # fmt: skip
    before, after = found.costs
    said.append(("cost", f"{_cost(before)} → {_cost(after)}"))
    said.append(("failures", f"{before.failed:,} → {after.failed:,}"))
    return said


def _cost(cost: Any) -> str:
    if not cost.computed:
        return "nothing computed" + (f", {cost.carried:,} carried over" if cost.carried else "")
    rate = cost.cpu_per_media_hour
    per_hour = f", {rate:,.1f} an hour of media" if rate == rate else ""
    return f"{cost.cpu_seconds:,.1f} s CPU for {cost.computed:,} computed{per_hour}"


def _objects(found: Any) -> list[dict[str, Any]]:
    """A comparison for programs: one object for all, then one for each unit that differs."""
    whole = {
        "feature": found.feature, "old": found.old.id, "new": found.new.id,
        "old_version": found.old.version, "new_version": found.new.version,
        "both": found.both, "changed": found.changed, "only_old": found.only_old,
        "only_new": found.only_new, "looked": found.looked, "sampled": found.sampled,
        "rows_old": found.rows_old, "rows_new": found.rows_new, "rows_gone": found.rows_gone,
        "rows_come": found.rows_come,
    }  # fmt: skip
    if (f := found.boundaries) is not None:
        whole["boundaries"] = {
            "f1": f.f1, "precision": f.precision, "recall": f.recall, "tolerance": found.tolerance,
        }  # fmt: skip
    if found.neighbours:
        whole["neighbours"] = {
            name: {"overlap": each.overlap, "k": each.k, "queries": each.queries}
            for name, each in found.neighbours.items()
        }
    if (scores := found.scores) is not None:
        whole["scores"] = {
            "overlap": scores.overlap, "k": scores.k, "common": scores.common,
            "mean_drift": scores.mean_drift, "largest_drift": scores.largest_drift,
        }  # fmt: skip
    for name, cost in zip(("old_cost", "new_cost"), found.costs, strict=True):
        rate = cost.cpu_per_media_hour
        whole[name] = {
            "computed": cost.computed, "carried": cost.carried, "cpu_seconds": cost.cpu_seconds,
            "seconds": cost.seconds, "media_seconds": cost.media_seconds,
            "cpu_per_media_hour": rate if rate == rate else None, "failed": cost.failed,
        }  # fmt: skip
    return [whole] + [
        {
            "unit": each.unit, "title": each.name, "old_rows": each.old_rows,
            "new_rows": each.new_rows, "gone": each.gone, "new": each.new, "f1": each.f1,
        }
        for each in found.units
    ]  # fmt: skip
