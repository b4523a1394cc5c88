"""Verbs that change something: add, plan (which changes nothing), run, retry."""

from __future__ import annotations

from collections import Counter
from typing import Any
from urllib.parse import unquote

import click

from copal.cli import options
from copal.cli.command import CELL_FAILED, DONE, Settings
from copal.cli.tables import count, print_rows, print_table, say


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH…")
@click.option("--title", metavar="NAME", help="The title of the file. Default: its name.")
@click.option("--show", metavar="NAME", help="The show that the title is an episode of.")
@click.option("--season", type=int)
@click.option("--episode", type=int)
@click.option("--year", type=int)
@click.option("--kind", metavar="WORD", help="film, episode, trailer … Default: film.")
@options.as_json
@click.pass_obj
def add(settings: Settings, /, paths: tuple[str, ...], as_json: bool, **words: Any) -> int:
    """Bring media files, or the media files of folders, into the catalogue.

    PATH may also be s3://bucket/key, where the key is an object's or a folder's.

    A file is known by its essence: what is retagged, renamed or remuxed is the same asset, and
    nothing of it is computed again. A titles.yaml beside the files may say what they are:

    \b
      heist_s01e02.mov: {title: "The Vault", show: Heist, season: 1, episode: 2}

    Files that cannot be read are kept as refused, with the reason ('copal status').
    """
    from copal.arrivals.titles import TitleWords

    decisions: Counter[str] = Counter()
    for arrival in settings.lake().add(paths, TitleWords(**words)):
        decisions[arrival.decision] += 1
        name = unquote(arrival.locator.rpartition("/")[2])
        if as_json:
            print_rows([{
                "locator": arrival.locator, "decision": arrival.decision,
                "asset": arrival.asset.id if arrival.asset else None,
                "title": arrival.title.name if arrival.title else None, "note": arrival.note,
            }])  # fmt: skip
        elif arrival.decision == "refused":
            say(f"refused    {arrival.note}")
        else:
            assert arrival.asset is not None and arrival.title is not None
            said = f"{arrival.decision:<9}  {arrival.asset.short}  {arrival.title.name}  ({name})"
            say(said + (f"\n           {arrival.note}" if arrival.note else ""))
    if not as_json:
        say(", ".join(f"{n} {decision}" for decision, n in decisions.most_common()) + ".")
    return CELL_FAILED if decisions["refused"] else DONE


@click.command()
@options.features
@options.titles
@options.force
@options.as_json
@click.pass_obj
def plan(
    settings: Settings,
    features: tuple[str, ...],
    titles: tuple[str, ...],
    force: tuple[str, ...],
    as_json: bool,
) -> int:
    """Say what is missing, and why. Nothing is run.

    Without FEATURE: every feature that is not declared 'default: false'. What a feature needs is
    planned with it.
    """
    found = settings.lake().plan(features, titles, force)
    if as_json:
        print_rows(
            {
                "feature": part.feature, "version": part.recipe.version, "recipe": part.recipe.id,
                "units": part.units, "stored": part.stored, "compute": len(part.cells),
                "reasons": {str(reason): n for reason, n in part.reasons.items()},
                "quarantined": len(part.quarantined), "blocked": len(part.blocked),
            }
            for part in found
        )  # fmt: skip
        return DONE
    print_plan(found)
    say(f"{_summary(found)} Nothing was run.")
    return DONE


def print_plan(found: Any) -> None:
    """The table that plan and run share."""
    rows = []
    for part in found:
        if part.cells or part.quarantined or part.blocked:
            thing = part.unit if part.units == 1 else f"{part.unit}s"
            said = [part.sentence()] if part.cells else []
            if part.quarantined:
                said.append(f"{len(part.quarantined)} quarantined")
            if part.blocked:
                said.append(f"{len(part.blocked)} blocked")
            rows.append(
                [part.feature, f"{len(part.cells):>4,} of {part.units:,} {thing}", "; ".join(said)]
            )
    print_table(rows)


def _summary(found: Any) -> str:
    return f"{count(found.cells, 'cell')} to compute, {found.stored:,} already stored."


@click.command()
@options.features
@options.titles
@options.force
@click.option(
    "--engine",
    type=click.Choice(["metaflow", "inline"]),
    default="metaflow",
    show_default=True,
    help="A Metaflow run with parallel tasks, or this process alone.",
)
@click.option("--max-workers", type=int, metavar="N", help="Tasks at a time. Default: all cores.")
@options.as_json
@click.pass_obj
def run(
    settings: Settings,
    features: tuple[str, ...],
    titles: tuple[str, ...],
    force: tuple[str, ...],
    engine: Any,
    max_workers: int | None,
    as_json: bool,
) -> int:
    """Compute what is missing, and only that.

    What was stored stays if the run is stopped; run again to go on. With nothing missing, nothing
    is started. Pairs are computed among the titles that are named.
    """
    from copal.cli.progress import following

    lake = settings.lake()
    found = lake.plan(features, titles, force)
    if not as_json:
        print_plan(found)
    if found.cells == 0:
        report = lake.do(found)
    else:
        with following(found) as listen, _hearing(engine, listen, settings.debug):
            report = lake.do(found, engine, max_workers, listen)
    if as_json:
        print_rows([report.to_json() | {"already_stored": found.stored}])
    else:
        print_report(found, report)
    quiet_failures = found.quarantined or found.blocked
    return CELL_FAILED if report.failed or quiet_failures else DONE


def _hearing(engine: str, listen: Any, debug: bool) -> Any:
    """In this process the log itself goes to the display; a flow's tasks tell theirs by file."""
    from contextlib import nullcontext

    import structlog

    if engine == "inline" and not debug:

        def show(logger: object, method: str, event: Any) -> Any:
            listen(event)
            raise structlog.DropEvent

        structlog.configure(
            processors=[show], wrapper_class=structlog.make_filtering_bound_logger(20)
        )
    return nullcontext()


def print_report(found: Any, report: Any) -> None:
    """What was computed, what came from the store, and what failed."""
    if found.cells == 0:
        say(f"Nothing to compute: {found.stored:,} cells are stored. No flow was started.")
    else:
        parts = [count(report.computed, "cell") + " computed"]
        for outcome, words in (
            ("carried", "carried over"), ("kept", "kept"), ("lost", "computed by another run too"),
            ("failed", "failed"), ("blocked", "blocked"),
        ):  # fmt: skip
            if number := report.count(outcome):
                parts.append(f"{number:,} {words}")
        say(
            ", ".join(parts) + f", {found.stored:,} came from the store; "
            f"{report.seconds:.1f} s" + (f" in {report.tasks} tasks." if report.tasks else ".")
        )
        for feature, errors in report.errors.items():
            for message in dict.fromkeys(errors.values()):
                say(f"  failed  {message if feature in message else f'{feature}: {message}'}")
    if found.quarantined or found.blocked:
        say(f"{count(found.quarantined, 'cell')} quarantined, {found.blocked:,} blocked: "
            "see 'copal status'.")  # fmt: skip


@click.command()
@options.features
@options.titles
@options.as_json
@click.pass_obj
def retry(
    settings: Settings, features: tuple[str, ...], titles: tuple[str, ...], as_json: bool
) -> int:
    """Let cells that failed be tried again by the next run."""
    released = settings.lake().retry(features, titles)
    if as_json:
        print_rows([{"released": released}])
    else:
        say(f"{count(released, 'cell')} released. 'copal run' tries them." if released
            else "No cell has failed.")  # fmt: skip
    return DONE
