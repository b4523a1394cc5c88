"""Requests: one value is asked for; it is there, or it is computed, or there is a reason why not.

A request that nobody waits for is a ticket, ``<store>/requests/<id>/ticket.json``. Whatever runs
next and serves tickets (``copal watch``, ``schedule``, ``backfill``) does so before its own work.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

import structlog

from copal import plan as planning
from copal.asset import Asset
from copal.errors import FeatureError, RegistryError, RequestError
from copal.feature import Value
from copal.fingerprint import AssetId, UnitId, fingerprint, pair_assets, pair_unit
from copal.flow import parts
from copal.flow.drive import Engine, Listener, drive
from copal.plan import FeaturePlan, Plan
from copal.project import Project
from copal.registry import FeatureName
from copal.store.leases import live_runs

log = structlog.get_logger("copal.flow")

WATCH_SECONDS = 2.0
"""How often a process that stays looks for tickets."""
POLL_SECONDS = 0.25
"""How often one looks whether the run that computes a cell is done."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What there is to say to a request."""

    feature: FeatureName
    version: int
    unit: UnitId
    state: Literal["stored", "asked", "failed", "refused"]
    """``asked``: there is a ticket. ``failed``: it was tried just now, and may be tried again.
    ``refused``: it is not computed until something changes."""
    value: Value | None = None
    ticket: str = ""
    reason: str = ""
    """Why it failed or was refused, or who is computing it."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A cell that somebody asked for."""

    id: str
    feature: FeatureName
    unit: UnitId
    asked_at: datetime


def request(
    project: Project,
    feature: str,
    asset: str,
    other: str | None = None,
    *,
    wait: bool = False,
    timeout_seconds: float | None = None,
    engine: Engine = "inline",
    listen: Listener | None = None,
) -> Answer:
    """The value of a feature on an asset, or on two; see ``Lake.request``."""
    until = time.monotonic() + timeout_seconds if timeout_seconds is not None else None
    declaration = project.graph.declaration(feature)
    assets = _assets(project, feature, asset, other)
    unit = UnitId(assets[0].id)
    if declaration.unit == "pair":
        unit = pair_unit(assets[0].id, assets[-1].id)
    before: str | None = None
    while True:
        answer, plan = _look(project, declaration.name, unit, assets)
        if plan is None:
            _drop(project, answer.ticket)
            return replace(answer, ticket="")
        if not wait:
            return _ask(project, answer)
        if before is not None:
            return replace(answer, state="failed", ticket="", reason=before)
        if until is not None and time.monotonic() >= until:
            return replace(_ask(project, answer), reason=f"not within {timeout_seconds:g} s")
        wanted = parts.needed_by(plan, project.graph, {declaration.name: [unit]})
        report = drive(project, wanted, engine=engine, max_workers=1, listen=listen, by="request")
        if not report.elsewhere:
            errors = [text for told in report.errors.values() for text in told.values()]
            before = errors[0] if errors else "it was tried, and there is no value."
        elif not _others_end(
            project, wanted.feature(declaration.name), unit, report.elsewhere, until
        ):
            runs = ", ".join(report.elsewhere)
            asked = _ask(project, answer)
            return replace(asked, reason=f"not within {timeout_seconds:g} s; run {runs} is at it")


def _assets(project: Project, feature: str, asset: str, other: str | None) -> list[Asset]:
    found = [project.asset(asset)]
    if project.graph.declaration(feature).unit == "pair":
        found.append(project.asset(other) if other else found[0])
    elif other:
        raise RequestError(f"'{feature}' covers one asset; {asset} and {other} are two.")
    return found


def _look(
    project: Project, feature: FeatureName, unit: UnitId, assets: Sequence[Asset]
) -> tuple[Answer, Plan | None]:
    """The answer as things stand; with a plan when the cell is still to be computed."""
    declaration = project.graph.declaration(feature)
    answer = Answer(feature, declaration.version, unit, "refused")
    try:
        recipes = project.recipes([feature])
    except FeatureError as exc:
        return replace(answer, reason=str(exc)), None
    recipe = recipes[feature]
    answer = replace(answer, ticket=fingerprint("ticket", recipe=recipe.id, unit=unit)[:12])
    found = project.store.table(recipe).read([unit])
    if unit in found:
        return replace(answer, state="stored", value=found[unit].value()), None
    kinds = project.graph.kinds(feature)
    for each in assets:
        if each.kind not in kinds:
            known = ", ".join(sorted(kinds))
            reason = f"{each.name} is {each.kind}, and '{feature}' starts from {known}."
            return replace(answer, reason=reason), None
    unique = list({each.id: each for each in assets}.values())
    plan = planning.plan(project.graph, recipes, unique, project.held(recipes))
    part = plan.feature(feature)
    if unit in part.quarantined:
        error = part.quarantined[unit].error.rstrip(".")
        reason = f"quarantined: {error}. 'copal retry' lets it be tried again."
        return replace(answer, reason=reason), None
    for states in (part.blocked, part.skipped):
        if unit in states:
            return replace(answer, reason=states[unit]), None
    if unit not in {cell.unit for cell in part.cells}:
        reason = f"'{feature}' pairs assets of one {declaration.pairs}; these two are not."
        return replace(answer, reason=reason), None
    return replace(answer, state="asked"), plan


def _others_end(
    project: Project, part: FeaturePlan, unit: UnitId, runs: Mapping[str, int], until: float | None
) -> bool:
    """Wait until the unit has a value or none of the runs is alive; False when time is up."""
    table = project.store.table(part.recipe)
    while set(runs) & set(live_runs(project.folder)) and unit not in table.index([unit]).units:
        if until is not None and time.monotonic() >= until:
            return False
        time.sleep(POLL_SECONDS)
    return True


# Tickets


def _ask(project: Project, answer: Answer) -> Answer:
    """Leave a ticket; the same cell has the same one, however many ask."""
    said = {
        "feature": answer.feature,
        "unit": answer.unit,
        "asked_at": datetime.now(UTC).isoformat(),
    }
    name = f"requests/{answer.ticket}/ticket.json"
    if project.folder.get(name) is None:
        project.store.introduce()
        project.folder.put(name, (json.dumps(said) + "\n").encode())
    return answer


def _drop(project: Project, ticket: str) -> None:
    if ticket and project.folder.get(f"requests/{ticket}/ticket.json") is not None:
        project.folder.remove_folder(f"requests/{ticket}")


def open_tickets(project: Project) -> list[Ticket]:
    """Tickets that nobody has served yet, the oldest first; damaged ones are dropped."""
    found = []
    for name in project.folder.names("requests"):
        data = project.folder.get(f"requests/{name}/ticket.json")
        if data is None:
            continue
        if ticket := _ticket(name, data):
            found.append(ticket)
        else:
            _drop(project, name)
    return sorted(found, key=lambda ticket: (ticket.asked_at, ticket.id))


def _ticket(name: str, data: bytes) -> Ticket | None:
    """What a ticket says; None when it is damaged, so that it holds up no other."""
    try:
        said = json.loads(data)
        asked_at = datetime.fromisoformat(said["asked_at"])
        return Ticket(name, FeatureName(said["feature"]), UnitId(said["unit"]), asked_at)
    except (ValueError, KeyError, TypeError) as exc:
        log.warning("request.dropped", ticket=name, error=f"damaged: {exc!r}")
        return None


def serve_requests(
    project: Project,
    *,
    engine: Engine = "metaflow",
    max_workers: int | None = None,
    listen: Listener | None = None,
) -> int:
    """Compute what is asked for, in one run; says how many tickets are settled.

    A ticket whose cell another run is computing stays open, and so does one that failed and may
    be tried again, or that only a machine with the feature's weights can serve.
    """
    tickets = open_tickets(project)
    dropped: dict[str, str] = {}
    computable: list[Ticket] = []
    for ticket in tickets:
        try:
            project.recipes([ticket.feature])
            computable.append(ticket)
        except FeatureError as exc:
            log.debug("request.left", ticket=ticket.id, error=str(exc))
        except RegistryError as exc:
            dropped[ticket.id] = str(exc)
    assets = {asset.id: asset for asset in project.catalog.assets()} if computable else {}
    usable: list[Ticket] = []
    for ticket in computable:
        if all(AssetId(each) in assets for each in _units(ticket.unit)):
            usable.append(ticket)
        else:
            dropped[ticket.id] = "its asset is not in the catalogue."
    for name, error in dropped.items():
        log.warning("request.dropped", ticket=name, error=error)
        _drop(project, name)
    settled = len(dropped)
    if usable:
        wanted: dict[FeatureName, set[str]] = {}
        for ticket in usable:
            wanted.setdefault(ticket.feature, set()).add(ticket.unit)
        plan = parts.needed_by(_plan(project, usable, assets), project.graph, wanted)
        drive(project, plan, engine=engine, max_workers=max_workers, listen=listen, by="request")
    after = _plan(project, usable, assets) if usable else Plan(())
    for ticket in usable:
        if ticket.unit not in {cell.unit for cell in after.feature(ticket.feature).cells}:
            _drop(project, ticket.id)
            settled += 1
    if settled:
        log.info("requests.served", open=len(tickets), settled=settled)
    return settled


def _plan(project: Project, tickets: Sequence[Ticket], assets: Mapping[AssetId, Asset]) -> Plan:
    recipes = project.recipes({ticket.feature for ticket in tickets})
    named = {AssetId(each) for ticket in tickets for each in _units(ticket.unit)}
    chosen = [assets[each] for each in sorted(named)]
    return planning.plan(project.graph, recipes, chosen, project.held(recipes))


def _units(unit: UnitId) -> list[str]:
    return [each for each in pair_assets(unit) if each]
