"""The verb that shows the main job: from a folder of films to match cuts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from copal.cli import options
from copal.cli.command import CELL_FAILED, DONE, Settings
from copal.cli.tables import say
from copal.errors import RequestError

SHEET = "match-cuts.html"


@click.command()
@click.option(
    "--media",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Your own files. Default: three short films, painted by ffmpeg and NumPy.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo"),
    show_default=True,
    help="Folder for the films, the store and the contact sheet.",
)
@options.engine
@click.option("--top", type=int, default=10, show_default=True, metavar="K",
              help="Match cuts of each flavour.")  # fmt: skip
@click.pass_obj
def demo(settings: Settings, media: Path | None, out: Path, engine: Any, top: int) -> int:
    """Show the whole job: films in, match cuts out, on three small films or your own.

    A second time computes nothing. Your own files have a store of their own, in OUT/yours.
    """
    from copal.cli.doing import hearing, print_plan, print_report
    from copal.cli.matching import print_cuts
    from copal.cli.progress import following

    if media is not None:
        out = out / "yours"
    lake = _lake(settings, out)
    if media is None:
        from copal.demo import make_catalogue

        media = out / "films"
        say(f"Films: {media}")
        make_catalogue(media)
    titles = []
    for arrival in lake.add([media]):
        if arrival.asset is not None:
            titles.append(arrival.asset.id)
        if arrival.decision == "refused":
            say(f"refused    {arrival.note}")
        elif arrival.decision != "unchanged":
            assert arrival.asset is not None and arrival.title is not None
            say(f"{arrival.decision:<9}  {arrival.asset.short}  {arrival.title.name}")
    if not titles:
        raise RequestError(f"{media}: no file of it could be brought in.")
    found = lake.plan(titles=titles)
    print_plan(found)
    if found.cells:
        with following(found) as listen, hearing(engine, listen, settings.debug):
            report = lake.do(found, engine, None, listen)
    else:
        report = lake.do(found)
    print_report(found, report)
    say()
    answers = _answers(lake, titles, top)
    print_cuts(answers[0])
    say()
    sheet = out / SHEET
    sheet.write_text(_sheet(lake, titles, answers, found, report), encoding="utf-8")
    say(f"Contact sheet: {sheet.resolve()}")
    return CELL_FAILED if report.failed else DONE


def _lake(settings: Settings, out: Path) -> Any:
    """The lake of the registry at hand, or of a repository made here; its store is the demo's."""
    from copal.lake import open as open_lake
    from copal.project import REGISTRY_FILE

    store = settings.store or str((out / "store").resolve())
    out.mkdir(parents=True, exist_ok=True)
    named = settings.project or os.environ.get("COPAL_PROJECT")
    here = Path.cwd()
    if named or any((folder / REGISTRY_FILE).exists() for folder in (here, *here.parents)):
        return open_lake(settings.project, store=store)
    from copal.setup import make_repository

    made = out / "repository"
    if not (made / REGISTRY_FILE).exists():
        make_repository(made, everything=True)
    return open_lake(made, store=store)


def _answers(lake: Any, titles: list[str], top: int) -> list[Any]:
    from copal.search.question import PREFIX, flavours

    default = lake.project.graph.targets()
    return [
        lake.match(titles, flavour=flavour, top=top)
        for flavour in flavours(lake.project)
        if PREFIX + flavour in default
    ]


def _sheet(lake: Any, titles: list[str], answers: list[Any], found: Any, report: Any) -> str:
    from copal.search.contact import contact_sheet

    return str(contact_sheet(lake.project, titles, answers, found, report))
