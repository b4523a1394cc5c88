"""A small feature repository on disk, the ``copal`` command on it, and all that a store holds.

The repository is ``tests/integration/small_repository``: real media in, a file, rows and pairs
out, in milliseconds.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import copal
from copal.fingerprint import file_digest, fingerprint, rows_digest
from copal.lake import Lake
from copal.store import LanceStore

HERE = Path(__file__).parent
PATIENCE_SECONDS = 240


@dataclass(frozen=True)
class Ran:
    """How a command went."""

    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        """What ``--json`` printed."""
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass(frozen=True)
class Repository:
    """A feature repository and a store of its own."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    home: Path | None = None
    """What commands take for the user's folder; one inside ``root`` when not given."""

    @property
    def signs(self) -> Path:
        """Folder through which features of the small repository are held or made to fail."""
        return self.root / "signs"

    def variables(self) -> dict[str, str]:
        """The environment of a command: nobody's settings but ours."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("COPAL_", "AWS_", "METAFLOW_"))
        }
        home = self.home or self.root / ".home"
        home.mkdir(exist_ok=True)
        return kept | {
            "METAFLOW_HOME": str(home),
            "METAFLOW_USER": "tests",
            "QUICK_SIGNS": str(self.signs),
            "TMPDIR": str(home),
            **self.environment,
        }

    def start(self, *arguments: str | Path, before: str = "") -> subprocess.Popen[str]:
        """``copal ARGUMENTS`` in a process group of its own; ``before`` is Python to run first."""
        command = [sys.executable, "-m", "copal", *map(str, arguments)]
        if before:
            replaced = f"{before}\nimport os, sys\nos.execv(sys.argv[1], sys.argv[1:])"
            command = [sys.executable, "-c", replaced, *command]
        return subprocess.Popen(
            command,
            cwd=self.root,
            env=self.variables(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def copal(self, *arguments: str | Path, code: int | None = 0) -> Ran:
        """``copal ARGUMENTS``, which must end with an exit code (any for None)."""
        return finished(self.start(*arguments), code)

    def add(self, *paths: Path) -> dict[str, str]:
        """File name → decision."""
        said = self.copal("add", *paths, "--json", code=None).objects
        return {each["locator"].rpartition("/")[2]: each["decision"] for each in said}

    def plan(self, *arguments: str) -> dict[str, tuple[int, dict[str, int]]]:
        """Feature → cells to compute, and how many for which reason."""
        said = self.copal("plan", *arguments, "--json").objects
        parts = [each for each in said if "feature" in each]
        return {each["feature"]: (each["compute"], each["reasons"]) for each in parts}

    def run(self, *arguments: str, engine: str = "inline", code: int = 0) -> dict[str, Any]:
        """The report of ``copal run``."""
        (report,) = self.copal("run", *arguments, "--engine", engine, "--json", code=code).objects
        return dict(report)

    def lake(self) -> Lake:
        """The lake, opened in this process; features are imported anew."""
        for name in [n for n in sys.modules if n.partition(".")[0] == "quick"]:
            del sys.modules[name]
        return copal.open(self.root, store=self.environment.get("COPAL_STORE"))

    def edit(self, before: str, after: str, name: str = "registry.yaml") -> None:
        """Replace the one place where a text stands in a file."""
        text = (self.root / name).read_text()
        assert text.count(before) == 1, f"{before!r} stands {text.count(before)} times in {name}"
        (self.root / name).write_text(text.replace(before, after))

    def raise_version(self, feature: str) -> None:
        """Version 1 of a feature becomes version 2."""
        text = (self.root / "registry.yaml").read_text()
        head, mark, rest = text.partition(f"  {feature}:\n")
        assert mark
        assert "version: 1" in rest
        (self.root / "registry.yaml").write_text(
            head + mark + rest.replace("version: 1", "version: 2", 1)
        )

    def hold(self, feature: str) -> Path:
        """From now on the feature waits where it begins; returns the sign, to be removed."""
        sign = self.signs / f"{feature}.hold"
        sign.touch()
        return sign

    def waiting(self, feature: str) -> list[int]:
        """Processes that have waited at the feature."""
        return [int(p.name.split(".")[1]) for p in self.signs.glob(f"{feature}.*.waits")]


def make_repository(
    folder: Path, features: tuple[str, ...] = (), environment: dict[str, str] | None = None
) -> Repository:
    """A copy of the small repository, with its flow, and with only some features when named."""
    from copal.flow.generate import write_flow
    from copal.setup import excerpt

    shutil.copytree(HERE / "small_repository", folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "signs").mkdir()
    path = folder / "registry.yaml"
    if features:
        path.write_text(excerpt(path.read_text(), features))
    write_flow(copal.open(folder).project.graph, folder)
    return Repository(folder, environment or {})


def finished(process: subprocess.Popen[str], code: int | None = 0) -> Ran:
    """Wait for a command to end."""
    try:
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert code is None or process.returncode == code, f"exit {process.returncode}\n{out}\n{err}"
    return Ran(process.returncode, out, err)


def until(sign: Callable[[], Any], what: str, *processes: subprocess.Popen[str]) -> Any:
    """Wait for a sign of progress, and return it; fails when a process ends before."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        if found := sign():
            return found
        for process in processes:
            if process.poll() is not None:
                raise AssertionError(f"{what}: not before the end: {finished(process, None)}")
        time.sleep(0.02)
    raise AssertionError(f"{what}: not within {PATIENCE_SECONDS} s")


def is_alive(pid: int) -> bool:
    """Whether a process is there and is no zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


Contents = dict[tuple[str, str], dict[str, dict[str, Any]]]


def contents(lake: Lake) -> Contents:
    """All values of a store by feature and recipe, then by unit, but for runs and times.

    Fails when a unit has two rows, and when a value's rows or files are not those it was
    published with.
    """
    store = lake.project.store
    found: Contents = {}
    for feature in lake.project.registry.features:
        for recipe in store.recipes(feature):
            if values := values_of(store, recipe):
                found[feature, recipe.id] = values
    return found


def values_of(store: LanceStore, recipe: Any) -> dict[str, dict[str, Any]]:
    """Values of one recipe by unit."""
    import lance

    table = store.table(recipe)
    units = sorted(table.index().units)
    if units:
        options = store.folder.storage_options
        rows = lance.dataset(table.values_uri(), storage_options=options).count_rows()
        assert rows == len(units), f"{recipe.feature}: {rows} rows for {len(units)} units"
    found = {}
    for unit, value in table.read(units).items():
        digests = {name: file_digest(file.path()) for name, file in value.files.items()}
        assert digests == value.file_digests, f"{recipe.feature} {unit}: files are not as published"
        again = fingerprint("value", rows=rows_digest(value.rows), files=digests)
        assert again == value.value_digest, f"{recipe.feature} {unit}: rows are not as published"
        found[unit] = {
            "state": value.state,
            "inputs_digest": value.inputs_digest,
            "value_digest": value.value_digest,
            "carried_from": value.carried_from,
            "rows": value.rows.to_pylist(),
            "files": digests,
        }
    return found
