"""``kill -9`` at any moment loses at most the work in hand: the next run ends as if nothing was."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from copal.store.lance_store import local_store
from tests.integration import publisher
from tests.integration.repository import (
    Contents,
    Repository,
    contents,
    finished,
    is_alive,
    make_repository,
    until,
    values_of,
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


def kill(process: subprocess.Popen[str]) -> None:
    """``kill -9``, and the pipes closed."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def test_a_run_killed_with_its_tasks_is_taken_up_by_the_next(
    short: Repository, undisturbed: Callable[..., Contents]
) -> None:
    """
    Copal, the scheduler and every task are killed while tasks compute; what they had stored is
    kept, and the next run stores the rest, equal to an undisturbed run's.
    """
    sign = short.hold("cuts")
    run = short.start("run", "--max-workers", "2")
    tasks = until(
        lambda: len(short.waiting("cuts")) == 2 and short.waiting("cuts"), "two tasks", run
    )
    flow = os.getpgid(tasks[0])
    assert flow != run.pid
    kill(run)
    os.killpg(flow, signal.SIGKILL)
    until(lambda: not any(map(is_alive, tasks)), "the end of the tasks")
    sign.unlink()

    plan = short.plan()
    assert plan["levels"][0] == 0
    assert plan["cuts"][0] == 4
    report = short.run("--max-workers", "2", engine="metaflow")
    assert report["outcomes"] == {"cuts": {"stored": 3, "empty": 1}}
    assert contents(short.lake()) == undisturbed("levels", "cuts")


def test_a_run_that_was_taken_for_dead_stores_each_value_once(
    short: Repository, undisturbed: Callable[..., Contents]
) -> None:
    """
    A driver that hangs for longer than its lease loses its claims while its tasks compute. A run
    started meanwhile competes with them; the store is right then, and when the first has ended.
    """
    sign = short.hold("cuts")
    short.environment["COPAL_LEASE_SECONDS"] = "1"
    run = short.start("run", "--max-workers", "2")
    tasks = until(
        lambda: len(short.waiting("cuts")) == 2 and short.waiting("cuts"), "two tasks", run
    )
    os.kill(run.pid, signal.SIGSTOP)
    time.sleep(1.2)

    second = short.start("run", "--engine", "inline", "--json")
    until(lambda: second.pid in short.waiting("cuts"), "the second run at 'cuts'", second)
    assert all(map(is_alive, tasks))
    sign.unlink()
    assert finished(second).code == 0
    assert contents(short.lake()) == undisturbed("levels", "cuts")

    os.kill(run.pid, signal.SIGCONT)
    assert finished(run).code == 0
    assert contents(short.lake()) == undisturbed("levels", "cuts")
    assert {each["state"] for each in short.copal("runs", "--json").objects} == {"done"}


def test_a_killed_task_costs_its_cells_one_attempt(
    short: Repository, undisturbed: Callable[..., Contents]
) -> None:
    """
    A task that is killed leaves a retryable attempt for each cell it owed; the other tasks and
    what can still be computed go on, the run ends with 1, and the next one completes the store.
    """
    sign = short.hold("cuts")
    run = short.start("run", "--max-workers", "2", "--json")
    tasks = until(
        lambda: len(short.waiting("cuts")) == 2 and short.waiting("cuts"), "two tasks", run
    )
    os.kill(random.Random(1).choice(tasks), signal.SIGKILL)
    sign.unlink()
    ended = finished(run, code=1)
    (report,) = ended.objects
    assert report["outcomes"]["cuts"]["failed"] == 2
    assert len(report["died"]) == 1
    (message,) = set(report["errors"]["cuts"].values())
    assert message in (
        f"'cuts': the task of chunk {chunk} ended before it was done." for chunk in (0, 1)
    )

    (states,) = (s for s in short.copal("status", "--json").objects if s.get("feature") == "cuts"
                 and "stored" in s)  # fmt: skip
    assert (states["stored"] + states["empty"], states["failed"]) == (2, 2)
    assert short.plan()["cuts"] == (2, {"retry": 2})
    assert short.run()["outcomes"]["cuts"].keys() <= {"stored", "empty"}
    assert contents(short.lake()) == undisturbed("levels", "cuts")


def test_an_inline_run_killed_again_and_again_gets_there(
    repository: Repository, films: Path, undisturbed: Callable[..., Contents]
) -> None:
    """
    Killed five times, each after a random number of cells, and run to the end: all is stored once.
    """
    chance = random.Random(20260)
    repository.add(films)
    for cells in (chance.randint(0, 5) for _ in range(5)):
        run = repository.start("--debug", "run", "--engine", "inline")
        assert run.stderr is not None
        for _ in range(cells):
            for line in run.stderr:
                if "cell.started" in line:
                    break
        time.sleep(chance.random() * 0.1)  # computing, publishing, or between the two
        kill(run)
    repository.run()
    assert contents(repository.lake()) == undisturbed()


def publish(store: Path, run_id: str, *, seed: int = 0) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, publisher.__file__, str(store), run_id, "120", "3", str(seed)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    return process


def test_a_publisher_killed_while_publishing_leaves_nothing_half_written(tmp_path: Path) -> None:
    """
    Killed at five random moments of a publication: what a reader sees is whole values only, all
    those that were acknowledged among them, and a later publisher adds the missing ones.
    """
    chance = random.Random(416)
    store = local_store(tmp_path / "store")
    acknowledged: set[str] = set()
    for moment in range(5):
        process = publish(tmp_path / "store", f"run{moment}", seed=moment)
        assert process.stdout is not None
        for _ in range(chance.randint(2, 9)):
            line = process.stdout.readline()
            if "won" in line:
                acknowledged |= set(json.loads(line)["won"])
        time.sleep(chance.random() * 0.05)  # somewhere inside the next publication
        os.killpg(process.pid, signal.SIGKILL)
        said, _ = process.communicate()
        for line in said.splitlines():
            if line.endswith("}") and "won" in line:
                acknowledged |= set(json.loads(line)["won"])
        seen = values_of(store, publisher.RECIPE)
        assert acknowledged <= seen.keys()
        assert len(seen) < 120
    last = publish(tmp_path / "store", "last")
    assert last.wait(120) == 0
    last.communicate()

    seen = values_of(store, publisher.RECIPE)
    assert sorted(seen) == [f"unit{n:04d}" for n in range(120)]
    for number in range(120):
        expected = publisher.value(number, "", tmp_path)
        assert seen[expected.unit]["value_digest"] == expected.value_digest
        assert seen[expected.unit]["state"] == ("ok" if number % 7 else "empty")
    told = [each.unit for each in store.table(publisher.RECIPE).attempts(["stored"])]
    assert len(told) == len(set(told))
