"""The floor plan of the house, read from its imports."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

FLOORS: list[set[str]] = [
    {"errors", "timeline", "fingerprint", "matcher", "placement", "units"},
    {"asset", "document", "cron"},
    {"registry", "feature"},
    {"graph"},
    {"plan"},
    {"price"},
    {"objects"},  # files by locator, here or in S3, under the store and under media
    {"media", "store", "matching", "weights", "sheet", "drawing"},
    {"binding"},  # asks the media room which ffmpeg there is
    {"reading"},  # which recipes a question sees
    {"project"},
    {"run", "releases", "compare", "rows", "keeping", "metrics"},
    {"status", "releasing"},
    {"history", "why"},
    {"lineage"},
    {"flow", "arrivals"},
    {"search", "diff"},  # a contact sheet tells of the run that it follows
    {"selection"},  # takes the filters of the search room
    {"lake", "setup", "demo"},
    {"contracts"},
    {"golden"},
    {"cli"},
    {"__main__"},
]
"""From the top down: a room may import what stands on a floor above its own, nothing else."""

PURE = {
    "errors", "timeline", "fingerprint", "matcher", "units", "asset", "document",
    "registry", "feature", "graph", "plan",
    "price", "cron",
}  # fmt: skip
"""Rooms that decide: they open nothing but the registry's file."""
HOLDS_MOMENTS = {("copal/asset.py", "datetime"), ("copal/cron.py", "datetime")}
"""Where a moment is a value like any other; no clock is asked."""
PURE_LIBRARIES = {"blake3", "numpy", "pyarrow", "yaml", "networkx"}

FEATURES_SEE = {"feature", "timeline", "media", "matching", "errors", "weights"}
"""``weights`` is where a model's file lies: a feature with a model must know, and nobody else."""

HEAVY = {
    "av", "boto3", "botocore", "cv2", "lance", "lancedb", "metaflow", "networkx", "scenedetect",
    "torch", "torchvision",
}  # fmt: skip
"""Imported where they are used, so that importing a module costs nothing."""
AT_THE_TOP = {("copal/graph.py", "networkx"), ("copal/flow/mutator.py", "metaflow")}


@dataclass(frozen=True)
class Import:
    """One module that another imports."""

    path: str
    line: int
    module: str
    top: bool
    """Whether it is imported as soon as its module is."""

    def __str__(self) -> str:
        return f"{self.path}:{self.line} imports {self.module}"


def modules(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(*folders: str) -> list[Import]:
    return [each for path in modules(*folders) for each in _imports(path)]


def _imports(path: Path) -> Iterator[Import]:
    tree = ast.parse(path.read_text())
    inner = {
        id(node)
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef | ast.If)
        for node in ast.walk(outer)
    }
    for node in ast.walk(tree):
        top = id(node) not in inner
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(name_of(path), node.lineno, alias.name, top)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}:{node.lineno}: a relative import"
            for alias in node.names:
                if node.module in ("copal", "features"):
                    yield Import(name_of(path), node.lineno, f"{node.module}.{alias.name}", top)
                else:
                    yield Import(name_of(path), node.lineno, str(node.module), top)


def room_of(path: str) -> str:
    return Path(path).parts[1].removesuffix(".py")


def floor(room: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def test_every_room_has_its_floor():
    """
    A new module of the engine has a place in the plan above.
    """
    found = {room_of(name_of(path)) for path in modules("copal")} - {"__init__"}
    assert found - set.union(*FLOORS) == set()


def test_no_room_imports_what_stands_below_or_beside_it():
    """
    The engine is a house of floors: imports only go up, also those inside functions.
    """
    wrong = []
    for each in imports("copal"):
        package, _, rest = each.module.partition(".")
        if package != "copal" or each.path == "copal/__init__.py" or rest == "__version__":
            continue
        mine, its = room_of(each.path), rest.partition(".")[0]
        if its != mine and floor(its) >= floor(mine):
            wrong.append(str(each))
    assert wrong == []


def test_what_decides_opens_nothing():
    """
    Down to the plan the house is pure: no store, no media, no network, no processes.
    """
    library = set(sys.stdlib_module_names) - {
        "os", "shutil", "subprocess", "socket", "tempfile", "time", "datetime", "random", "uuid",
        "threading", "logging",
    }  # fmt: skip
    wrong = [
        str(each)
        for each in imports("copal")
        if room_of(each.path) in PURE
        and each.module.partition(".")[0] not in library | PURE_LIBRARIES | {"copal"}
        and (each.path, each.module) not in HOLDS_MOMENTS
    ]
    assert wrong == []
    asked = [call for path, _ in HOLDS_MOMENTS for _, call in calls(ROOT / path)]
    assert [call for call in asked if call.endswith((".now", ".today", ".utcnow"))] == []


def test_only_the_graph_knows_networkx():
    """
    One place imports networkx, so that one place can replace it.
    """
    users = {each.path for each in imports("copal", "features") if "networkx" in each.module}
    assert users == {"copal/graph.py"}


def test_features_see_only_what_a_feature_may():
    """
    A feature sees the shape of features, time, media, matching and errors: not the store, not the
    engine, and no other feature. What it needs arrives as an argument.
    """
    wrong = [
        str(each)
        for each in imports("features")
        if each.module.partition(".")[0] in ("copal", "features", "flows", "tests")
        and not (
            each.module.startswith("copal.") and each.module.split(".")[1] in FEATURES_SEE
        )
    ]  # fmt: skip
    assert wrong == []


def test_the_engine_never_imports_features():
    """
    In a checkout it would happen to work; for whoever installs the wheel it would not.
    """
    wrong = [
        str(each)
        for each in imports("copal")
        if each.module.partition(".")[0] in ("features", "flows", "tests", "infra")
    ]
    assert wrong == []


def test_a_feature_file_can_be_copied():
    """
    A feature is one module of under 150 lines.
    """
    long = {name_of(path): len(path.read_text().splitlines()) for path in modules("features")}
    assert {name: lines for name, lines in long.items() if lines >= 150} == {}


def test_a_module_is_one_idea():
    """
    At 400 lines there are two ideas in a module; and none is called for being useful.
    """
    found = modules("copal")
    long = {name_of(path): len(path.read_text().splitlines()) for path in found}
    assert {name: lines for name, lines in long.items() if lines >= 400} == {}
    vague = {"utils", "util", "helpers", "common", "misc"}
    assert [name_of(path) for path in found if path.stem in vague] == []


@pytest.mark.parametrize("path", modules("copal", "features"), ids=name_of)
def test_a_module_says_what_it_is(path: Path):
    """
    The first line of each module is a sentence about its noun.
    """
    said = (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n\n")[0].split("\n")[0]
    assert said.endswith((".", ":")) or not path.read_text(), f"{said!r} is no sentence"
    assert said[:1].isupper() or said[:1] == "`"


def test_heavy_libraries_are_imported_where_they_are_used():
    """
    Importing a module of ours imports no codec, no model library and no table format.
    """
    wrong = [
        str(each)
        for each in imports("copal", "features")
        if each.top
        and (library := each.module.partition(".")[0]) in HEAVY
        and (each.path, library) not in AT_THE_TOP
    ]
    assert wrong == []


def calls(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func)


def test_only_the_command_line_prints():
    """
    Library modules log; tables and lines for people are written in one room.
    """
    wrong = [
        f"{name_of(path)}:{line} calls {call}"
        for path in modules("copal", "features")
        if room_of(name_of(path)) != "cli"
        for line, call in calls(path)
        if call in ("print", "click.echo", "sys.stdout.write")
    ]
    assert [each for each in wrong if "__main__" not in each] == []
    users = {each.path for each in imports("copal", "features") if each.module == "click"}
    assert {room_of(path) for path in users} == {"cli"}


def test_logs_are_configured_only_in_the_doors():
    """
    Whoever imports Copal keeps their own logging: only the command line and a flow's task set it.
    """
    found = {
        name_of(path)
        for path in modules("copal", "features")
        for _, call in calls(path)
        if call in ("structlog.configure", "logging.basicConfig")
    }
    assert {name for name in found if not name.startswith("copal/cli/")} <= {"copal/flow/steps.py"}
