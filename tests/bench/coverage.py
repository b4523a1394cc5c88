"""How long do status, plan and why take on a whole catalogue, and what does a value cost the store?

Synthetic: ten features of one asset each, in the shape of the real ones, at three sizes of
catalogue, written through the real publishing (commits of 5,000 values, where a run makes them of
64: ``publish_per_second`` is of the former, ``publish_64_per_second`` of the latter into the
finished table). 97 % of the values are there and 1 % of the cells failed. Every figure is of a
``copal`` command from its start to its end: ``status`` on a store where nobody asked before
(``status_first_seconds``), after one publication (``status_cold_seconds``), and once more
(``status_seconds``). ``--s3`` does it in a moto server's S3, and counts the requests.
"""

from __future__ import annotations

import logging
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from _common import COPAL, parser, report

if TYPE_CHECKING:
    from copal.project import Project

NEEDS = {
    "f0": "of: video", "f1": "needs: {a: f0}", "f2": "needs: {a: f0, b: f1}",
    "f3": "needs: {a: f0, b: f1}", "f4": "needs: {a: f1, b: f3}", "f5": "needs: {a: f0, b: f1}",
    "f6": "needs: {a: f4}", "f7": "needs: {a: f5, b: f4}", "f8": "needs: {a: f1}",
    "f9": "needs: {a: f8, b: f2}",
}  # fmt: skip
CLASS = """
@dataclass(frozen=True)
class {name}:
    columns = pa.schema([("start_frame", pa.int32()), ("end_frame", pa.int32()),
                         ("score", pa.float32())])
    tools = ()

    def compute(self, {arguments}):
        raise NotImplementedError
"""
AT_ONCE = 5_000
ROWS = 12
FAILED, MISSING = 0.01, 0.02


def make_project(folder: Path) -> None:
    """A registry of ten features whose classes only have a shape."""
    registry = ["project: bench", "features:"]
    classes = ["from dataclasses import dataclass\nimport pyarrow as pa\n"]
    for name, start in NEEDS.items():
        registry += [
            f"  {name}:", f"    summary: Feature {name}.", "    version: 1",
            f"    compute: shapes:{name.upper()}", f"    {start}",
        ]  # fmt: skip
        arguments = "source" if "of" in start else "a, b" if "b:" in start else "a"
        classes.append(CLASS.format(name=name.upper(), arguments=arguments))
    (folder / "registry.yaml").write_text("\n".join(registry) + "\n")
    (folder / "shapes.py").write_text("\n".join(classes))


def fill(folder: Path, assets: int, store: str | None) -> dict[str, float]:
    """The catalogue and all values, through the engine's own doors; what publishing took."""
    from copal.asset import Asset, Title
    from copal.fingerprint import AssetId, TitleId, fingerprint
    from copal.project import Project

    dice = random.Random(7)
    project = Project(folder, store)
    ids = sorted(AssetId(fingerprint("asset", n=n)) for n in range(assets))
    titles = [TitleId(f"title-{n}") for n in range(max(1, assets // 10))]
    project.catalog.keep(
        [Asset(each, "video", titles[n % len(titles)], f"{n}.mp4", None, 2400.0)
         for n, each in enumerate(ids)],
        [Title(each, str(each)) for each in titles],
    )  # fmt: skip
    project.store.introduce()
    published, seconds = 0, 0.0
    small = 0.0
    for recipe in project.recipes().values():
        table = project.store.table(recipe)
        fates = {each: dice.random() for each in ids}
        stored = [each for each in ids if fates[each] >= FAILED + MISSING]
        failed = [each for each in ids if fates[each] < FAILED]
        last = min(640, len(stored) // 4)
        for start in range(0, len(stored) - last, AT_ONCE):
            some = stored[start : min(start + AT_ONCE, len(stored) - last)]
            started = time.perf_counter()
            publish(table, some, dice)
            seconds += time.perf_counter() - started
            published += len(some)
        started = time.perf_counter()
        for start in range(len(stored) - last, len(stored), 64):
            publish(table, stored[start : start + 64], dice)
        small += time.perf_counter() - started
        table.record([attempt(each, failed=True) for each in failed])
    each = min(640, int(assets * 0.9) // 4)
    return {
        "publish_per_second": round(published / seconds),
        "publish_64_per_second": round(each * len(NEEDS) / small),
    }


def publish(table: object, units: list[str], dice: random.Random) -> None:
    """Values of twelve rows each, with their attempts, as a chunk of a run does it."""
    import numpy as np
    import pyarrow as pa

    from copal.fingerprint import fingerprint
    from copal.store.base import new_value

    values = []
    for unit in units:
        cuts = np.sort(np.array(dice.sample(range(60_000), ROWS + 1), np.int32))
        rows = pa.table(
            {"start_frame": cuts[:-1], "end_frame": cuts[1:],
             "score": np.linspace(0, dice.random(), ROWS, dtype=np.float32)}
        )  # fmt: skip
        digest = fingerprint("inputs", unit=unit)
        values.append(new_value(unit, rows, {}, inputs_digest=digest, run_id="bench"))
    table.publish(values)
    table.record([attempt(unit) for unit in units])


def attempt(unit: str, *, failed: bool = False) -> object:
    from copal.store.base import Attempt

    return Attempt(
        unit, "failed" if failed else "stored", "bench", datetime.now(UTC), seconds=40.0,
        cpu_seconds=70.0, media_seconds=2400.0, machine="bench",
        error="features.bench: a picture could not be read" if failed else "",
        error_class="UnreadableMedia" if failed else "",
    )  # fmt: skip


def command(folder: Path, *arguments: str) -> tuple[float, float, float]:
    """Seconds, processor seconds and GiB of a ``copal`` command, from its start to its end."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [*COPAL, *arguments], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    if os.waitstatus_to_exitcode(status) not in (0, 1):
        raise SystemExit(f"copal {' '.join(arguments)}: {process.stderr.read().decode()}")
    return seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 2**20


def publish_one(project: Project) -> None:
    """A value more, of the last feature, so that one of the tables has moved."""
    *_, recipe = project.recipes().values()
    table = project.store.table(recipe)
    held = table.index().units
    ids = project.catalog.table("assets").read(["asset_id"])["asset_id"].to_pylist()
    publish(table, [next(each for each in ids if each not in held)], random.Random(11))


def measure(folder: Path) -> dict[str, float]:
    """What the verbs take on a store that was just written."""
    from copal.project import Project

    found: dict[str, float] = {}
    project = Project(folder)
    one = project.catalog.table("assets").read(["asset_id"])["asset_id"][77].as_py()
    for name, words in {
        "status_first": ["status", "--json"],
        "status_cold": ["status", "--json"],
        "status": ["status", "--json"],
        "plan": ["plan", "--json"],
        "why": ["why", one, "f7"],
    }.items():
        if name == "status_cold":
            publish_one(project)
        before = REQUESTS.count
        seconds, cpu, gib = command(folder, *words)
        found[f"{name}_seconds"] = round(seconds, 2)
        found[f"{name}_cpu_seconds"] = round(cpu, 2)
        if "COPAL_STORE" in os.environ:
            found[f"{name}_requests"] = REQUESTS.count - before
        if name in ("status", "plan", "why"):
            found[f"{name}_gib"] = round(gib, 2)
    found["gib"] = max(found.pop(f"{name}_gib") for name in ("status", "plan", "why"))
    return found


class Counted(logging.Handler):
    """How many requests the server was sent."""

    count = 0

    def emit(self, record: logging.LogRecord) -> None:
        """One line of the server's log is one request."""
        self.count += 1


REQUESTS = Counted()


@contextmanager
def moto() -> Iterator[str]:
    """A store in a server that speaks S3; commands find it through the environment."""
    from moto.server import ThreadedMotoServer

    log = logging.getLogger("werkzeug")
    log.setLevel(logging.INFO)
    log.addHandler(REQUESTS)
    log.propagate = False
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    os.environ.update(
        AWS_ENDPOINT_URL=f"http://{host}:{port}", AWS_ACCESS_KEY_ID="testing",
        AWS_SECRET_ACCESS_KEY="testing", AWS_DEFAULT_REGION="us-east-1",
    )  # fmt: skip
    from copal.objects.s3 import s3_client

    s3_client().create_bucket(Bucket="bench")
    yield "s3://bench/lake"
    server.stop()


def at_size(folder: Path, assets: int, store: str | None) -> dict[str, object]:
    """All figures of one size."""
    from copal.project import Project

    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "registry.yaml").exists():
        make_project(folder)
        figures: dict[str, object] = dict(fill(folder, assets, store))
    else:
        figures = {}
    root = Project(folder, store).folder
    values = assets * len(NEEDS) * (1 - FAILED - MISSING)
    size = sum(each.bytes for each in root.objects("features"))
    data = sum(each.bytes for each in root.objects("features") if "/data/" in each.name)
    figures |= {
        "assets": assets, "where": "s3" if store else "disk",
        "bytes_per_value": round(data / values), "bytes_with_versions": round(size / values),
        **measure(folder),
    }  # fmt: skip
    return figures


def main() -> None:
    """Measure and print."""
    options = parser(__doc__ or "")
    options.add_argument("--sizes", default="1000,10000,100000")
    options.add_argument("--s3", action="store_true", help="in a moto server's S3")
    options.add_argument("--keep", type=Path, help="folder for the stores; used again when there")
    given = options.parse_args()
    sizes = [int(each) for each in given.sizes.split(",")]
    found = []
    with tempfile.TemporaryDirectory() as temporary, moto() if given.s3 else nullcontext() as root:
        for assets in sizes:
            folder = (given.keep or Path(temporary)) / str(assets)
            store = f"{root}-{assets}" if root else None
            if store:
                os.environ["COPAL_STORE"] = store
            found.append(at_size(folder, assets, store))
            if not given.keep:
                shutil.rmtree(folder)
    names = [
        "assets", "status_first_seconds", "status_cold_seconds", "status_seconds", "plan_seconds",
        "why_seconds", "gib",
        "publish_per_second", "publish_64_per_second", "bytes_per_value", "bytes_with_versions",
    ]  # fmt: skip
    table = [names, *([row.get(name, "") for name in names] for row in found)]
    report({"features": len(NEEDS), "sizes": found}, given.json, table)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent.parent))
    main()
