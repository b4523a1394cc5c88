"""Verbs that keep the store: snapshot, compact, verify, gc."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import click

from copal.cli import options
from copal.cli.command import CELL_FAILED, DONE, Settings
from copal.cli.tables import count, print_rows, print_table, say, size


@click.group()
def snapshot() -> None:
    """Name what the store holds now, to read it later as it was.

    A snapshot is read with --at NAME, whatever was computed, compacted or cleaned up since.
    """


@snapshot.command("create")
@click.argument("name")
@options.as_json
@click.pass_obj
def create_snapshot(settings: Settings, name: str, as_json: bool) -> int:
    """Name the released recipes and the versions that their tables are at."""
    made = settings.lake().keeping.snapshot(name)
    if as_json:
        print_rows([_told(made)])
        return DONE
    say(f"'{name}' names {count(len(made.features), 'feature')} and the catalogue as they are now.")
    return DONE


@snapshot.command("list")
@options.as_json
@click.pass_obj
def list_snapshots(settings: Settings, as_json: bool) -> int:
    """List the snapshots with their times."""
    found = settings.lake().keeping.snapshots()
    if as_json:
        print_rows(_told(each) for each in found)
    elif not found:
        say("No snapshots. 'copal snapshot create NAME' makes one.")
    else:
        print_table(
            [
                [each.name, f"{each.created_at:%Y-%m-%d %H:%M} UTC", len(each.features)]
                for each in found
            ],
            head=["snapshot", "taken", "features"],
        )
    return DONE


@snapshot.command("delete")
@click.argument("name")
@options.as_json
@click.pass_obj
def delete_snapshot(settings: Settings, name: str, as_json: bool) -> int:
    """Forget a snapshot; what only it names goes with the next 'compact' or 'gc'."""
    settings.lake().keeping.forget(name)
    if as_json:
        print_rows([{"snapshot": name, "deleted": True}])
    else:
        say(f"'{name}' is forgotten.")
    return DONE


def _told(made: Any) -> dict[str, Any]:
    return {
        "snapshot": made.name,
        "created_at": made.created_at.isoformat(),
        "features": {
            name: {"recipe": each.recipe, "version": each.version}
            for name, each in made.features.items()
        },
        "catalog": dict(made.catalog),
    }


@click.command()
@options.older_than(default=7.0, of="Versions that were the newest within this many days stay.")
@options.as_json
@click.pass_obj
def compact(settings: Settings, older_than: float, as_json: bool) -> int:
    """Put small pieces of tables together, and let versions go that nobody can ask for.

    Writers and readers may be at work meanwhile. Versions that a snapshot names stay.
    """
    rows = []
    for each in settings.lake().keeping.compact(timedelta(days=older_than)):
        if as_json:
            print_rows(
                [
                    {
                        "table": each.table,
                        "rows": each.after.rows,
                        "pieces": [each.before.pieces, each.after.pieces],
                        "deleted_rows": [each.before.deleted, each.after.deleted],
                        "versions": [each.versions_before, each.versions_after],
                        "freed_bytes": each.freed_bytes,
                    }
                ]
            )
        rows.append(each)
    if as_json:
        return DONE
    changed = [
        each
        for each in rows
        if each.before != each.after or each.versions_after < each.versions_before
    ]
    print_table(
        [
            [
                each.table,
                f"{each.after.rows:,}",
                f"{each.before.pieces} → {each.after.pieces}",
                f"{each.versions_before} → {each.versions_after}",
                size(each.freed_bytes),
            ]
            for each in changed
        ],
        head=["table", "rows", "pieces", "versions", "freed"] if changed else (),
    )
    say(f"{count(len(rows) - len(changed), 'table')} of {len(rows)} need nothing.")
    return DONE


@click.command()
@click.option(
    "--files", "depth", type=click.Choice(["quick", "full"]), default="quick", show_default=True,
    help="Look at the size of each file, or read it whole and compare its digest.",
)  # fmt: skip
@options.older_than(default=1.0, of="Files that no value names are told when they are older.")
@options.as_json
@click.pass_obj
def verify(settings: Settings, depth: str, older_than: float, as_json: bool) -> int:
    """Check that every value, file and snapshot is there as it was stored.

    Exit code 1 when something is not. Writers and readers may be at work meanwhile.
    """
    walk = settings.lake().keeping.verify(depth, timedelta(days=older_than))
    for fault in walk.faults():
        if as_json:
            print_rows([{"place": fault.place, "fault": fault.what}])
        else:
            say(f"{fault.place}: {fault.what}")
    done = walk.checked
    if as_json:
        print_rows(
            [{"tables": done.tables, "values": done.values, "files": done.files,
              "faults": done.faults}]
        )  # fmt: skip
    else:
        said = f"{count(done.values, 'value')} in {count(done.tables, 'table')}"
        found = "all sound" if not done.faults else count(done.faults, "fault")
        say(f"{said}, {count(done.files, 'file')}: {found}.")
    return CELL_FAILED if done.faults else DONE


@click.command()
@options.older_than(
    default=30.0,
    of="What was written or released within this many days stays; 0.05 (an hour) is the least.",
)
@click.option("--yes", is_flag=True, help="Remove it. Without this, nothing is removed.")
@options.as_json
@click.pass_obj
def gc(settings: Settings, older_than: float, yes: bool, as_json: bool) -> int:
    """Show what nobody can ask for any more, and with --yes remove it.

    That is: superseded recipes that are not released and in no snapshot, files that no value
    names, chunks of runs that ended, and what an interrupted 'gc' left.
    """
    keeping, age = settings.lake().keeping, timedelta(days=older_than)
    found = list(keeping.garbage(age))
    whole = sum(each.bytes for each in found)
    if not as_json:
        for each in found:
            say(f"{size(each.bytes):>9}  {each.place}  {each.why}")
        if not found:
            say("Nothing to remove.")
        elif not yes:
            say(f"{size(whole)} in all. Nothing was removed; --yes does it.")
    removed = 0
    for each in found:
        gone = yes and keeping.remove(each, age)
        removed += each.bytes if gone else 0
        if as_json:
            print_rows(
                [{"kind": each.kind, "place": each.place, "why": each.why, "bytes": each.bytes,
                  "removed": gone}]
            )  # fmt: skip
    if found and yes and not as_json:
        say(f"Removed {size(removed)} of {size(whole)}.")
    return DONE
