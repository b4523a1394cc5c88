"""A new feature repository: a registry, features to start from, a contract test, a flow."""

from __future__ import annotations

import re
from pathlib import Path

from copal.errors import RequestError
from copal.flow.generate import FLOW_FILE, write_flow
from copal.project import REGISTRY_FILE, Project

FIRST_FEATURES = ("standard_encode", "shots")
"""What a new repository starts with: one feature of media, one of another feature."""

_CONTRACT_TEST = '''"""Every feature of the registry keeps its contract, on small films."""

from pathlib import Path

import pytest
from copal.contracts import check_feature, feature_names, sample_media
from copal.golden import check_golden, golden_rows

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def media(tmp_path_factory):
    return sample_media(tmp_path_factory.mktemp("media"))


@pytest.mark.parametrize("feature", feature_names(ROOT))
def test_feature_keeps_its_contract(feature, media, tmp_path):
    check_feature(ROOT, feature, media, tmp_path)


@pytest.fixture(scope="session")
def rows(tmp_path_factory):
    return golden_rows(ROOT, tmp_path_factory.mktemp("golden"))


@pytest.mark.parametrize("feature", feature_names(ROOT))
def test_rows_change_only_with_the_recipe(feature, rows):
    if no_verdict := check_golden(ROOT, feature, rows):
        pytest.skip(no_verdict)
'''

_IGNORED = "/.copal/\n/.metaflow/\n__pycache__/\n"


def library() -> Path:
    """Folder that holds Copal's own registry and features: in the wheel, or the checkout."""
    packaged = Path(__file__).parent / "library"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent


def make_repository(folder: Path, *, everything: bool = False) -> list[Path]:
    """Write a repository; files that are there are kept.

    Parameters
    ----------
    everything
        All of Copal's features, instead of the first two.

    Returns
    -------
    The files written.

    Raises
    ------
    RequestError
        The folder holds a registry already.
    """
    if (folder / REGISTRY_FILE).exists():
        raise RequestError(f"{folder / REGISTRY_FILE} is there already. Nothing was written.")
    registry = (library() / REGISTRY_FILE).read_text()
    if not everything:
        registry = excerpt(registry, FIRST_FEATURES)
    name = re.sub(r"\W+", "_", folder.resolve().name.lower()).strip("_")
    project = name if re.match(r"[a-z]", name) else "films"
    registry = re.sub(r"^project: .*$", f"project: {project}", registry, flags=re.MULTILINE)
    texts = {
        REGISTRY_FILE: registry,
        ".gitignore": _IGNORED,
        "features/__init__.py": f'"""The features of {project}: one file each."""\n',
        "tests/test_contract.py": _CONTRACT_TEST,
    }
    modules = dict.fromkeys(re.findall(r"compute: features\.(\w+):", registry))
    for module in modules:
        path = f"features/{module}.py"
        texts[path] = (library() / path).read_text()
    written = []
    for path, text in texts.items():
        target = folder / path
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
            written.append(target)
    if not (folder / FLOW_FILE).exists():
        written.append(write_flow(Project(folder).graph, folder))
    return written


def excerpt(registry: str, features: tuple[str, ...]) -> str:
    """The registry's text with only some of its features."""
    head, _, body = registry.partition("features:\n")
    blocks = re.split(r"(?m)^(?=  \w+:$)", body)
    kept = [block for block in blocks if block.strip().partition(":")[0] in features]
    return head + "features:\n" + "".join(kept).rstrip() + "\n"
