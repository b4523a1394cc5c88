"""Verbs that change something: add, plan (which changes nothing), run, retry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
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
@click.option("--season", type=int, metavar="N", help="Its season in the show.")
@click.option("--episode", type=int, metavar="N", help="Its number in the season.")
@click.option("--year", type=int, metavar="N", help="When it came out.")
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
@options.engine
@options.max_workers
@options.as_json
@click.pass_obj
def plan(
    settings: Settings,
    features: tuple[str, ...],
    titles: tuple[str, ...],
    force: tuple[str, ...],
    engine: Any,
    max_workers: int | None,
    as_json: bool,
) -> int:
    """Say what is missing, why, and at what price. Nothing is run.

    Without FEATURE: every feature that is not declared 'default: false'. What a feature needs is
    planned with it. The price is what equal cells cost before, at the workers that a run with the
    same options has.
    """
    from copal.cli.pricing import feature_json, price_json, print_price

    lake = settings.lake()
    found = lake.plan(features, titles, force)
    price = lake.price(found, engine, max_workers)
    if as_json:
        prices = {each.feature: feature_json(each) for each in price.features}
        print_rows(
            {
                "feature": part.feature, "version": part.recipe.version, "recipe": part.recipe.id,
                "units": part.units, "stored": part.stored, "compute": len(part.cells),
                "reasons": {str(reason): n for reason, n in part.reasons.items()},
                "quarantined": len(part.quarantined), "blocked": len(part.blocked),
                "skipped": len(part.skipped), "perhaps_carried": len(part.carryable),
                **prices.get(part.feature, {}),
            }
            for part in found
        )  # fmt: skip
        print_rows([price_json(price)])
        return DONE
    print_plan(found, price)
    say(f"{_summary(found)} Nothing was run.")
    print_price(price)
    return DONE


def print_plan(found: Any, price: Any = None) -> None:
    """The table that plan and run share; a price tells how many shots are to be computed."""
    shots = {each.feature: each.shots for each in price.features} if price else {}
    rows = []
    for part in found:
        if part.cells or part.quarantined or part.blocked or part.skipped:
            thing = part.unit if part.units == 1 else f"{part.unit}s"
            said = [part.sentence()] if part.cells else []
            if part.carryable:
                said.append(_carried(part, shots.get(part.feature)))
            if part.quarantined:
                said.append(f"{len(part.quarantined)} quarantined")
            if part.blocked:
                said.append(f"{len(part.blocked)} blocked")
            if part.skipped:
                said.append(f"{len(part.skipped)} skipped")
            rows.append(
                [part.feature, f"{len(part.cells):>4,} of {part.units:,} {thing}", "; ".join(said)]
            )
    print_table(rows)


def _carried(part: Any, shots: int | None) -> str:
    """What perhaps is carried over; of a per-shot feature, how much is left to compute at most."""
    some = len(part.carryable) < len(part.cells)
    if shots:
        of = f" of {count(len(part.carryable), part.unit)}" if some else ""
        return f"at most about {count(shots, 'shot')}{of}"
    return f"{len(part.carryable):,} maybe carried over" if some else "maybe carried over"


def _summary(found: Any) -> str:
    return f"{count(found.cells, 'cell')} to compute, {found.stored:,} already stored."


@click.command()
@options.features
@options.titles
@options.force
@options.engine
@options.max_workers
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
    is started. Pairs are computed among the titles that are named. Cells that another run is
    computing are left to it.
    """
    from copal.cli.progress import following

    lake = settings.lake()
    if features[:1] == ("show",) and "show" not in lake.project.registry.features:
        from copal.cli.operating import show_run

        return show_run(lake, features[1] if len(features) > 1 else "last", False, as_json)
    found = lake.plan(features, titles, force)
    if not as_json:
        from copal.cli.pricing import print_whole

        price = lake.price(found, engine, max_workers)
        print_plan(found, price)
        print_whole(price)
    if found.cells == 0:
        report = lake.do(found)
    else:
        with following(found) as listen, hearing(engine, listen, settings.debug):
            report = lake.do(found, engine, max_workers, listen, by="run")
    if as_json:
        print_rows([report.to_json() | {"already_stored": found.stored}])
    else:
        print_report(found, report)
    quiet_failures = found.quarantined or found.blocked
    return CELL_FAILED if report.failed or quiet_failures else DONE


@contextmanager
def hearing(engine: str, listen: Any, debug: bool) -> Iterator[None]:
    """In this process the log itself goes to the display; a flow's tasks tell theirs by file."""
    import structlog

    if engine != "inline" or debug:
        yield
        return

    def show(logger: object, method: str, event: Any) -> Any:
        listen(event)
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[show], wrapper_class=structlog.make_filtering_bound_logger(20))
    try:
        yield
    finally:
        structlog.configure(**before)


def print_report(found: Any, report: Any) -> None:
    """What was computed, what came from the store, and what failed."""
    if found.cells == 0:
        say(f"Nothing to compute: {found.stored:,} cells are stored. No flow was started.")
    else:
        parts = [count(report.computed, "cell") + " computed"]
        for outcome, words in (
            ("carried", "carried over"), ("kept", "kept"), ("lost", "computed by another run too"),
            ("failed", "failed"), ("blocked", "blocked"), ("skipped", "skipped"),
        ):  # fmt: skip
            if number := report.count(outcome):
                parts.append(f"{number:,} {words}")
        say(
            ", ".join(parts) + f", {found.stored:,} came from the store; "
            f"{report.seconds:.1f} s" + (f" in {report.tasks} tasks." if report.tasks else ".")
        )
        for feature, shots in report.shots.items():
            if carried := shots["carried"]:
                say(f"  {feature}: {shots['computed']:,} of {shots.total():,} shots computed, "
                    f"{carried:,} carried over.")  # fmt: skip
        for feature, errors in report.errors.items():
            for message in dict.fromkeys(errors.values()):
                say(f"  failed  {message if feature in message else f'{feature}: {message}'}")
    for run, cells in report.elsewhere.items():
        say(f"{count(cells, 'cell')} left to run {run}, which is computing them: "
            f"'copal runs {run} --follow'.")  # fmt: skip
    if report.waiting:
        say(f"{count(report.waiting, 'cell')} need those: run again when they are stored.")
    if report.unsettled:
        say(f"What was computed is stored, but was not released: {report.unsettled} "
            "The next 'copal run' releases it.")  # fmt: skip
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
