"""Verbs for media that comes by itself: watch, sweep, arrivals."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import click

from copal.cli import options
from copal.cli.command import CELL_FAILED, DONE, Settings
from copal.cli.tables import count, print_rows, print_table, say

_engine = click.option(
    "--engine", type=click.Choice(["auto", "metaflow", "inline"]), default="auto",
    show_default=True,
    help="How runs go: 'auto' starts a flow when there is much to spread.",
)  # fmt: skip


class _Stopped(BaseException):
    """Told to stop while waiting for a message; boto3 would try again after an ``Exception``."""


@click.command()
@click.argument("places", nargs=-1, required=True, metavar="DIR…|sqs://QUEUE")
@click.option("--allow", multiple=True, metavar="S3", envvar="COPAL_ALLOW",
              help="s3://bucket/prefix where a queue's objects may lie. Others are refused. "
              "May be given more than once; $COPAL_ALLOW parts them by spaces.")  # fmt: skip
@click.option("--poll", type=click.IntRange(0, 20), default=20, show_default=True,
              metavar="SECONDS", help="How long a request waits at the queue for a message; with 0 "
              "it does not, and is made three times a second.")  # fmt: skip
@click.option("--settle", type=click.FloatRange(min=0), default=1.0, show_default=True,
              metavar="SECONDS", help="How long a file must rest before it counts as whole, where "
              "the system cannot tell whether it is still open.")  # fmt: skip
@click.option("--tell-after", type=click.FloatRange(min=0, min_open=True), default=60.0,
              show_default=True, metavar="SECONDS",
              help="Tell of a file that is still being written after so long.")  # fmt: skip
@click.option("--polling", is_flag=True, help="For network file systems, which send no events.")
@_engine
@options.max_workers
@click.option("--runs", type=click.IntRange(min=1), default=2, show_default=True, metavar="N",
              help="Runs at a time, so that a short one need not wait for a long one.")  # fmt: skip
@click.option("--no-run", is_flag=True, help="Only bring in; compute nothing.")
@click.option("--announce", default="", metavar="URL|ARN", envvar="COPAL_ANNOUNCE",
              help="Have a deployed flow compute: address of an Argo Events webhook, or a state "
              "machine's ARN. Default: $COPAL_ANNOUNCE, or runs of one's own.")  # fmt: skip
@click.option("--metrics-port", type=int, metavar="PORT", help="Serve Prometheus metrics.")
@click.option("--metrics-address", default="127.0.0.1", show_default=True, metavar="ADDRESS")
@options.as_json
@click.pass_obj
def watch(
    settings: Settings,
    places: tuple[str, ...],
    allow: tuple[str, ...],
    poll: int,
    settle: float,
    tell_after: float,
    polling: bool,
    engine: str,
    max_workers: int | None,
    runs: int,
    no_run: bool,
    announce: str,
    metrics_port: int | None,
    metrics_address: str,
    as_json: bool,
) -> int:
    """Bring in what lands in folders, or what a queue tells of, and compute what is missing.

    \b
      copal watch ~/incoming
      copal watch sqs://copal-arrivals --allow s3://media/in/

    A file in a folder counts once nobody writes to it any more. A queue gets S3's notifications,
    straight, through SNS or through EventBridge; each is a hint, and what S3 holds now decides. A
    message is deleted once its arrival is written down; one that means nothing, or whose object is
    refused, is left to become a dead letter.

    Every arrival is a row ('copal arrivals'). New assets are gathered into runs, and each computes
    whatever is missing. Runs until it is stopped, which loses nothing.
    """
    from copal import metrics

    lake = settings.lake()
    _log(settings.debug)
    stop = threading.Event()
    source, rescan = _source(places, allow, poll, settle, tell_after, polling, stop)
    _stop_on_signals(stop, source)
    try:
        runner = _runner(lake, engine, max_workers, 0 if no_run else runs, announce)
        try:
            port = metrics_port
            served = metrics.serve(port, metrics_address) if port is not None else None
            try:
                if not as_json:
                    say(f"Watching {', '.join(places)}. Stop with Ctrl-C.")
                from copal.arrivals.watch import watch as keep_watching

                _look_for_requests(lake.project, runner, stop)
                keep_watching(
                    lake.project, source, runner, stop,
                    lambda arrival: _show(arrival, as_json), rescan,
                )  # fmt: skip
            finally:
                if served is not None:
                    served.close()
        finally:
            runner.close()
    except _Stopped:
        pass
    finally:
        stop.set()
        source.close()
    return DONE


def _look_for_requests(project: Any, runner: Any, stop: threading.Event) -> None:
    """Ask for a run when somebody leaves a ticket; a run serves tickets before anything else."""
    from copal.errors import CopalError
    from copal.flow.requests import WATCH_SECONDS, open_tickets

    def look() -> None:
        known: set[str] = set()
        while not stop.wait(WATCH_SECONDS):
            with contextlib.suppress(CopalError, OSError):  # it may be there again soon
                found = {ticket.id for ticket in open_tickets(project)}
                if found - known:
                    runner.ask()
                known = found

    threading.Thread(target=look, name="requests", daemon=True).start()


def _source(
    places: tuple[str, ...],
    allow: tuple[str, ...],
    poll: int,
    settle: float,
    tell_after: float,
    polling: bool,
    stop: threading.Event,
) -> tuple[Any, Any]:
    """What hints, and how it is told to look for what it missed."""
    from copal.arrivals.folder import Folders
    from copal.arrivals.queue import is_queue
    from copal.arrivals.sqs import Messages
    from copal.arrivals.sweep import lost_in
    from copal.errors import RequestError

    if any(map(is_queue, places)):
        if len(places) > 1:
            raise RequestError("One queue, or folders: start a watcher for each queue.")
        return Messages(places[0], allow, stop, poll), None
    if wrong := next((place for place in places if "://" in place), None):
        raise RequestError(
            f"{wrong}: folders and sqs://QUEUE can be watched. Have the bucket notify a queue; "
            "'copal sweep' finds what is there already."
        )
    folders = Folders(
        [Path(place) for place in places], stop,
        settle_seconds=settle, tell_seconds=tell_after, polling=polling,
    )  # fmt: skip

    def rescan(known: Any) -> None:
        for folder, _ in folders.folders:
            folders.expect(lost_in(known, folder))

    return folders, rescan


def _runner(lake: Any, engine: str, max_workers: int | None, runs: int, announce: str = "") -> Any:
    from copal.arrivals.runner import NoRuns, Runner
    from copal.flow.work import new_run_id

    if runs == 0:
        return NoRuns()
    project = lake.project
    if announce:
        event = project.registry.deploy.event
        told = [sys.executable, "-m", "copal.cli.announced", announce, event]
        return Runner(told, new_run_id, _hear, 1)
    command = [sys.executable, "-m", "copal.cli.burst", str(project.root), str(project.location),
               "--engine", engine]  # fmt: skip
    if max_workers is not None:
        command += ["--max-workers", str(max_workers)]
    return Runner(command, new_run_id, _hear, runs)


def _hear(event: Mapping[str, Any]) -> None:
    """A log line of a run: counted, and told on."""
    import structlog

    from copal import metrics

    metrics.hear(event)
    said = {key: value for key, value in event.items() if key not in ("level", "timestamp")}
    level = getattr(logging, str(event.get("level", "info")).upper(), logging.INFO)
    structlog.get_logger("copal.run").log(level, said.pop("event", ""), **said)


def _stop_on_signals(stop: threading.Event, source: Any) -> None:
    """End in good order; a long wait for a message is broken off, for then nothing is held."""

    def end(number: int, frame: object) -> None:
        stop.set()
        if getattr(source, "waiting", False):
            raise _Stopped

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)


def _log(debug: bool) -> None:
    """JSON lines where nobody looks on; on a terminal, arrivals are printed and the rest is told
    when it is a warning."""
    import structlog

    plain = sys.stderr.isatty()
    least = logging.DEBUG if debug else logging.WARNING if plain else logging.INFO
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer()
            if plain
            else structlog.processors.JSONRenderer(default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )  # fmt: skip


def _show(arrival: Any, as_json: bool) -> None:
    if as_json:
        print_rows([arrival_json(arrival)])
        return
    name = unquote(arrival.locator.rpartition("/")[2])
    what = f"{arrival.asset.short}  {arrival.title.name}  ({name})" if arrival.asset else name
    say(f"{arrival.decision:<9}  {what}" + (f"\n           {arrival.note}" if arrival.note else ""))


def arrival_json(arrival: Any) -> dict[str, Any]:
    """An arrival as an object."""
    return {
        "locator": arrival.locator, "decision": arrival.decision,
        "asset": arrival.asset.id if arrival.asset else None,
        "title": arrival.title.name if arrival.title else None, "note": arrival.note,
    }  # fmt: skip


@click.command()
@click.argument("place", metavar="DIR|S3")
@click.option("--dry-run", is_flag=True, help="Say what differs, and bring nothing in.")
@click.option("--no-run", is_flag=True, help="Bring it in, and compute nothing.")
@options.engine
@options.max_workers
@options.as_json
@click.pass_obj
def sweep(
    settings: Settings,
    place: str,
    dry_run: bool,
    no_run: bool,
    engine: Any,
    max_workers: int | None,
    as_json: bool,
) -> int:
    """Find what is at a place and not in the catalogue, has changed, or is gone; and compute.

    For events that were lost: everything under DIR, or under s3://bucket/prefix, is compared with
    the catalogue. What looks as it did is not opened.
    """
    lake = settings.lake()
    found = lake.sweep(place)
    kinds = {"unknown": found.unknown, "changed": found.changed, "gone": found.gone}
    summary = ", ".join(f"{len(hints):,} {kind}" for kind, hints in kinds.items())
    if dry_run:
        for kind, hints in kinds.items():
            for hint in hints:
                if as_json:
                    print_rows([{"locator": hint.locator, "differs": kind}])
                else:
                    say(f"{kind:<9}  {unquote(hint.locator)}")
        if not as_json:
            say(f"{summary}, {found.unchanged:,} unchanged. Nothing was brought in.")
        return DONE
    decisions: Counter[str] = Counter()
    for arrival in lake.take_in(found):
        decisions[arrival.decision] += 1
        _show(arrival, as_json)
    if not as_json:
        say(f"{summary}, {found.unchanged:,} unchanged.")
    code = CELL_FAILED if decisions["refused"] + decisions["failed"] else DONE
    if no_run:
        return code
    plan = lake.plan()
    report = lake.do(plan, engine, max_workers)
    if as_json:
        print_rows([report.to_json() | {"already_stored": plan.stored}])
    else:
        from copal.cli.doing import print_report

        print_report(plan, report)
    return CELL_FAILED if report.failed else code


@click.command()
@click.option("--decision", "decisions", multiple=True, metavar="WORD",
              help="Only these, such as new, refused, replaced.")  # fmt: skip
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, metavar="N",
              help="The last so many.")  # fmt: skip
@options.as_json
@click.pass_obj
def arrivals(settings: Settings, decisions: tuple[str, ...], limit: int, as_json: bool) -> int:
    """List what arrived: what was decided of it, and which run was to follow."""
    rows = settings.lake().arrivals(decisions)[-limit:]
    if as_json:
        print_rows(
            {
                "at": each.at.isoformat(), "source": each.source, "locator": each.locator,
                "decision": each.decision, "asset": each.asset, "earlier": each.earlier,
                "title": each.title, "note": each.note, "message_id": each.message_id,
                "run_id": each.run_id, "seconds": round(each.seconds, 3),
            }
            for each in rows
        )  # fmt: skip
        return DONE
    print_table(
        [
            [f"{each.at:%Y-%m-%d %H:%M:%S}", each.source, each.decision,
             (each.asset or "")[:8], each.title or "", each.run_id or "",
             each.note or unquote(each.locator.rpartition("/")[2])]
            for each in rows
        ],
        head=["at", "source", "decision", "asset", "title", "run", ""],
    )  # fmt: skip
    say(count(len(rows), "arrival") + ".")
    return DONE
