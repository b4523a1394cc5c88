"""A watcher that is killed again and again, with messages that come many times in any order.

``COPAL_CHAOS=200`` puts 200 objects and kills ten times; the tests put fewer.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from copal.demo import sample_film
from tests.integration.repository import Repository, contents
from tests.integration.watcher import Queues, Watcher, make_queues, notify, record, watch

OBJECTS = int(os.environ.get("COPAL_CHAOS", "16"))
KILLS = 10 if OBJECTS >= 100 else 3
DUPLICATES = 5
PATIENCE_SECONDS = 240 + 6 * OBJECTS


@pytest.fixture
def queues(s3: dict[str, str]) -> Iterator[Queues]:
    made = make_queues("chaos", visibility=3, receives=5)
    yield made
    made.sqs.close()
    made.s3.close()


def different_films(folder: Path, count: int) -> list[Path]:
    """Films of which no two are alike."""
    folder.mkdir()
    paths = [folder / f"film {n}.mp4" for n in range(count)]
    for n, path in enumerate(paths):
        sample_film(path, (3 + n % 15, 3 + n // 15))
    return paths


def test_nothing_is_lost_and_nothing_is_done_twice(
    s3: dict[str, str], repository: Repository, queues: Queues, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """
    Objects are put while the watcher is killed at random: every asset has every feature once, only
    the poison ones are dead letters, and messages that come five times in any order change nothing.
    """
    monkeypatch.delenv("COPAL_STORE")
    bucket = s3["COPAL_STORE"].split("/")[2]
    there = Repository(repository.root, {k: v for k, v in s3.items() if k != "COPAL_STORE"})
    dice = random.Random(os.environ.get("COPAL_CHAOS_SEED", "11"))
    films = different_films(tmp_path / "films", OBJECTS)
    poison = {"in/broken.mp4": b"no film", "in/half.mp4": films[0].read_bytes()[:900],
              "in/empty.mov": b""}  # fmt: skip
    where = (f"sqs://{queues.name}", "--allow", f"s3://{bucket}/in/")
    notify(queues, bucket)

    def put(path: Path) -> None:
        queues.s3.upload_file(str(path), bucket, f"in/{path.name}")

    first, rest = films[: OBJECTS // 2], films[OBJECTS // 2 :]
    for path in first:
        put(path)
    for key, body in poison.items():
        queues.s3.put_object(Bucket=bucket, Key=key, Body=body)
    queues.shuffle(DUPLICATES, dice)

    watcher = watch(there, *where)
    killed = 0
    kill_at = time.monotonic() + dice.uniform(1, 4)
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        assert time.monotonic() < end, _state(there, queues, watcher)
        if killed < KILLS and time.monotonic() > kill_at:
            watcher.kill()
            killed += 1
            watcher = watch(there, *where)
            kill_at = time.monotonic() + dice.uniform(1, 6)
        if rest:
            put(rest.pop())
            if not rest:
                again = [record(bucket, f"in/{p.name}") for p in films[OBJECTS // 2 :]]
                queues.send(*dice.sample(again * DUPLICATES, len(again) * DUPLICATES))
            time.sleep(dice.uniform(0, 0.3))
        elif killed == KILLS and queues.count() == 0:
            break
        else:
            time.sleep(0.2)

    def is_done() -> bool:
        lake = there.lake()
        return len(lake.assets()) == OBJECTS and lake.plan().cells == 0

    while not is_done():
        assert time.monotonic() < end, _state(there, queues, watcher)
        time.sleep(0.5)
    watcher.stop()

    lake = there.lake()
    values = {feature: units for (feature, _), units in contents(lake).items()}
    pairs = OBJECTS * (OBJECTS + 1) // 2
    assert {feature: len(units) for feature, units in values.items()} == {
        "levels": OBJECTS, "cuts": OBJECTS, "spans": OBJECTS, "alike": pairs,
    }  # fmt: skip
    assert {asset.name for asset in lake.assets()} == {path.name for path in films}
    dead = queues.take(dead=True)
    assert {key for key in poison if any(key.rpartition("/")[2] in body for body in dead)} == {
        *poison
    }
    names = [key.rpartition("/")[2] for key in poison]
    assert [body for body in dead if not any(name in body for name in names)] == []
    decided = {row.locator.rpartition("/")[2]: row.decision for row in lake.arrivals(["new"])}
    assert set(decided) == {path.name for path in films}, "each has its row"


def _state(there: Repository, queues: Queues, watcher: Watcher) -> str:
    plan = there.lake().plan()
    return (
        f"{queues.count()} messages, {queues.count(dead=True)} dead, {plan.cells} cells missing, "
        f"{plan.stored} stored, {watcher.told[-3:]}, {watcher.logged[-5:]}"
    )
