"""The image: its steps are taken here, and what they make runs a whole deployed flow.

Docker is not needed: an environment is made by the Dockerfile's own COPY and RUN lines, and the
flow is deployed to an AWS on this machine, whose state machine is then walked, each job a process
with the container's command and variables.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from copal.demo import sample_film
from tests.integration.cloud import STACK, Cloud, cloud
from tests.integration.repository import make_repository
from tests.states import Machine, chunks

ROOT = Path(__file__).parent.parent.parent
DOCKERFILE = ROOT / "infra" / "Dockerfile"
TARGET = "cuda"
"""The CPU target takes the same steps but for one option: torch comes from an index of its own."""
PATIENCE_SECONDS = 900


def instructions(text: str) -> list[tuple[str, str, str]]:
    """Stage, instruction and arguments of each line, continued lines joined."""
    joined = re.sub(r"\\\n\s*", " ", text)
    found, stage = [], ""
    for line in joined.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        word, _, rest = line.partition(" ")
        if word == "FROM":
            stage = rest.rpartition(" AS ")[2]
        found.append((stage, word, rest))
    return found


def lineage(text: str, target: str) -> list[tuple[str, str]]:
    """What the layers under a target do, in order, with the stages it copies from before it."""
    lines = instructions(text)
    parents = {stage: rest.split(" ")[0] for stage, word, rest in lines if word == "FROM"}
    own = [(word, rest) for stage, word, rest in lines if stage == target and word != "FROM"]
    before = lineage(text, parents[target]) if parents[target] in parents else []
    copied = [
        each
        for word, rest in own
        if word == "COPY" and (found := re.match(r"--from=(\S+)", rest))
        for each in lineage(text, found[1])
    ]
    return [*before, *copied, *own]


def test_the_dockerfile_is_one_that_every_step_can_run_in() -> None:
    """
    Both targets end with a user who is nobody, no entry point, and no installing at the start.
    """
    text = DOCKERFILE.read_text()
    for target in ("cpu", "cuda"):
        words = lineage(text, target)
        assert ("USER", "10001") in words
        assert not [word for word, _ in words if word == "ENTRYPOINT"]
        environment = variables(words)
        assert environment["METAFLOW_SKIP_INSTALL_DEPENDENCIES"] == "1"
        assert environment["COPAL_PROJECT"] == "/project"
        assert environment["PATH"].split(":")[0] == "/opt/copal/bin"
        assert ("RUN", f"sh /source/infra/install.sh /source /opt/copal {target}") in words
    stages = [stage for stage, word, _ in instructions(text) if word == "FROM"]
    assert stages[-1] == "cpu"  # what 'docker build' makes when no target is named


def variables(words: list[tuple[str, str]]) -> dict[str, str]:
    """What ENV lines set."""
    found = {}
    for word, rest in words:
        if word == "ENV":
            found |= dict(each.partition("=")[::2] for each in shlex.split(rest))
    return found


def test_every_file_that_the_image_takes_is_sent_to_the_builder() -> None:
    """
    .dockerignore lets through what the Dockerfile copies, and nothing else of the checkout.
    """
    let_through = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"
    }
    copied = {
        source
        for _, word, rest in instructions(DOCKERFILE.read_text())
        if word == "COPY" and "--from" not in rest
        for source in rest.split(" ")[:-1]
    }
    assert copied == let_through


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str]]]:
    """The image's root, made by its own steps, and its variables."""
    root = tmp_path_factory.mktemp("image")
    moved = {name: str(root / name[1:]) for name in ("/source", "/opt/copal", "/project", "/task")}

    def here(text: str) -> str:
        for name, path in moved.items():
            text = re.sub(rf"(?<![\w/]){re.escape(name)}(?![\w])", path, text)
        return text

    words = lineage(DOCKERFILE.read_text(), TARGET)
    for word, rest in words:
        if word == "COPY" and "--from" not in rest:
            *sources, target = rest.split(" ")
            for source in sources:
                _copy(ROOT / source, here(target), target.endswith("/"))
        elif word == "RUN" and not rest.startswith("useradd"):  # which only root may
            ran = subprocess.run(
                ["nice", "sh", "-c", here(rest)],
                env=_clean() | {"UV_OFFLINE": os.environ.get("UV_OFFLINE", "0")},
                capture_output=True,
                text=True,
                timeout=PATIENCE_SECONDS,
            )
            assert ran.returncode == 0, ran.stdout + ran.stderr
            assert re.fullmatch(r"copal, version \S+", ran.stdout.strip().splitlines()[-1])
    Path(moved["/task"]).mkdir()
    environment = {name: here(value) for name, value in variables(words).items()}
    environment["COPAL_CACHE"] = str(root / "tmp" / "copal-cache")
    yield root, environment
    shutil.rmtree(root)


def _copy(source: Path, target: str, into: bool) -> None:
    there = Path(target) / source.name if into else Path(target)
    there.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, there, ignore=shutil.ignore_patterns("__pycache__", ".metaflow"))
    else:
        shutil.copy(source, there)


def _clean() -> dict[str, str]:
    hidden = ("COPAL_", "AWS_", "METAFLOW_", "PYTHON", "PYTEST_", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if not name.startswith(hidden)}


@pytest.fixture
def aws() -> Iterator[Cloud]:
    with cloud() as made:
        yield made


def test_the_image_reads_its_project(image: tuple[Path, dict[str, str]]) -> None:
    """
    'copal check' in the image finds the project, and every feature of it imports.
    """
    root, environment = image
    ran = subprocess.run(
        ["copal", "check"],
        cwd=root / "task",
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.endswith("features, in order.\n")


def test_a_deployed_flow_runs_in_the_image(
    image: tuple[Path, dict[str, str]], aws: Cloud, tmp_path: Path
) -> None:
    """
    The stack is made, a film is put into its bucket, the flow is deployed to it, and walking the
    state machine that AWS then holds, with the container's own commands, stores every feature.
    """
    root, environment = image
    outputs = aws.make_stack()
    sample_film(tmp_path / "first.mp4", (8, 6))
    aws.client("s3").upload_file(
        str(tmp_path / "first.mp4"), outputs["MediaBucket"], "in/first.mp4"
    )
    repository = make_repository(
        tmp_path / "films",
        (),
        aws.variables | {"COPAL_STORE": outputs["CopalStore"], "COPAL_CACHE": str(tmp_path / "c")},
    )
    (added,) = repository.copal("add", f"s3://{outputs['MediaBucket']}/in/", "--json").objects
    assert added["decision"] == "new"
    said = repository.copal("deploy", "step-functions", "--stack", STACK).out
    assert said.splitlines()[-1] == "Deployed 'quick.prod.FeatureFlow'."

    functions = aws.client("stepfunctions")
    (made,) = functions.list_state_machines()["stateMachines"]
    held = functions.describe_state_machine(stateMachineArn=made["stateMachineArn"])
    dynamo = aws.client("dynamodb")
    (root / "tmp").mkdir()
    machine = Machine(
        json.loads(held["definition"]),
        # what is of the container, and the keys that a role would bring
        environment | {k: v for k, v in aws.variables.items() if k.endswith(("_ID", "_KEY"))},
        tmp_path / "jobs",
        lambda asked: dynamo.get_item(**asked),
    )
    machine.execute("first", {"Parameters": "{}"})
    assert chunks(machine.jobs) == {
        "start": 1, "levels": 1, "cuts": 1, "spans": 1, "join_assets": 1,
        "plan_pairs": 1, "alike": 1, "join_pairs": 1, "end": 1,
    }  # fmt: skip
    told = repository.copal("status", "--json").objects
    assert [each["stored"] for each in told if each.get("feature") == "alike"] == [1]
    assert sum(each.get("compute", 0) for each in repository.copal("plan", "--json").objects) == 0
    commands = {job.step: job for job in machine.jobs}
    assert commands["levels"].command[:2] == ["bash", "-c"]
    assert commands["levels"].environment["COPAL_STORE"] == outputs["CopalStore"]
