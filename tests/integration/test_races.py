"""Writers who meet: each key is won by exactly one, and each cell has one value."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from copal.store import LanceStore, open_folder
from copal.store.lance_store import local_store
from copal.store.tables import Table
from tests.integration import publisher
from tests.integration.repository import (
    Contents,
    contents,
    finished,
    make_repository,
    until,
    values_of,
)

KEYS = 150
TABLES = 40
ROWS = pa.schema([("writer", pa.string())])


def race(location: str | Path, at_a_time: int) -> list[dict[str, set[str]]]:
    """Two processes publish the same keys, each in its own order; what each was told it won."""
    racers = [
        subprocess.Popen(
            [
                sys.executable, publisher.__file__, str(location),
                run_id, str(KEYS), str(at_a_time), str(seed),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed, run_id in enumerate(("one", "other"))
    ]  # fmt: skip
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    told = []
    for racer in racers:
        said, _ = racer.communicate(timeout=240)
        assert racer.returncode == 0
        lines = [json.loads(line) for line in said.splitlines()]
        told.append(
            {
                outcome: {unit for line in lines for unit in line.get(outcome, ())}
                for outcome in ("won", "lost")
            }
        )
    return told


def check_race(store: LanceStore, told: list[dict[str, set[str]]]) -> None:
    """Every key has one row, it is its winner's, and winner and loser agree on who won."""
    everything = {f"unit{n:04d}" for n in range(KEYS)}
    one, other = told
    assert one["won"] | other["won"] == everything
    assert one["won"] & other["won"] == set()
    assert (one["lost"], other["lost"]) == (other["won"], one["won"])
    assert values_of(store, publisher.RECIPE).keys() == everything
    values = store.table(publisher.RECIPE).read(sorted(everything))
    for run_id, outcome in zip(("one", "other"), told, strict=True):
        assert {unit for unit, value in values.items() if value.run_id == run_id} == outcome["won"]


def append_to_new_tables(folder: str, name: str, barrier: Any) -> None:
    """Make a table and append to it, again and again, at the same time as everybody else."""
    for number in range(TABLES):
        table = Table(f"{folder}/table{number}.lance", ROWS)
        barrier.wait(60)
        table.append(pa.table({"writer": [name]}, schema=ROWS))


def test_writers_who_make_a_table_at_once_lose_no_row(tmp_path: Path) -> None:
    """
    Four processes each make a table that is not there and append to it: it has all four rows.
    """
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(4)
    writers = [
        context.Process(target=append_to_new_tables, args=(str(tmp_path), f"{n}", barrier))
        for n in range(4)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
    assert [writer.exitcode for writer in writers] == [0] * 4
    for number in range(TABLES):
        rows = Table(f"{tmp_path}/table{number}.lance", ROWS).read()
        assert sorted(rows["writer"].to_pylist()) == ["0", "1", "2", "3"]


def test_of_two_publishers_exactly_one_wins_each_key(tmp_path: Path) -> None:
    """
    Two processes offer the same 150 keys, ten at a time in orders of their own: both win some, no
    key is won twice or by nobody, and what is read is what the winner published.
    """
    told = race(tmp_path / "store", at_a_time=10)
    check_race(local_store(tmp_path / "store"), told)
    assert all(each["won"] for each in told)


def test_of_two_publishers_of_all_keys_at_once_one_wins_all(tmp_path: Path) -> None:
    """
    A publication is atomic: 150 keys offered in one go by two processes go to one of them.
    """
    told = race(tmp_path / "store", at_a_time=KEYS)
    check_race(local_store(tmp_path / "store"), told)
    assert sorted(len(each["won"]) for each in told) == [0, KEYS]


def test_of_two_publishers_in_s3_exactly_one_wins_each_key(s3: dict[str, str]) -> None:
    """
    The same over S3, where nothing but conditional puts keeps writers apart.
    """
    told = race(s3["COPAL_STORE"], at_a_time=30)
    check_race(LanceStore(open_folder(s3["COPAL_STORE"], Path.cwd())), told)


@pytest.mark.parametrize("engines", [("inline", "inline"), ("metaflow", "inline")])
def test_two_runs_started_together_store_one_value_per_cell(
    tmp_path: Path,
    own_imports: None,
    films: Path,
    undisturbed: Callable[..., Contents],
    engines: tuple[str, str],
) -> None:
    """
    Of two runs with one plan the second leaves every cell to the first, says so and ends well.
    """
    repository = make_repository(tmp_path / "short", ("levels", "cuts"))
    repository.add(films)
    sign = repository.hold("levels")
    first, second = (["run", "--engine", engine, "--max-workers", "1", "--json"]
                     for engine in engines)  # fmt: skip
    held = repository.start(*first)
    until(lambda: len(repository.waiting("levels")) == 1, "the first run at work", held)
    (left,) = finished(repository.start(*second)).objects
    assert (left["run_id"], sum(left["elsewhere"].values())) == ("", 8)
    sign.unlink()
    (report,) = finished(held).objects
    assert list(left["elsewhere"]) == [report["run_id"]]
    assert report["outcomes"]["levels"] == {"stored": 4}
    assert contents(repository.lake()) == undisturbed("levels", "cuts")
