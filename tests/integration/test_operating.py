"""Requests, backfills, schedules and runs: real commands on a small repository."""

from __future__ import annotations

import json
import os
import re
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from copal.errors import MissingWeights
from copal.flow.requests import request, serve_requests
from copal.store import open_folder
from copal.store.leases import Lease, claim, live_runs
from tests.integration.repository import (
    Contents,
    Repository,
    contents,
    finished,
    is_alive,
    make_repository,
    until,
)


@pytest.fixture
def short(tmp_path: Path, own_imports: None, films: Path) -> Iterator[Repository]:
    """A repository of two features, with the films in its catalogue; no process outlives it."""
    made = make_repository(tmp_path / "short", ("levels", "cuts"))
    made.add(films)
    yield made
    for sign in made.signs.glob("*.waits"):
        pid = int(sign.name.split(".")[1])
        if is_alive(pid):
            os.kill(pid, signal.SIGKILL)


def stored_twice(repository: Repository) -> list[str]:
    """Units that were computed more than once."""
    project = repository.lake().project
    units = [
        f"{name} {each.unit}"
        for name in project.graph.order
        for each in project.table(name).attempts(["stored", "empty"])
    ]
    return [unit for unit in units if units.count(unit) > 1]


# Claims


def test_a_cell_in_progress_is_not_started_twice(
    short: Repository, undisturbed: Callable[..., Contents]
) -> None:
    """
    What a live run is computing is left to it, and told; afterwards nothing was done twice.
    """
    sign = short.hold("cuts")
    first = short.start("run", "--engine", "inline", "--max-workers", "1", "--json")
    until(lambda: short.waiting("cuts"), "the first run at 'cuts'", first)
    (run,) = live_runs(short.lake().project.folder)

    said = short.copal("run", "--engine", "inline").out
    assert f"left to run {run}, which is computing them" in said
    report = short.run()
    assert report["elsewhere"] == {run: 4}
    assert report["outcomes"] == {}
    sign.unlink()
    assert finished(first).code == 0
    assert stored_twice(short) == []
    assert contents(short.lake()) == undisturbed("levels", "cuts")
    assert short.lake().project.folder.names("leases") == []


def test_what_needs_a_claimed_cell_is_left_too(
    repository: Repository, films: Path, undisturbed: Callable[..., Contents]
) -> None:
    """
    A run of everything beside a run of one feature leaves the feature and all that needs it.
    """
    repository.add(films)
    sign = repository.hold("levels")
    first = repository.start("run", "levels", "--engine", "inline")
    until(lambda: repository.waiting("levels"), "the first run at 'levels'", first)
    report = repository.run()
    assert list(report["elsewhere"].values()) == [4]
    assert report["waiting"] == 4 + 4 + 10
    sign.unlink()
    assert finished(first).code == 0
    assert set(repository.run()["outcomes"]) == {"cuts", "spans", "alike"}
    assert contents(repository.lake()) == undisturbed()


def test_a_run_with_nothing_to_do_leaves_no_trace(filled: Repository) -> None:
    """
    With everything stored and seen to be, no lease, no run and no document is written.
    """
    store = filled.root / ".copal"
    filled.copal("plan")  # keeps what it saw the tables hold
    before = sorted(str(p) for p in store.rglob("*"))
    filled.run()
    assert sorted(str(p) for p in store.rglob("*")) == before


def test_claims_hold_in_s3(s3: dict[str, str], tmp_path: Path) -> None:
    """
    Two runs that claim at once in a bucket share the cells, and nothing of them is left there.
    """
    folder = open_folder(s3["COPAL_STORE"], tmp_path)
    cells = [("shots", "recipe", f"unit{n}") for n in range(100)]
    for _ in range(5):
        with (
            Lease(folder, "one") as one,
            Lease(folder, "two") as two,
            ThreadPoolExecutor(2) as pool,
        ):
            taken = list(pool.map(lambda run: claim(folder, run.run_id, cells), (one, two)))
            assert sorted(live_runs(folder)) == ["one", "two"]
        assert sum(len(places) for each in taken for places in each.values()) == len(cells)
    assert list(folder.objects("leases")) == []


# Killed


@pytest.mark.parametrize("victim", ["copal", "scheduler"])
def test_tasks_end_with_whoever_drives_them(
    short: Repository, undisturbed: Callable[..., Contents], victim: str
) -> None:
    """
    kill -9 of 'copal run', or of Metaflow's scheduler, takes the tasks along; the lease is void
    at once, and the next run finishes the work.
    """
    sign = short.hold("cuts")
    run = short.start("run", "--max-workers", "2")
    tasks = until(
        lambda: len(short.waiting("cuts")) == 2 and short.waiting("cuts"), "two tasks", run
    )
    flow = os.getpgid(tasks[0])
    os.kill(run.pid if victim == "copal" else flow, signal.SIGKILL)
    run.communicate(timeout=60)
    until(lambda: not any(map(is_alive, [*tasks, flow])), "the end of the tasks")
    left = list((short.root / ".home").glob("copal-run-*"))
    assert len(left) == (victim == "copal")
    assert run.returncode == (-signal.SIGKILL if victim == "copal" else 1)
    sign.unlink()

    (killed,) = short.copal("runs", "--json").objects
    assert killed["state"] == ("dead" if victim == "copal" else "failed")
    report = short.run(engine="metaflow")
    assert report["elsewhere"] == {}
    assert report["outcomes"] == {"cuts": {"stored": 3, "empty": 1}}
    assert list((short.root / ".home").glob("copal-run-*")) == []
    assert contents(short.lake()) == undisturbed("levels", "cuts")


def test_an_interrupted_command_exits_as_shells_expect(short: Repository) -> None:
    """
    SIGINT: exit 130, no task is left, the run is told as stopped, and its lease is free.
    """
    sign = short.hold("cuts")
    run = short.start("run", "--max-workers", "2")
    tasks = until(
        lambda: len(short.waiting("cuts")) == 2 and short.waiting("cuts"), "two tasks", run
    )
    os.kill(run.pid, signal.SIGINT)
    ended = finished(run, code=130)
    assert ended.err.endswith("copal: stopped. What was stored is kept; run again to go on.\n")
    assert not any(map(is_alive, tasks))
    sign.unlink()
    assert [each["state"] for each in short.copal("runs", "--json").objects] == ["stopped"]
    assert short.lake().project.folder.names("leases") == []


# Requests


def test_a_request_is_a_ticket_until_somebody_serves_it(short: Repository) -> None:
    """
    Two who ask for one value get one ticket; a backfill of something else serves it first; then
    the answer is the value.
    """
    asked = [short.copal("request", "cuts", "--asset", "calm", "--json").objects[0]
             for _ in range(2)]  # fmt: skip
    assert {each["state"] for each in asked} == {"asked"}
    assert len({each["ticket"] for each in asked}) == 1

    done = short.copal("backfill", "levels", "--title", "brisk", "--engine", "inline", "--json")
    assert done.objects[0]["requests_served"] == 1
    (answer,) = short.copal("request", "cuts", "--asset", "calm", "--json").objects
    assert (answer["state"], answer["rows"]) == ("stored", [{"frame_index": 8}])
    runs = short.copal("runs", "--json").objects
    assert [(each["by"], each["cells"]) for each in runs] == [
        ("backfill", {"levels": 1}),
        ("request", {"levels": 1, "cuts": 1}),
    ]
    assert short.lake().project.folder.names("requests") == []


def test_one_who_waits_computes_the_cell_and_what_it_needs(repository: Repository,
                                                           films: Path) -> None:  # fmt: skip
    """
    A pair of assets needs the spans of both, and nothing of the other films.
    """
    repository.add(films)
    (answer,) = repository.copal(
        "request", "alike", "--asset", "calm", "--with", "brisk", "--wait", "--json"
    ).objects
    assert answer["state"] == "stored"
    assert len(answer["rows"]) == 2 * 3
    lake = repository.lake()
    assert {n: len(lake.project.table(n).index().units) for n in lake.project.graph.order} == {
        "levels": 2, "cuts": 2, "spans": 2, "alike": 1,
    }  # fmt: skip
    again = lake.request("alike", "brisk", "calm")
    assert again.state == "stored"
    assert again.value is not None
    assert again.value.rows.to_pylist() == answer["rows"]


def test_one_who_waits_waits_for_the_run_that_is_at_it(short: Repository) -> None:
    """
    While a run computes the cell, a request with --wait waits for that run; its time may run out.
    """
    sign = short.hold("cuts")
    run = short.start("run", "--engine", "inline")
    until(lambda: short.waiting("cuts"), "the run at 'cuts'", run)
    (late,) = short.copal("request", "cuts", "--asset", "calm", "--wait", "--timeout", "0.5",
                          "--json", code=1).objects  # fmt: skip
    assert late["state"] == "asked"
    assert re.fullmatch(r"not within 0.5 s; run \S+ is at it", late["reason"])
    waiter = short.start("request", "cuts", "--asset", "calm", "--wait", "--json")
    time.sleep(1.5)
    assert waiter.poll() is None
    sign.unlink()
    (answer,) = finished(waiter).objects
    assert answer["state"] == "stored"
    finished(run)
    assert stored_twice(short) == []
    assert short.lake().project.folder.names("requests") == []


def test_one_who_waits_is_answered_while_the_run_goes_on(short: Repository) -> None:
    """
    A run of hours that has stored the value keeps nobody waiting for its other cells.
    """
    levels, cuts = short.hold("levels"), short.hold("cuts")
    run = short.start("run", "--engine", "inline", "--max-workers", "1")
    until(lambda: short.waiting("levels"), "the run at 'levels'", run)
    waiter = short.start("request", "levels", "--asset", "calm", "--wait", "--json")
    time.sleep(1.5)
    assert waiter.poll() is None
    levels.unlink()
    (answer,) = finished(waiter).objects
    assert answer["state"] == "stored"
    assert run.poll() is None
    cuts.unlink()
    finished(run)


def test_a_request_that_cannot_be_met_says_why(repository: Repository, films: Path) -> None:
    """
    What failed for good is refused with the error, and so is what needs it; a word that means
    nothing is exit 2.
    """
    repository.add(films)
    (repository.signs / "cuts.fail").touch()
    said = repository.copal("request", "cuts", "--asset", "calm", "--wait", code=1).out
    assert said.startswith("'cuts' v1: refused: quarantined: 'cuts' on ")
    said = repository.copal("request", "spans", "--asset", "calm", code=1).out
    assert "refused: waits for 'cuts', which is quarantined:" in said
    for arguments, words in (
        (("request", "cutz", "--asset", "calm"), "Did you mean 'cuts'?"),
        (("request", "cuts", "--asset", "nobody"), "no title 'nobody'"),
        (("request", "cuts", "--asset", "calm", "--with", "busy"), "covers one asset"),
    ):
        assert words in repository.copal(*arguments, code=2).err


def test_a_ticket_waits_for_a_machine_that_can_serve_it(
    short: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Where a feature's weights are not at hand, its ticket is left to those who have them; a ticket
    that is damaged holds up no other.
    """
    project = short.lake().project
    assert request(project, "cuts", "calm").state == "asked"

    def lacking(self: object, features: object) -> None:
        raise MissingWeights("'cuts': its weights are not here.")

    monkeypatch.setattr(type(project), "recipes", lacking)
    assert serve_requests(project, engine="inline") == 0
    monkeypatch.undo()
    project.folder.put("requests/torn/ticket.json", b'{"feature": "cu')
    assert serve_requests(project, engine="inline") == 1
    assert request(project, "cuts", "calm").state == "stored"
    assert project.folder.names("requests") == []


def test_a_watcher_serves_requests(repository: Repository, films: Path, tmp_path: Path) -> None:
    """
    What nobody computes by default is computed by a watcher once somebody asked for it.
    """
    repository.edit(
        "    summary: How alike the spans", "    default: false\n    summary: How alike the spans"
    )
    repository.add(films / "calm.mp4")
    (tmp_path / "incoming").mkdir()
    watcher = repository.start("watch", tmp_path / "incoming")
    try:
        (asked,) = repository.copal("request", "alike", "--asset", "calm", "--json").objects
        assert asked["state"] == "asked"
        folder = repository.lake().project.folder
        until(lambda: folder.names("requests") == [], "the request served", watcher)
    finally:
        watcher.terminate()
        finished(watcher, code=None)
    assert repository.lake().request("alike", "calm").state == "stored"


# Backfills


def test_a_backfill_is_resumed_and_limited(
    short: Repository, undisturbed: Callable[..., Contents]
) -> None:
    """
    A dry run writes nothing, a limit does so many units with what they need, and the same command
    does the rest.
    """
    said = short.copal("backfill", "cuts@v1", "--limit", "1", "--dry-run").out
    assert said.endswith("2 cells to compute, 0 already stored. Nothing was run.\n")
    assert short.lake().runs() == []
    first = short.copal("backfill", "cuts@v1", "--limit", "1", "--engine", "inline", "--json")
    assert first.objects[0]["planned"] == 2
    rest = short.copal("backfill", "cuts@v1", "--max-workers", "1", "--engine", "inline", "--json")
    assert rest.objects[0]["planned"] == 6
    assert len(rest.objects[0]["runs"]) >= 2
    assert contents(short.lake()) == undisturbed("levels", "cuts")
    assert stored_twice(short) == []


def test_a_backfill_is_of_what_is_chosen(short: Repository) -> None:
    """
    Titles, kinds, filters and the time of adding choose assets; what means nothing is exit 2.
    """
    for arguments, cells in (
        (("--title", "calm", "--title", "busy"), 4),
        (("--where", "title = 'calm' or title = 'brisk'"), 4),
        (("--kind", "film"), 8),
        (("--added-since", "1h"), 8),
        (("--added-since", "2099-01-01"), 0),
    ):
        planned = short.copal("backfill", "cuts", *arguments, "--dry-run", "--json").objects
        assert sum(each["compute"] for each in planned) == cells, arguments
    for arguments, words in (
        (("cuts@v2",), "the registry declares v1"),
        (("cuts", "--kind", "opera"), "no kind of title 'opera'"),
        (("cuts", "--show", "Heist"), "no show 'Heist'"),
        (("cuts", "--where", "year >"), "--where"),
        (("cuts", "--added-since", "yesterday"), "is no time"),
        (("cuts", "--max-failures", "lots"), "a number of cells, or a share like 2%"),
        (("cuts", "--max-workers", "0"), "need one or more"),
    ):
        ran = short.copal("backfill", *arguments, code=2)
        assert words in ran.err
        assert ran.out == "" or "--max-failures" not in arguments  # said before the plan is made
    none = short.copal("backfill", "cuts", "--where", "year > 3000")
    assert "No title matches.\n" in none.out


def test_a_backfill_stops_when_too_much_fails(short: Repository) -> None:
    """
    More failures than --max-failures end it before the other slices, with exit 1 and the reason;
    within the budget it goes on.
    """
    (short.signs / "levels.fail").touch()
    stopped = short.copal("backfill", "levels", "--max-workers", "1", "--engine", "inline",
                          "--max-failures", "30%", code=1)  # fmt: skip
    assert (
        "stopped: 2 of 4 cells failed, more than --max-failures 30% lets pass (1)." in stopped.out
    )
    (short.signs / "levels.fail").unlink()
    short.copal("retry")
    (short.signs / "cuts.fail").touch()
    passed = short.copal("backfill", "cuts", "--max-failures", "4", "--engine", "inline", code=1)
    assert "4 stored, 4 failed" in passed.out
    assert "stopped" not in passed.out


def test_a_backfill_comes_back_for_what_others_had(
    short: Repository, undisturbed: Callable[..., Contents]
) -> None:
    """
    It leaves a live run's cells to it, waits, and does what that run did not.
    """
    sign = short.hold("levels")
    run = short.start("run", "levels", "--title", "calm", "--engine", "inline")
    until(lambda: short.waiting("levels"), "the run at 'levels'", run)
    filling = short.start("backfill", "cuts", "--engine", "inline", "--json")
    until(lambda: filling.pid in short.waiting("levels"), "the backfill at 'levels'", filling)
    sign.unlink()
    finished(run)
    (report,) = finished(filling).objects
    assert report["outcomes"] == {"stored": 6, "empty": 1}
    assert contents(short.lake()) == undisturbed("levels", "cuts")
    assert stored_twice(short) == []


# Schedules


def test_a_scheduled_run_computes_everything_once(
    short: Repository, undisturbed: Callable[..., Contents]
) -> None:
    """
    'schedule --now --once' does what is missing, logs JSON, and is told as such.
    """
    ended = short.copal("schedule", "--now", "--once", "--engine", "inline")
    events = [json.loads(line) for line in ended.err.splitlines()]
    assert [each["event"] for each in events].count("cell.stored") == 7
    assert all({"level", "timestamp"} <= each.keys() for each in events)
    assert {each["by"] for each in short.copal("runs", "--json").objects} == {"schedule"}
    assert contents(short.lake()) == undisturbed("levels", "cuts")


def test_a_schedule_serves_requests_and_ends_on_sigterm(short: Repository) -> None:
    """
    Between two runs it computes what is asked for, counts it for Prometheus, and SIGTERM ends it
    with 0 while its tasks are at work, leaving none.
    """
    short.edit("store: .copal\n", 'store: .copal\nschedule: "0 3 1 1 ? 2190"\n')
    kept = short.start("schedule", "--max-workers", "1", "--metrics-port", "0")
    assert kept.stderr is not None
    port = 0
    for line in kept.stderr:
        said = json.loads(line)
        port = port or said.get("port", 0)
        if said["event"] == "schedule.kept":
            break
    assert said["next"] == "2190-01-01T03:00:00+00:00"
    short.copal("request", "cuts", "--asset", "calm")
    until(lambda: short.lake().project.folder.names("requests") == [], "the request served", kept)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    assert 'copal_cells_total{feature="cuts",outcome="stored"} 1.0' in text
    assert 'copal_compute_seconds_count{feature="levels"} 1.0' in text

    short.hold("cuts")
    short.copal("request", "cuts", "--asset", "busy")
    (task,) = until(lambda: short.waiting("cuts"), "a task at work", kept)
    kept.terminate()
    finished(kept)
    assert not is_alive(task)
    assert short.lake().project.folder.names("leases") == []


def test_a_schedule_that_is_none(short: Repository) -> None:
    """
    Without a schedule, with a line that is no cron line, or with numbers that are none, it is
    exit 2 at once and says so.
    """
    for option, number in (("--max-failures", "lots"), ("--max-workers", "0")):
        assert f"{option} " in short.copal("schedule", option, number, code=2).err
    assert "has no 'schedule'" in short.copal("schedule", code=2).err
    short.edit("store: .copal\n", 'store: .copal\nschedule: "61 3 * * ? *"\n')
    for verb in ("schedule", "check"):
        told = short.copal(verb, code=2).err
        assert "registry.yaml:4: schedule '61 3 * * ? *'" in told
        assert "'61' is none of 0 to 59" in told


# Runs


def test_a_run_is_followed_from_elsewhere(short: Repository) -> None:
    """
    Another terminal lists a live run with how far it is, and follows it to its end.
    """
    assert short.copal("runs").out == "No run yet. 'copal run' starts one.\n"
    sign = short.hold("cuts")
    short.environment["COPAL_LEASE_SECONDS"] = "2"
    run = short.start("run", "--engine", "inline", "--max-workers", "1")
    until(lambda: short.waiting("cuts"), "the run at 'cuts'", run)
    (told,) = until(
        lambda: [r for r in short.copal("runs", "--json").objects if r["outcomes"]], "a beat", run
    )
    assert (told["state"], told["outcomes"]) == ("running", {"levels": {"stored": 4}})
    follower = short.start("runs", "last", "--follow")
    assert follower.stdout is not None
    assert follower.stdout.readline().startswith("4 of 8 cells")
    sign.unlink()
    finished(run)
    assert f"{told['id']}: done, started " in finished(follower).out
    shown = short.copal("run", "show", told["id"][-6:]).out
    assert shown.splitlines()[1:] == [
        "feature  cells  outcomes",
        "levels       4  4 stored",
        "cuts         4  3 stored, 1 empty",
    ]
    assert "no run 'nothing'" in short.copal("runs", "nothing", code=2).err
