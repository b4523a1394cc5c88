"""The built wheel in a fresh environment: init, run, change one version, run again."""

from __future__ import annotations

import json
import os
import re
import site
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from copal.demo import sample_film

ROOT = Path(__file__).parent.parent.parent
VERSION = re.search(r'^__version__ = "(.+)"', (ROOT / "copal/__init__.py").read_text(), re.M)


@dataclass(frozen=True)
class Installed:
    """An environment that has the wheel, and of the checkout nothing."""

    bin: Path
    home: Path

    def call(
        self, program: str, *arguments: str | Path, cwd: Path, code: int = 0
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment, which must end with an exit code."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("COPAL_", "AWS_", "METAFLOW_", "PYTHON", "PYTEST_"))
        }
        ran = subprocess.run(
            [str(self.bin / program), *map(str, arguments)],
            cwd=cwd,
            env=kept | {"METAFLOW_HOME": str(self.home), "METAFLOW_USER": "tests"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert ran.returncode == code, f"exit {ran.returncode}\n{ran.stdout}\n{ran.stderr}"
        return ran


def uv(*arguments: str | Path) -> None:
    """Run uv; first with nothing but its cache, then as it likes."""
    command = [sys.executable, "-m", "uv", *map(str, arguments)]
    if subprocess.run([*command, "--offline"], cwd=ROOT, capture_output=True).returncode:
        ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this checkout."""
    out = tmp_path_factory.mktemp("wheel")
    uv("build", "--wheel", "--out-dir", out, ROOT)
    (found,) = out.glob("*.whl")
    return Path(found)


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel in an environment of its own, which borrows the packages that it depends on."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    uv("pip", "install", "--python", python, "--no-deps", wheel)
    ours = sysconfig.get_paths(vars={"base": str(folder / "venv")})["purelib"]
    borrowed = [path for path in sys.path if path in {*site.getsitepackages(), *_purelibs()}]
    # a folder that a .pth file names is searched after the environment's own, and the .pth files
    # in it, an editable install's among them, are not read
    (Path(ours) / "borrowed.pth").write_text("\n".join(borrowed) + "\n")
    return Installed(python.parent, folder)


def _purelibs() -> Sequence[str]:
    return [sysconfig.get_paths()[name] for name in ("purelib", "platlib")]


def test_the_wheel_holds_the_engine_and_its_library(wheel: Path) -> None:
    """
    In the wheel: the package with its types, templates and library; no tests, flows or caches.
    """
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert VERSION is not None
    assert wheel.name.startswith(f"copal-{VERSION[1]}-")
    tops = {name.split("/")[0] for name in names}
    assert tops == {"copal", f"copal-{VERSION[1]}.dist-info"}
    assert {
        "copal/py.typed",
        "copal/library/registry.yaml",
        "copal/library/features/shots.py",
        "copal/templates/sheet.html.j2",
    } <= names
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]


def test_nothing_of_the_checkout_is_reachable(installed: Installed, tmp_path: Path) -> None:
    """
    In the fresh environment 'copal' is the wheel's, and 'features' cannot be imported.
    """
    said = installed.call("python", "-c", "import copal; print(copal.__file__)", cwd=tmp_path)
    assert Path(said.stdout.strip()).is_relative_to(installed.bin.parent)
    failed = installed.call("python", "-c", "import features", cwd=tmp_path, code=1)
    assert "ModuleNotFoundError: No module named 'features'" in failed.stderr
    assert VERSION is not None
    version = installed.call("copal", "--version", cwd=tmp_path).stdout
    assert version == f"copal, version {VERSION[1]}\n"


def outcome(ran: subprocess.CompletedProcess[str]) -> tuple[dict[str, dict[str, int]], int]:
    """Feature → outcome → cells, and how many tasks there were."""
    report = json.loads(ran.stdout)
    return {name: counts for name, counts in report["outcomes"].items() if counts}, report["tasks"]


def test_init_run_change_one_version_run_again(installed: Installed, tmp_path: Path) -> None:
    """
    A new repository keeps its contracts, computes a film as a Metaflow run, computes nothing the
    second time, and after one version went up computes that feature alone.
    """
    films = tmp_path / "films"
    made = installed.call("copal", "init", films, cwd=tmp_path).stdout
    assert f"wrote {films / 'registry.yaml'}" in made
    assert installed.call("copal", "check", cwd=films).stdout.endswith("2 features, in order.\n")
    tested = installed.call("python", "-m", "pytest", "-q", "tests", cwd=films)
    assert "2 passed" in tested.stdout

    sample_film(tmp_path / "first.mp4", (12, 10))
    installed.call("copal", "add", tmp_path / "first.mp4", "--title", "First", cwd=films)
    run = ("run", "--json", "--max-workers", "2")
    computed, tasks = outcome(installed.call("copal", *run, cwd=films))
    assert computed == {"standard_encode": {"stored": 1}, "shots": {"stored": 1}}
    assert tasks == 5
    assert outcome(installed.call("copal", *run, cwd=films)) == ({}, 0)

    registry = films / "registry.yaml"
    head, mark, rest = registry.read_text().partition("  shots:\n")
    old = re.search(r"version: (\d+)", rest)
    assert mark
    assert old is not None
    registry.write_text(head + mark + rest.replace(old[0], f"version: {int(old[1]) + 1}", 1))
    planned = installed.call("copal", "plan", cwd=films).stdout
    assert f"version {old[1]} → {int(old[1]) + 1}" in planned
    assert "1 cell to compute, 1 already stored." in planned
    assert outcome(installed.call("copal", *run, cwd=films))[0] == {"shots": {"stored": 1}}
    shown = installed.call("copal", "show", "shots", "--title", "First", "--json", cwd=films)
    rows = [json.loads(line) for line in shown.stdout.splitlines()]
    assert [(row["start_frame"], row["end_frame"]) for row in rows] == [(0, 12), (12, 22)]


def test_init_all_has_every_feature_of_the_library(installed: Installed, tmp_path: Path) -> None:
    """
    'init --all' writes every feature that this project declares, and they import.
    """
    declared = re.findall(r"^  (\w+):$", (ROOT / "registry.yaml").read_text(), re.M)
    folder = tmp_path / "everything"
    installed.call("copal", "init", "--all", folder, cwd=tmp_path)
    checked = installed.call("copal", "check", "--json", cwd=folder).stdout
    assert {json.loads(line)["feature"] for line in checked.splitlines()} == set(declared)
    assert len(declared) >= 10
    flow = (folder / "flows" / "feature_flow.py").read_text()
    assert all(f"def {name}(self):" in flow for name in declared)
