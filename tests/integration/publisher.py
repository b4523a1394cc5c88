"""A program that publishes values with files, a few at a time, and says so line by line.

``python publisher.py STORE RUN_ID KEYS AT_A_TIME SEED`` offers the same keys with the same rows
whoever runs it, in an order of its own (its seed's); it begins when it is told to on stdin.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from pathlib import Path

import pyarrow as pa

from copal.feature import LocalFile
from copal.fingerprint import UnitId, fingerprint
from copal.graph import Recipe
from copal.registry import FeatureName
from copal.store import LanceStore, StoredValue, open_folder
from copal.store.base import Attempt, new_value

RECIPE = Recipe(FeatureName("published"), 1, {}, {}, {}, {})


def value(number: int, run_id: str, folder: Path) -> StoredValue:
    """The value of a key: some rows, none for every seventh, and a file that two keys share."""
    path = folder / f"{number // 2}.bin"
    path.write_bytes(random.Random(number // 2).randbytes(20_000))
    rows = pa.table(
        {
            "index": pa.array(range(0 if number % 7 == 0 else number % 11), pa.int32()),
            "vector": pa.array(
                [[float(number), float(i)] for i in range(0 if number % 7 == 0 else number % 11)],
                pa.list_(pa.float32(), 2),
            ),
        }
    )
    return new_value(
        UnitId(f"unit{number:04d}"), rows, {"data.bin": LocalFile(path)} if number % 7 else {},
        inputs_digest=fingerprint("inputs", number=number), run_id=run_id,
    )  # fmt: skip


def main(location: str, run_id: str, keys: int, at_a_time: int, seed: int) -> None:
    """Publish all keys; print which were won and lost, each time when it is done."""
    table = LanceStore(open_folder(location, Path.cwd())).table(RECIPE)
    numbers = list(range(keys))
    random.Random(seed).shuffle(numbers)
    print("ready", flush=True)
    sys.stdin.readline()
    with tempfile.TemporaryDirectory() as folder:
        for start in range(0, keys, at_a_time):
            values = [value(n, run_id, Path(folder)) for n in numbers[start : start + at_a_time]]
            print(json.dumps({"offered": [v.unit for v in values]}), flush=True)
            done = table.publish(values)
            table.record(
                [Attempt(unit, "stored", run_id, v.published_at)
                 for v in values if (unit := v.unit) in done.won]
            )  # fmt: skip
            print(json.dumps({"won": sorted(done.won), "lost": sorted(done.lost)}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
