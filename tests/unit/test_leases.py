"""Leases and claims: no cell is claimed twice, and nobody waits for the dead."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from copal.errors import RequestError
from copal.store import leases
from copal.store.folder import LocalFolder
from copal.store.leases import Lease, beat_of, claim, keep_only, live_runs, put_beat
from copal.store.runs import begin_run, end_run, find_run, run_of, runs_of

CELLS = [("shots", "recipe", f"unit{n}") for n in range(40)]


@pytest.fixture
def folder(tmp_path: Path) -> LocalFolder:
    return LocalFolder(tmp_path)


def test_a_claimed_cell_is_left_to_its_run(folder):
    """
    The second of two runs gets what the first has not claimed, and is told who has the rest.
    """
    with Lease(folder, "one") as one, Lease(folder, "two") as two:
        assert claim(folder, one.run_id, CELLS[:10]) == {}
        assert claim(folder, two.run_id, CELLS[5:15]) == {"one": [0, 1, 2, 3, 4]}
        with Lease(folder, "three") as three:
            assert claim(folder, three.run_id, CELLS) == {
                "one": list(range(10)),
                "two": list(range(10, 15)),
            }
        keep_only(folder, "one", CELLS[:2])
        with Lease(folder, "four") as four:
            assert claim(folder, four.run_id, CELLS[:5]) == {"one": [0, 1]}
    with Lease(folder, "five") as five:
        assert claim(folder, five.run_id, CELLS) == {}
    assert folder.names("leases") == []


def test_runs_that_claim_at_once_share_the_cells(folder):
    """
    Eight runs claim all cells at the same time, twenty times over: each cell has one run.
    """
    for _ in range(20):
        held = [Lease(folder, f"run{n}") for n in range(8)]
        taken: dict[str, dict[str, list[int]]] = {}
        ready = threading.Barrier(len(held))

        def go(lease: Lease, ready: threading.Barrier = ready, taken: dict = taken) -> None:
            ready.wait()
            taken[lease.run_id] = claim(folder, lease.run_id, CELLS)

        for lease in held:
            lease.__enter__()
        threads = [threading.Thread(target=go, args=(lease,)) for lease in held]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        mine = [
            place
            for run in taken
            for place in set(range(len(CELLS))) - {p for ps in taken[run].values() for p in ps}
        ]
        for lease in held:
            lease.__exit__()
        assert sorted(mine) == list(range(len(CELLS)))


def test_the_claims_of_a_run_that_is_not_heard_of_are_free(folder, monkeypatch):
    """
    A beat older than its lease, of a machine that is not this one, frees what its run had.
    """
    put_beat(folder, "gone", good_for=5)
    claim(folder, "gone", CELLS)
    said = json.loads(folder.get("leases/gone/beat.json"))
    with Lease(folder, "other") as other:
        assert claim(folder, other.run_id, CELLS[:1]) == {"gone": [0]}
    said["at"] = (datetime.now(UTC) - timedelta(seconds=6)).isoformat()
    folder.put("leases/gone/beat.json", json.dumps(said).encode())
    assert live_runs(folder) == []
    with Lease(folder, "other") as other:
        assert claim(folder, other.run_id, CELLS) == {}
        assert folder.names("leases") == ["other"]


def test_a_dead_process_of_this_machine_holds_nothing(folder, tmp_path):
    """
    Its lease is void at once, long before it would expire.
    """
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from copal.store.folder import LocalFolder\n"
        "from copal.store.leases import Lease, claim\n"
        "lease = Lease(LocalFolder(Path(sys.argv[1])), 'killed').__enter__()\n"
        "claim(lease.folder, 'killed', [('shots', 'recipe', 'unit1')])\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    beat = beat_of(folder, "killed")
    assert beat is not None and beat.good_for_seconds == leases.LEASE_SECONDS
    assert not beat.alive
    with Lease(folder, "next") as lease:
        assert claim(folder, lease.run_id, CELLS) == {}


def test_a_lease_is_kept_up_while_it_is_held(folder, monkeypatch):
    """
    A run that takes longer than a lease beats on, and tells how far it is.
    """
    monkeypatch.setenv("COPAL_LEASE_SECONDS", "0.3")
    with Lease(folder, "long") as lease:
        lease.progress.hear({"event": "cell.stored", "feature": "shots"})
        lease.progress.hear({"event": "cell.started", "feature": "shots"})
        time.sleep(0.8)
        assert live_runs(folder) == ["long"]
        beat = beat_of(folder, "long")
        assert beat is not None and beat.progress == {"shots": {"stored": 1}}


def test_somebody_who_never_settles_is_not_waited_for_long(folder, monkeypatch):
    """
    A run that announced and then hangs keeps what it announced; one who meets it goes on.
    """
    monkeypatch.setattr(leases, "PATIENCE_SECONDS", 0.2)
    put_beat(folder, "z")
    leases._put_claims(folder, "z", leases._marks(CELLS[:3]), settled=False)
    started = time.monotonic()
    with Lease(folder, "a") as lease:
        assert claim(folder, lease.run_id, CELLS) == {"z": [0, 1, 2]}
    assert 0.2 <= time.monotonic() - started < 5


def test_claiming_costs_little(folder):
    """
    A thousand cells beside two runs that have a thousand each are claimed in a fraction of 0.1 s.
    """
    cells = [("shots", "recipe", f"{n:064d}") for n in range(3000)]
    with Lease(folder, "a") as a, Lease(folder, "b") as b, Lease(folder, "c") as c:
        claim(folder, a.run_id, cells[:1000])
        claim(folder, b.run_id, cells[1000:2000])
        seconds = []
        for _ in range(5):
            started = time.process_time()
            claim(folder, c.run_id, cells[2000:])
            seconds.append(time.process_time() - started)
    assert min(seconds) < 0.1


# Runs


def test_a_run_is_remembered_from_its_start_to_its_end(folder):
    """
    Running while it beats, dead when it does not, and as it ended when it said so.
    """
    with Lease(folder, "r1") as lease:
        run = begin_run(folder, "r1", "run", "inline", {"shots": 3})
        lease.progress.add("shots", {"stored": 1})
        put_beat(folder, "r1", lease.progress)
        now = run_of(folder, "r1")
        assert (now.state, now.planned, now.done, now.pid) == ("running", 3, 1, os.getpid())
    assert run_of(folder, "r1").state == "dead"
    end_run(folder, run, "done", {"shots": {"stored": 2, "failed": 1}})
    ended = run_of(folder, "r1")
    assert (ended.state, ended.count("stored"), ended.count("failed")) == ("done", 2, 1)
    assert ended.seconds >= 0


def test_runs_are_found_by_part_of_their_id(folder):
    """
    By its start, its end, or as the last; more than one, or none, is an error that says so.
    """
    for run_id in ("20260101T000000-aaaaaa", "20260101T000001-bbbbbb"):
        end_run(folder, begin_run(folder, run_id, "run", "inline", {}), "done", {})
    assert find_run(folder, "bbbb").id == find_run(folder, "last").id == "20260101T000001-bbbbbb"
    assert [each.id[-1] for each in runs_of(folder, 5)] == ["b", "a"]
    assert len(list(runs_of(folder, 1))) == 1
    with pytest.raises(RequestError, match="means 2 runs"):
        find_run(folder, "2026")
    with pytest.raises(RequestError, match="no run 'x' in this store"):
        find_run(folder, "x")
