"""Watching: hints become decisions, decisions are written down, and runs follow."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import structlog

from copal import metrics
from copal.arrivals.found import Found
from copal.arrivals.hints import Hint, Source
from copal.arrivals.reconcile import WORTH_A_RUN, Arrival, Reconciler, is_there
from copal.arrivals.runner import Runs
from copal.arrivals.titles import TitleWords
from copal.errors import CopalError, MissingValue, RequestError, StoreError, StoreUnavailable
from copal.project import Project

log = structlog.get_logger("copal.arrivals")

AGAIN_SECONDS = 2.0
"""How long to wait after the store could not be written."""
RESCAN_SECONDS = 600.0
"""How often a place is swept while it is watched: systems drop events when there are many."""

Tell = Callable[[Arrival], None]


def watch(
    project: Project,
    source: Source,
    runner: Runs,
    stop: threading.Event,
    tell: Tell = lambda _: None,
    rescan: Callable[[Reconciler], None] | None = None,
) -> None:
    """Take what a source hints at into the catalogue and have what is missing computed.

    Ends when ``stop`` is set. Whatever goes wrong with a place is a row, and whatever goes wrong
    with the store is tried again: a hint is settled only when its arrival is written down.

    Parameters
    ----------
    rescan
        Has the source look for what it missed; called first, and now and then.
    """
    project.store.introduce()
    known = Reconciler(project, source.name)
    _ready()
    runner.ask()  # for what a watcher before this one could not finish
    scanned_at = -RESCAN_SECONDS
    while not stop.is_set():
        if rescan is not None and time.monotonic() - scanned_at > RESCAN_SECONDS:
            _rescan(rescan, known)
            scanned_at = time.monotonic()
        hints = source.hints()
        if not hints:
            continue
        runner.warm()
        try:
            known.refresh()
            arrivals, undone = decide(known, hints)
            with runner.joining() as run_id:
                known.flush(run_id)
                worth = sum(each.decision in WORTH_A_RUN for each in arrivals)
                if worth:
                    runner.ask(worth)
        except (CopalError, OSError) as exc:
            log.error("arrivals.not_written", error=str(exc), again_in_seconds=AGAIN_SECONDS)
            source.settle([], hints)
            known = _anew(project, source.name, stop) or known
            continue
        source.settle([each for each in hints if each not in undone], undone)
        for each in arrivals:
            metrics.count_arrival(each.decision)
            tell(each)
        metrics.set_queue_lag(0.0)


def _ready() -> None:
    """Import what reading a file takes before the first one comes."""
    from copal.media import sandbox

    try:
        sandbox.start()
    except StoreUnavailable as exc:  # told again with each file
        log.error("sandbox.not_started", error=str(exc))


def _rescan(rescan: Callable[[Reconciler], None], known: Reconciler) -> None:
    try:
        known.refresh()
        rescan(known)
    except (RequestError, StoreError, OSError) as exc:  # a folder is not mounted; it may be again
        log.error("place.not_swept", error=str(exc))


def _anew(project: Project, source: str, stop: threading.Event) -> Reconciler | None:
    """What the catalogue holds, read again once it can be; None when told to stop before."""
    while not stop.wait(AGAIN_SECONDS):
        try:
            return Reconciler(project, source)
        except (StoreError, OSError) as exc:
            log.error("catalogue.not_read", error=str(exc), again_in_seconds=AGAIN_SECONDS)
    return None


def decide(known: Reconciler, hints: Sequence[Hint]) -> tuple[list[Arrival], list[Hint]]:
    """Decide what each hint is about; those that must come again are the second list.

    What is gone is decided last, so that what was moved is told as moved. Nothing is written yet.
    """
    arrivals: list[Arrival] = []
    undone: list[Hint] = []
    there: list[tuple[Hint, Found]] = []
    gone: list[Hint] = []
    states: dict[str, Found | None] = {}
    for hint in hints:
        if hint.decided is not None:
            arrivals.append(known.tell(hint.decided, message_id=hint.message_id))
            if hint.decided.decision in ("refused", "malformed"):
                undone.append(hint)  # for the queue to make dead letters of
            continue
        try:
            if hint.locator not in states:
                states[hint.locator] = hint.look()
            found = states[hint.locator]
        except (CopalError, OSError) as exc:
            arrivals.append(_failed(known, hint, exc))
            undone.append(hint)
            continue
        if found is None:
            gone.append(hint)
        else:
            there.append((hint, found))
    words = _words([found for _, found in there])
    known.told = {found.locator: (words[found.locator], found.name) for _, found in there}
    for hint, found in there:
        try:
            arrival = known.arrive(found, words[found.locator], hint.message_id)
        except Exception as exc:  # whatever one of them does, the others are decided
            arrival = _failed(known, hint, exc)
        arrivals.append(arrival)
        if arrival.decision == "failed" or (arrival.decision == "refused" and hint.message_id):
            undone.append(hint)  # a refused file comes again when it changes
    for hint in gone:
        arrivals += _gone(known, hint)
    return arrivals, undone


def _failed(known: Reconciler, hint: Hint, exc: Exception) -> Arrival:
    note = str(exc) if isinstance(exc, CopalError) else f"{type(exc).__name__}: {exc}"
    arrival = Arrival(hint.locator, "failed", note=note)
    return known.tell(arrival, message_id=hint.message_id)


def _gone(known: Reconciler, hint: Hint) -> Iterator[Arrival]:
    """A place, or the places in a folder, where nothing is any more."""
    locator = hint.locator
    if not isinstance(hint.place, Path):
        if locator in known.forgotten and hint.message_id is None:
            return  # its asset was found elsewhere, and told as moved
        yield known.leave(locator, hint.message_id)
        return
    # Of a folder that is gone, only the folder is told; of a passing file, there is nothing to say.
    under = [each for each in known.places if each == locator or each.startswith(f"{locator}/")]
    for each in under:
        if known.places[each].gone_at is None and not is_there(each):
            yield known.leave(each, hint.message_id)


def _words(found: Sequence[Found]) -> dict[str, TitleWords]:
    """Locator → what the titles.yaml beside it says; a damaged one says nothing, and is logged."""
    spoken: dict[str, dict[str, TitleWords]] = {}
    for each in found:
        if each.folder not in spoken:
            try:
                spoken[each.folder] = each.titles()
            except (RequestError, MissingValue, StoreUnavailable, OSError) as exc:
                log.warning("titles.not_read", folder=each.folder, error=str(exc))
                spoken[each.folder] = {}
    return {each.locator: spoken[each.folder].get(each.name, TitleWords()) for each in found}
