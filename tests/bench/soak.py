"""Does a store stay whole while eight processes work on it and are killed at random?

Three publish, and one each compacts, collects garbage, takes snapshots, promotes, and reads.
Every worker but the reader is killed (SIGKILL) again and again, and started anew. There are two
features, ``b`` made from ``a``; as soon as a version of both is complete it is promoted, and the
next one is published. The reader checks what it reads by arithmetic:

- released values are complete, whole, and of one version, each ``b`` made from the ``a`` it sees;
- what a snapshot names reads the same each time, and holds no ``b`` whose ``a`` it does not hold;
- nothing that it is told to read is gone.

At the end the whole store is inspected, every file read. Exit code 1 when anything was wrong.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from _common import parser, report

if TYPE_CHECKING:
    from copal.graph import Recipe
    from copal.store import LanceStore, StoredValue

UNITS = [f"{number:032x}" for number in range(32)]
AT_ONCE = 8
ROLES = ["publish", "publish", "publish", "compact", "collect", "snapshot", "promote", "read"]
GRACE_SECONDS = 30.0
"""What is younger is left alone: longer than any reader reads, as the hour is outside."""
PATIENCE = 4
"""A machine with other things to do gets so many times the seconds, until something was read."""
SEED = 20


def recipes(version: int) -> dict[str, Recipe]:
    """Both features at a version."""
    from copal.graph import Recipe
    from copal.registry import FeatureName

    a = Recipe(FeatureName("a"), version, {}, {}, {}, {})
    b = Recipe(FeatureName("b"), version, {}, {}, {}, {"a": a.id})
    return {"a": a, "b": b}


def value_of(
    feature: str, unit: str, version: int, of: str, folder: Path | None = None
) -> StoredValue:
    """The only right value of a cell; ``of`` is the digest of what it was made from."""
    import pyarrow as pa

    from copal.feature import LocalFile
    from copal.fingerprint import UnitId, fingerprint
    from copal.store.base import new_value

    count = (int(unit, 16) * 7 + version) % 40 + 1
    rows = pa.table(
        {"row": pa.array(range(count), pa.int32()), "version": pa.array([version] * count),
         "of": [of] * count}
    )  # fmt: skip
    files = {}
    if folder is not None and feature == "a":
        path = folder / f"{unit}-{version}"
        path.write_bytes(random.Random(f"{unit}{version}").randbytes(5_000 + count))
        files["data.bin"] = LocalFile(path)
    digest = fingerprint("inputs", unit=unit, of=of)
    return new_value(UnitId(unit), rows, files, inputs_digest=digest, run_id=f"{os.getpid()}")


class Worker:
    """One process at work."""

    def __init__(self, folder: Path, role: str, seed: int, grace: float) -> None:
        from copal.store.lance_store import local_store
        from copal.store.releases import Releases
        from copal.store.snapshots import Snapshots

        self.folder = folder
        self.role = role
        self.grace = timedelta(seconds=grace)
        self.dice = random.Random(seed)
        self.store: LanceStore = local_store(folder / "store")
        self.releases = Releases(self.store.folder)
        self.snapshots = Snapshots(self.store)
        self.seen: dict[str, tuple[datetime, object]] = {}
        self.log = (folder / f"{role}-{seed}.log").open("a", buffering=1)

    def note(self, kind: str, **more: object) -> None:
        """A line of what was done; lines of others who append come between, never inside."""
        self.log.write(json.dumps({"role": self.role, "kind": kind, **more}) + "\n")

    def newest(self) -> int:
        """The version that is being filled: the one after the last that was ever released."""
        return 1 + max((s.version for m in self.releases.history() for s in m.set), default=0)

    # What workers do

    def publish(self) -> None:
        from copal.store.base import Attempt

        version = self.newest()
        with tempfile.TemporaryDirectory() as name:
            some = self.dice.sample(UNITS, AT_ONCE)
            found = recipes(version)
            tables = {feature: self.store.table(recipe) for feature, recipe in found.items()}
            for feature, table in tables.items():
                missing = [unit for unit in some if unit not in table.index(some).units]
                made = tables["a"].read(missing) if feature == "b" else {}
                values = [
                    value_of(feature, unit, version,
                             made[unit].value_digest if made else "source", Path(name))
                    for unit in missing
                    if feature == "a" or unit in made
                ]  # fmt: skip
                done = table.publish(values)
                now = datetime.now(UTC)
                table.record([Attempt(unit, "stored", "soak", now) for unit in done.won])
                self.note("published", values=len(done.won), lost=len(done.lost))

    def compact(self) -> None:
        from copal.store.upkeep import tidy

        for each in tidy(self.store.folder, self.grace):
            if each.after.pieces < each.before.pieces or each.freed_bytes:
                self.note("compacted", pieces=each.before.pieces)
        time.sleep(0.5)

    def collect(self) -> None:
        from copal.registry import FeatureName
        from copal.store.garbage import closure, find_garbage, released_since, throw_away

        limit = datetime.now(UTC) - self.grace
        wanted = released_since(self.store.folder, limit)
        wanted |= {(r.feature, r.id) for r in recipes(self.newest()).values()}
        wanted |= {(f, p.recipe) for s in self.snapshots.all() for f, p in s.features.items()}
        kept = closure(self.store, wanted)
        for each in find_garbage(self.store, {FeatureName(n): kept for n in "ab"}, limit):
            if throw_away(self.store, each, limit):
                self.note("collected", what=each.kind)
        time.sleep(1)

    def snapshot(self) -> None:
        from copal.fingerprint import RecipeId

        now = self.releases.current()
        version = self.newest() if self.dice.random() < 0.5 else None
        if version is None and not now:
            return
        found = recipes(version) if version else {
            feature: self.store.find(feature, RecipeId(recipe))
            for feature, recipe in sorted(now.items())
        }  # fmt: skip
        self.snapshots.create(f"s{time.time_ns()}", found)
        self.note("snapshot")
        names = self.snapshots.names()
        for name in names[: max(0, len(names) - 6)]:
            self.snapshots.delete(name)
        time.sleep(self.dice.random())

    def promote(self) -> None:
        from copal.store.releases import Released

        version = self.newest()
        found = recipes(version)
        moves = self.releases.history()
        if all(
            len(self.store.table(recipe).index().units) == len(UNITS) for recipe in found.values()
        ):
            chosen, kind = found, "promote"
        elif moves and self.dice.random() < 0.1:
            late = datetime.now(UTC) - self.grace / 2
            young = [m for m in moves[-2:] if m.at > late]
            if not young or moves[-1].kind == "rollback" or len(moves) < 2:
                return
            chosen, kind = recipes(moves[-2].set[0].version), "rollback"
        else:
            time.sleep(0.1)
            return
        released = [Released(r.feature, r.id, r.version) for r in chosen.values()]
        if self.releases.move(released, seen=len(moves), kind=kind, by="soak"):
            self.note(kind, version=released[0].version)

    def read(self) -> None:
        now = self.releases.current()
        if now:
            self.read_release({str(feature): str(recipe) for feature, recipe in now.items()})
            self.note("read")
        names = self.snapshots.names()
        if names:
            self.read_snapshot(self.dice.choice(names))

    def read_release(self, now: dict[str, str]) -> None:
        tables = {name: self.store.table(self.store.find(name, now[name])) for name in "ab"}
        version = tables["a"].recipe.version
        self.expect(tables["b"].recipe.version == version, f"a mix of two recipes: {now}")
        found = {name: table.read(UNITS) for name, table in tables.items()}
        for name, values in found.items():
            missing = set(UNITS) - values.keys()
            self.expect(not missing, f"{name} v{version}: {len(missing)} released values missing")
        self.check(found, version)

    def check(self, found: dict[str, dict[str, StoredValue]], version: int) -> None:
        """Every value is the one right value."""
        from copal.fingerprint import file_digest

        for name, values in found.items():
            for unit, value in values.items():
                if name == "b" and unit not in found["a"]:
                    self.expect(False, f"b {unit} v{version} without its a")
                    continue
                of = found["a"][unit].value_digest if name == "b" else "source"
                right = value_of(name, unit, version, of)
                what = f"{name} {unit} v{version}"
                self.expect(value.rows.equals(right.rows), f"{what}: half a value, or another's")
                for label, file in value.files.items():
                    same = file_digest(file.path()) == value.file_digests[label]
                    self.expect(same, f"{what}: its file has other bytes")
                self.expect(bool(value.files) == (name == "a"), f"{what}: files {value.files}")

    def read_snapshot(self, name: str) -> None:
        from copal.errors import CopalError

        try:
            snapshot = self.snapshots.load(name)
            tables = {f: snapshot.table(self.store, f) for f in snapshot.features}
            found = {str(f): table.read(UNITS) for f, table in tables.items()}
            if tables:
                version = next(iter(tables.values())).recipe.version
                self.check({"a": {}} | found, version)
        except (CopalError, OSError, ValueError):
            if name in self.snapshots.names():
                raise
            return  # it was deleted meanwhile
        told = {f: sorted(v.value_digest for v in values.values()) for f, values in found.items()}
        before = self.seen.setdefault(name, (snapshot.created_at, told))
        self.expect(before == (snapshot.created_at, told), f"snapshot {name} reads otherwise now")
        self.note("read snapshot", values=sum(map(len, told.values())))

    def expect(self, holds: bool, what: str) -> None:
        if not holds:
            self.note("fault", what=what)

    def work(self, until: float) -> None:
        do: Callable[[], None] = getattr(self, self.role)
        while time.time() < until:
            try:
                do()
            except Exception:
                self.note("fault", what=traceback.format_exc()[-1500:])


def soak(folder: Path, seconds: float, grace: float, dice: random.Random) -> dict[str, object]:
    """Let them work and be killed, then look at what is left."""
    prepare(folder)
    began = time.time()
    latest = began + PATIENCE * seconds
    seeds = list(range(len(ROLES)))
    workers = [start(folder, role, n, grace, latest) for n, role in enumerate(ROLES)]
    kills = 0
    try:
        while time.time() < began + seconds or (time.time() < latest and not has_read(folder)):
            time.sleep(dice.uniform(0.2, 1.5))
            number = dice.randrange(len(ROLES) - 1)
            log = folder / f"{ROLES[number]}-{seeds[number]}.log"
            if not log.exists() or not log.stat().st_size:
                continue  # it has done nothing yet: killing those only proves that Python starts
            workers[number].kill()
            workers[number].wait()
            kills += 1
            seeds[number] += 10
            workers[number] = start(folder, ROLES[number], seeds[number], grace, latest)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    said = [json.loads(line) for log in folder.glob("*.log") for line in whole_lines(log)]
    counts = Counter(each["kind"] for each in said)
    faults = [each["what"] for each in said if each["kind"] == "fault"]
    return {
        "seconds": round(time.time() - began), "kills": kills,
        "values": sum(each["values"] for each in said if each["kind"] == "published"),
        **{kind: counts[kind] for kind in
           ("compacted", "collected", "snapshot", "promote", "rollback", "read", "read snapshot")},
        "reader_faults": len(faults), "store_faults": inspected(folder),
        "first_faults": faults[:3],
    }  # fmt: skip


def has_read(folder: Path) -> bool:
    """Whether the reader has read what the promoter promoted, and a snapshot."""
    said = "".join(log.read_text() for log in folder.glob("read-*.log"))
    return '"kind": "read"' in said and '"kind": "read snapshot"' in said


def whole_lines(log: Path) -> list[str]:
    """Lines of a log; a killed writer may have left the start of one, to which another was put."""
    found = []
    for line in log.read_text().splitlines():
        start = line.rfind('{"role"')
        if start >= 0 and line.endswith("}"):
            found.append(line[start:])
    return found


def inspected(folder: Path) -> list[str]:
    """What is wrong with the store at the end; also after all garbage was taken away."""
    from copal.store.garbage import find_garbage, throw_away
    from copal.store.health import Inspection

    worker = Worker(folder, "end", 0, 0)
    young = Inspection(worker.store, datetime.now(UTC) - timedelta(hours=1), "full")
    found = [f"{fault.place}: {fault.what}" for fault in young.faults()]
    now = datetime.now(UTC) + timedelta(seconds=1)
    kept = {name: list(worker.releases.current().values()) for name in ("a", "b")}
    for each in list(find_garbage(worker.store, kept, now)):  # type: ignore[arg-type]  # names
        throw_away(worker.store, each, now)
    clean = Inspection(worker.store, now, "full")
    return found + [f"after gc: {fault.place}: {fault.what}" for fault in clean.faults()]


def prepare(folder: Path) -> None:
    """A store with its assets."""
    from copal.asset import Asset, Title
    from copal.fingerprint import AssetId, TitleId
    from copal.store import Catalog
    from copal.store.lance_store import local_store

    store = local_store(folder / "store")
    store.introduce()
    title = TitleId("t")
    assets = [Asset(AssetId(unit), "video", title, f"{unit}.mp4") for unit in UNITS]
    Catalog(store.folder).keep(assets, [Title(title, "T")])


def start(
    folder: Path, role: str, seed: int, grace: float, until: float
) -> subprocess.Popen[bytes]:
    """A worker in a process of its own."""
    return subprocess.Popen(
        [sys.executable, __file__, "--role", role, "--folder", str(folder), "--seed", str(seed),
         "--grace", str(grace), "--until", str(until)],
        env=os.environ | {"LANCE_CPU_THREADS": "1", "LANCE_IO_THREADS": "2"},
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Soak and print; or, with a role, work."""
    options = parser(__doc__ or "")
    options.add_argument("--seconds", type=float, default=300)
    options.add_argument("--seed", type=int, default=SEED)
    options.add_argument("--grace", type=float, default=GRACE_SECONDS)
    options.add_argument("--role", choices=sorted(set(ROLES)))
    options.add_argument("--folder", type=Path)
    options.add_argument("--until", type=float)
    given = options.parse_args(arguments)
    import logging

    import structlog

    quiet = structlog.make_filtering_bound_logger(logging.CRITICAL)
    structlog.configure(wrapper_class=quiet)
    from copal.store import upkeep

    upkeep.SHORTEST = timedelta(seconds=given.grace)
    if given.role:
        Worker(given.folder, given.role, given.seed, given.grace).work(given.until)
        return 0
    with tempfile.TemporaryDirectory(prefix="copal-soak-") as name:
        found = soak(
            given.folder or Path(name), given.seconds, given.grace, random.Random(given.seed)
        )
    report(found, given.json, [[name, value] for name, value in found.items()])
    return 1 if found["reader_faults"] or found["store_faults"] else 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent.parent))
    raise SystemExit(main())
