"""Verbs of releasing: promote, rollback, releases."""

from __future__ import annotations

from typing import Any

import click

from copal.cli import options
from copal.cli.command import DONE, Settings
from copal.cli.tables import print_rows, print_table, say

_dry_run = click.option("--dry-run", is_flag=True, help="Say what would move; move nothing.")
_why = click.option("--why", default="", metavar="WORDS", help="Kept with the move.")


@click.command()
@click.argument("features", nargs=-1, required=True, metavar="FEATURE[@AT]...")
@click.option("--with-needs", is_flag=True, help="And what their recipes were made from.")
@click.option("--force", is_flag=True, help="Although readers would miss values.")
@_dry_run
@_why
@options.as_json
@click.pass_obj
def promote(
    settings: Settings,
    features: tuple[str, ...],
    with_needs: bool,
    force: bool,
    dry_run: bool,
    why: str,
    as_json: bool,
) -> int:
    """Let readers see today's recipe of FEATURE, or FEATURE@v2, FEATURE@ and the start of a recipe.

    Several are moved as one set: whoever asks sees all of them or none. Until then 'copal run'
    fills a new recipe beside the one that readers see. A feature whose policy is 'release:
    automatic when complete' moves by itself at the end of the run that completes it.
    """
    found = settings.lake().releases.promote(
        features, with_needs=with_needs, force=force, dry_run=dry_run, why=why
    )
    _print(found, "promoted", as_json, dry_run)
    return DONE


@click.command()
@click.argument("features", nargs=-1, metavar="[FEATURE]...")
@click.option(
    "--to", default="", metavar="WHERE",
    help="The number of a move, for the state after it; or, of each FEATURE named, v1, the start "
         "of a recipe, or a snapshot.",
)  # fmt: skip
@_dry_run
@_why
@options.as_json
@click.pass_obj
def rollback(
    settings: Settings,
    features: tuple[str, ...],
    to: str,
    dry_run: bool,
    why: str,
    as_json: bool,
) -> int:
    """Let readers see again what they saw before: of FEATURE, or of all that moved together last.

    What was rolled back from is not released again by itself, only by 'copal promote'.
    """
    found = settings.lake().releases.rollback(features, to=to, dry_run=dry_run, why=why)
    _print(found, "rolled back", as_json, dry_run)
    return DONE


def _print(found: Any, done: str, as_json: bool, dry_run: bool) -> None:
    if as_json:
        print_rows(
            {
                "feature": step.feature, "move": found.number,
                "from": step.before.id if step.before else None, "to": step.after.id,
                "version": step.after.version,
                "seen": step.cover.seen if step.cover else None,
                "kept": step.cover.kept if step.cover else None,
                "failed_for_good": step.cover.hopeless if step.cover else None,
            }
            for step in found.steps
        )  # fmt: skip
        print_rows({"note": sentence} for sentence in found.told)
        return
    print_table([[step.feature, step.sentence] for step in found.steps])
    for sentence in found.told:
        say(sentence)
    if not found.steps:
        say("Readers see this already; nothing was moved.")
    elif dry_run:
        say("Nothing was moved.")
    else:
        say(f"Move {found.number}: {done}.")


@click.command()
@click.argument("features", nargs=-1, metavar="[FEATURE]...")
@click.option("--history", is_flag=True, help="Every move, the newest first.")
@options.as_json
@click.pass_obj
def releases(settings: Settings, features: tuple[str, ...], history: bool, as_json: bool) -> int:
    """Say which recipe of each feature readers see, since when, and by whose doing."""
    lake = settings.lake()
    if history:
        return _print_history(lake, features, as_json)
    found = lake.releases.standing(features)
    if as_json:
        print_rows(
            {
                "feature": each.feature,
                "recipe": each.released.recipe if each.released else None,
                "version": each.released.version if each.released else None,
                "today": each.today.id if each.today else None,
                "today_version": each.today.version if each.today else None,
                "move": each.move.number if each.move else None,
                "at": each.move.at.isoformat() if each.move else None,
                "by": each.move.by if each.move else None,
                "kind": each.move.kind if each.move else None,
                "seen": each.cover.seen if each.cover else None,
                "kept": each.cover.kept if each.cover else None,
            }
            for each in found
        )  # fmt: skip
        return DONE
    rows = []
    for each in found:
        label = f"v{each.released.version} ({each.released.recipe[:8]})" if each.released else ""
        when = f"{each.move.at:%Y-%m-%d %H:%M} UTC" if each.move else "never released"
        who = f"{each.move.kind}, {each.move.by}" if each.move else ""
        rows.append([each.feature, label, when, who, each.sentence])
    print_table(rows)
    if not rows:
        say("Nothing was released yet. The first 'copal run' releases what it computes.")
    return DONE


def _print_history(lake: Any, features: tuple[str, ...], as_json: bool) -> int:
    for name in features:
        lake.project.graph.declaration(name)
    moves = [
        move
        for move in reversed(lake.releases.moves())
        if not features or any(each.feature in features for each in move.set)
    ]
    if as_json:
        print_rows(
            {
                "move": move.number, "at": move.at.isoformat(), "by": move.by, "kind": move.kind,
                "why": move.why, "set": {each.feature: each.recipe for each in move.set},
            }
            for move in moves
        )  # fmt: skip
        return DONE
    print_table(
        [
            [
                move.number, f"{move.at:%Y-%m-%d %H:%M} UTC", move.kind, move.by,
                ", ".join(f"{e.feature} v{e.version} ({e.recipe[:8]})" for e in move.set), move.why,
            ]
            for move in moves
        ]
    )  # fmt: skip
    return DONE
