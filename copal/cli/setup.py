"""Verbs about the repository itself: init, check, flow."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from copal.cli import options
from copal.cli.command import CELL_FAILED, DONE, Settings
from copal.cli.tables import count, print_rows, print_table, say


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".")
@click.option("--all", "everything", is_flag=True, help="All of Copal's features, match cuts too.")
def init(folder: Path, everything: bool) -> int:
    """Make a feature repository in FOLDER: a registry, two features, a contract test, a flow.

    Nothing that is there already is replaced.
    """
    from copal.setup import make_repository

    made = make_repository(folder, everything=everything)
    for path in made:
        say(f"wrote {path}")
    go = "" if folder == Path() else f"cd {shlex.quote(str(folder))} && "
    say(f"Next: {go}copal check && copal add YOUR_MEDIA && copal run")
    return DONE


@click.command()
@options.as_json
@click.pass_obj
def check(settings: Settings, as_json: bool) -> int:
    """Check the registry, that every feature imports, and that the flow file is up to date."""
    from copal.errors import FeatureError
    from copal.flow.generate import check_flow

    lake = settings.lake()
    project = lake.project
    rows = []
    for name in project.graph.order:
        bound = project.bound(name)
        note = ""
        try:
            project.recipes([name])
        except FeatureError as exc:
            note = str(exc)
        columns = ", ".join(bound.columns.names)
        rows.append([name, f"v{bound.declaration.version}", bound.declaration.unit, columns, note])
    check_flow(project.graph, project.root)
    if as_json:
        print_rows(
            {"feature": n, "version": v, "unit": u, "columns": c.split(", "), "note": note}
            for n, v, u, c, note in rows
        )
        return DONE
    print_table([row[:4] for row in rows])
    for name, *_, note in rows:
        if note:
            say(f"{name}: {note}")
    say(f"{project.registry.where}: {count(len(rows), 'feature')}, in order.")
    return DONE


@click.command()
@options.features
@click.option("--accept", is_flag=True, help="Keep the rows of today as golden.")
@options.as_json
@click.pass_obj
def golden(settings: Settings, features: tuple[str, ...], accept: bool, as_json: bool) -> int:
    """Compare what features make of two small films with the golden rows of the repository.

    Rows that changed although the recipe did not mean that the code changed and 'version' was not
    raised. The films are painted, and computing takes a few seconds in a store that is thrown away.
    """
    from tempfile import TemporaryDirectory

    from copal.errors import BrokenContract
    from copal.golden import accept_golden, check_golden, golden_rows

    project = settings.lake().project
    with TemporaryDirectory(prefix="copal-golden-") as folder:
        found = golden_rows(project.root, Path(folder), features)
    if accept:
        path = accept_golden(project.root, found)
        if as_json:
            print_rows({"feature": name, "rows": found[name].rows, "accepted": True}
                       for name in found)  # fmt: skip
        else:
            say(f"wrote {path}: {count(len(found), 'feature')}.")
        return DONE
    verdicts: dict[str, tuple[bool, str]] = {}
    for name in found:
        try:
            verdicts[name] = True, check_golden(project.root, name, found)
        except BrokenContract as exc:
            verdicts[name] = False, str(exc)
    if as_json:
        print_rows(
            {"feature": name, "rows": found[name].rows, "kept": kept, "note": note}
            for name, (kept, note) in verdicts.items()
        )
    else:
        for _, note in verdicts.values():
            if note:
                say(note)
        equal = sum(kept and not note for kept, note in verdicts.values())
        say(f"{equal} of {count(len(verdicts), 'feature')} made their golden rows.")
    return DONE if all(kept for kept, _ in verdicts.values()) else CELL_FAILED


@click.group()
def flow() -> None:
    """Write or show the Metaflow flow that the registry stands for."""


@flow.command("write")
@options.as_json
@click.pass_obj
def flow_write(settings: Settings, as_json: bool) -> int:
    """Write flows/feature_flow.py from the registry; commit it."""
    from copal.flow.generate import write_flow

    project = settings.lake().project
    path = write_flow(project.graph, project.root).relative_to(project.root)
    if as_json:
        print_rows([{"wrote": str(path)}])
    else:
        say(f"wrote {path}")
    return DONE


@flow.command("show")
@click.pass_obj
def flow_show(settings: Settings) -> int:
    """Print what 'flow write' would write."""
    from copal.flow.generate import flow_source

    click.echo(flow_source(settings.lake().project.graph), nl=False)
    return DONE
