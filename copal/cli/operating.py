"""Verbs of whoever keeps a catalogue going: request, backfill, schedule, runs."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import click

from copal.cli import options
from copal.cli.command import CELL_FAILED, DONE, Settings
from copal.cli.tables import count, print_rows, print_table, say, span

FOLLOW_SECONDS = 1.0

failures = click.option(
    "--max-failures", metavar="N|N%",
    help="Stop when more cells fail than this number, or this share of the cells planned.",
)  # fmt: skip


@click.command()
@click.argument("feature")
@click.option("--asset", required=True, metavar="ASSET", help="A title, or the start of an id.")
@options.other
@click.option("--wait", is_flag=True, help="Compute it now, or wait for the run that is at it.")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS",
              help="How long to wait; then the request stays open.")  # fmt: skip
@options.as_json
@click.pass_obj
def request(
    settings: Settings,
    feature: str,
    asset: str,
    other: str | None,
    wait: bool,
    timeout: float | None,
    as_json: bool,
) -> int:
    """Ask for FEATURE of one asset: its value, or a ticket, or the reason why there is none.

    However many ask for the same value, it is computed once. A ticket is served by 'copal watch',
    'copal schedule' or 'copal backfill', before their own work. Exit 1: refused, or not in time.
    """
    answer = settings.lake().request(feature, asset, other, wait=wait, timeout_seconds=timeout)
    late = answer.state == "asked" and wait
    if as_json:
        rows = answer.value.rows.to_pylist() if answer.value is not None else None
        files = answer.value.files if answer.value is not None else {}
        print_rows([{
            "feature": answer.feature, "version": answer.version, "unit": answer.unit,
            "state": answer.state, "ticket": answer.ticket or None, "reason": answer.reason,
            "rows": rows, "files": {name: str(file.path()) for name, file in files.items()},
        }])  # fmt: skip
    elif answer.value is not None:
        said = [count(answer.value.rows.num_rows, "row")]
        if answer.value.files:
            said.append(count(len(answer.value.files), "file"))
        say(f"'{feature}' v{answer.version}: stored, {', '.join(said)}. "
            f"'copal show {feature} --title {asset}' prints them.")  # fmt: skip
    elif answer.state == "asked":
        reason = f" ({answer.reason})" if answer.reason else ""
        say(f"'{feature}' v{answer.version}: asked for, ticket {answer.ticket}{reason}.")
    else:
        say(f"'{feature}' v{answer.version}: {answer.state}: {answer.reason}")
    return CELL_FAILED if late or answer.state in ("failed", "refused") else DONE


@click.command()
@click.argument("feature", metavar="FEATURE[@vN]")
@options.titles
@click.option("--show", "shows", multiple=True, metavar="SHOW", help="Only episodes of this show.")
@click.option("--kind", "kinds", multiple=True, metavar="WORD", help="Only film, episode …")
@click.option("--added-since", default="", metavar="WHEN",
              help="Only assets first seen since a date, or 36h, 7d, 2w ago.")  # fmt: skip
@click.option("--where", default="", metavar="FILTER", help="Only titles such as 'year < 1960'.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most N units.")
@options.max_workers
@failures
@options.engine
@click.option("--dry-run", is_flag=True, help="Say what would be computed; compute nothing.")
@options.as_json
@click.pass_obj
def backfill(
    settings: Settings,
    feature: str,
    titles: tuple[str, ...],
    shows: tuple[str, ...],
    kinds: tuple[str, ...],
    added_since: str,
    where: str,
    limit: int | None,
    max_workers: int | None,
    max_failures: str | None,
    engine: Any,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Compute FEATURE, with what it needs, for many assets; slice by slice, requests first.

    @vN makes sure that the registry declares this version. Stop it whenever you like: what was
    stored stays, and the same command goes on. Exit 1: some cell failed.
    """
    from copal.cli.doing import hearing, print_plan
    from copal.cli.pace import pacing
    from copal.flow.backfill import Budget
    from copal.selection import Selection

    if max_failures is not None:
        Budget.of(max_failures, planned=0)  # a mistake is told before the plan is made
    lake = settings.lake()
    chosen = Selection(titles, shows, kinds, added_since, where)
    found = lake.plan_backfill(feature, chosen, limit)
    if not as_json:
        print_plan(found)
        if not any(part.units for part in found) and chosen != Selection():
            say("No title matches.")
    if dry_run:
        if as_json:
            print_rows({"feature": part.feature, "compute": len(part.cells), "stored": part.stored}
                       for part in found)  # fmt: skip
        else:
            say(f"{count(found.cells, 'cell')} to compute, {found.stored:,} already stored. "
                "Nothing was run.")  # fmt: skip
        return DONE
    with pacing(found.cells) as listen, hearing(engine, listen, settings.debug):
        report = lake.backfill(found, engine=engine, max_workers=max_workers,
                               max_failures=max_failures, listen=listen)  # fmt: skip
    if as_json:
        print_rows([report.to_json() | {"already_stored": found.stored}])
    else:
        done = ", ".join(f"{n:,} {outcome}" for outcome, n in report.outcomes.most_common())
        say(f"{done or 'nothing computed'}; {found.stored:,} came from the store; "
            f"{count(len(report.runs), 'run')}, {span(report.seconds)}.")  # fmt: skip
        if report.served:
            say(f"{count(report.served, 'request')} served first.")
        if report.stopped:
            say(report.stopped)
    return CELL_FAILED if report.failed or found.quarantined or found.blocked else DONE


@click.command()
@click.option("--now", is_flag=True, help="Begin with a run, whatever the time.")
@click.option("--once", is_flag=True, help="End after the first run.")
@options.max_workers
@failures
@options.engine
@click.option("--metrics-port", type=int, metavar="PORT", help="Serve Prometheus metrics there.")
@click.option("--metrics-address", default="127.0.0.1", show_default=True, metavar="ADDRESS",
              help="Where they are served; 0.0.0.0 is everywhere.")  # fmt: skip
@click.pass_obj
def schedule(
    settings: Settings,
    now: bool,
    once: bool,
    max_workers: int | None,
    max_failures: str | None,
    engine: Any,
    metrics_port: int | None,
    metrics_address: str,
) -> int:
    """Stay, and compute what is missing whenever the registry's schedule is due (UTC).

    Open requests are served in between. The registry is read anew for each run. Logs go to
    stderr, as JSON where it is no terminal. SIGTERM ends it: with 0, after its tasks were ended.
    """
    import structlog

    from copal import metrics
    from copal.cli.logs import tell_logs
    from copal.flow.schedule import keep_schedule

    listen = tell_logs()
    served = metrics.serve(metrics_port, metrics_address) if metrics_port is not None else None
    if served is not None:
        structlog.get_logger("copal.cli").info("metrics.served", port=served.port)
    with _ending_on_sigterm() as ended:
        try:
            done = keep_schedule(
                lambda: settings.lake().project, now=now, once=once, engine=engine,
                max_workers=max_workers, max_failures=max_failures, listen=listen,
            )  # fmt: skip
        except KeyboardInterrupt:
            if not ended:
                raise
            return DONE
        finally:
            if served is not None:
                served.close()
    return CELL_FAILED if done is not None and done.failed else DONE


@contextmanager
def _ending_on_sigterm() -> Iterator[list[int]]:
    """SIGTERM interrupts what goes on; gives a list that is not empty when it came."""
    came: list[int] = []

    def end(number: int, frame: object) -> None:
        came.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield came
    finally:
        signal.signal(signal.SIGTERM, before)


@click.command()
@click.argument("run_id", metavar="[RUN]", required=False)
@click.option("--follow", is_flag=True, help="Show how far a run is until it has ended.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, metavar="N",
              help="The newest so many.")  # fmt: skip
@options.as_json
@click.pass_obj
def runs(settings: Settings, run_id: str | None, follow: bool, limit: int, as_json: bool) -> int:
    """List the newest runs, or show RUN: its id, the start or the end of it, or 'last'.

    A run is running, done, failed (some cell did), stopped, or dead: it ended without saying so,
    what it stored is kept, and the next run goes on. 'copal run show RUN' is the same.
    """
    lake = settings.lake()
    if run_id is not None or follow:
        return show_run(lake, run_id or "last", follow, as_json)
    found = lake.runs(limit)
    if as_json:
        print_rows(each.to_json() for each in found)
        return DONE
    if not found:
        say("No run yet. 'copal run' starts one.")
        return DONE
    print_table(
        [
            [each.id, _when(each.started_at), each.state, f"{each.planned:,}",
             f"{each.count('stored', 'empty'):,}", f"{each.count('failed'):,}",
             f"{each.seconds:.1f}", f"{each.by}, {each.who}"]
            for each in found
        ],
        head=["run", "started", "state", "cells", "computed", "failed", "seconds", "by"],
    )  # fmt: skip
    return DONE


def show_run(lake: Any, name: str, follow: bool, as_json: bool) -> int:
    """Print one run, and go on while it does when ``follow`` is given."""
    from copal.flow.deployed import counted
    from copal.run.report import RunReport
    from copal.store.runs import find_run

    run = counted(lake.project, find_run(lake.project.folder, name))
    if follow:
        run = _follow(lake, run, as_json)
    data = lake.project.store.load(f"runs/{run.id}/report.json")
    report = RunReport.from_json(data) if data is not None else None
    if as_json:
        print_rows([run.to_json() | {"report": report.to_json() if report else None}])
        return DONE
    say(f"{run.id}: {run.state}, started {_when(run.started_at)} by {run.by} ({run.who}), "
        f"{run.seconds:.1f} s, engine {run.engine}.")  # fmt: skip
    print_table(
        [[feature, f"{cells:,}", _outcomes(run.outcomes.get(feature, {}))]
         for feature, cells in run.cells.items()],
        head=["feature", "cells", "outcomes"],
    )  # fmt: skip
    if run.error:
        say(f"  {run.error}")
    for feature, errors in (report.errors if report else {}).items():
        for message in dict.fromkeys(errors.values()):
            say(f"  failed  {message if feature in message else f'{feature}: {message}'}")
    return DONE


def _follow(lake: Any, run: Any, as_json: bool) -> Any:
    from copal.flow.deployed import counted
    from copal.store.runs import run_of

    told: dict[str, Any] | None = None
    while run.state == "running":
        if run.outcomes != told:
            told = dict(run.outcomes)
            if as_json:
                print_rows([run.to_json()])
            else:
                say(f"{run.done:,} of {run.planned:,} cells, {run.seconds:.0f} s"
                    + (f": {_outcomes(_summed(told))}" if told else ""))  # fmt: skip
        time.sleep(FOLLOW_SECONDS)
        run = counted(lake.project, run_of(lake.project.folder, run.id) or run)
    return run


def _summed(outcomes: Any) -> Counter[str]:
    return sum((Counter(each) for each in outcomes.values()), Counter())


def _outcomes(counts: Any) -> str:
    return ", ".join(f"{number:,} {outcome}" for outcome, number in counts.items())


def _when(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"
