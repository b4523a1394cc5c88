"""Compiling the flow for Argo Workflows or AWS Step Functions, and deploying it there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from copal.errors import DeployFailed, RequestError
from copal.flow.cluster import image_of, metaflow_home, outputs, settings, task_variables
from copal.flow.compiled import Compiled, read_argo, read_step_functions
from copal.flow.generate import check_flow, step_names
from copal.flow.recorder import Record, recorder
from copal.graph import Graph
from copal.placement import BRANCH, PART, PRODUCTION, TARGET, TARGET_ENVIRONMENT
from copal.project import REGISTRY_FILE, find_root
from copal.registry import load

MOST_OVERRIDES = 8192
"""Bytes of a job's overrides that AWS Batch takes."""
PATIENCE_SECONDS = 600
KUBERNETES = ("WorkflowTemplate", "CronWorkflow", "Sensor")
"""Kinds in the order in which they are to be applied."""
CALLS = ("registerjobdefinition", "CreateStateMachine", "PutRule", "PutTargets")


@dataclass(frozen=True, slots=True)
class Deployment:
    """A flow compiled for a cluster."""

    target: str
    document: Mapping[str, Any]
    """For Argo a Kubernetes ``List``; for Step Functions the calls by name, in order."""
    compiled: Compiled
    """The same, read back."""
    packages: tuple[str, ...]
    """``s3://`` addresses of the code package: what the tasks download before they start."""

    def text(self) -> str:
        """The document as JSON; ``kubectl apply -f`` takes Argo's as it is."""
        return json.dumps(self.document, indent=1, ensure_ascii=False) + "\n"


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be deployed, and where to."""

    root: Path
    """Folder of the registry; the store itself is not asked, so a trial needs no permission."""
    graph: Graph
    store: str
    target: str
    image: str = ""
    stack: str = ""
    branch: str = ""
    """A deployment beside the production one, under a name of its own."""
    authorize: str = ""
    """Metaflow's production token, when somebody else deployed before."""

    @staticmethod
    def of(
        target: str, start: Path | None = None, store: str | None = None, **asked: str
    ) -> Request:
        """The repository of a folder, or of the nearest one above the working directory."""
        root = find_root(start).resolve()
        declared = load(root / REGISTRY_FILE)
        where = store or os.environ.get("COPAL_STORE") or ""
        if not where and (stack := asked.get("stack")):
            where = outputs(stack).get("COPAL_STORE", "")
        where = where or declared.store
        return Request(root, Graph(declared), where, target, **asked)

    def settings(self) -> dict[str, str]:
        """Variables for Metaflow's compiler."""
        image = self.image or image_of(self.graph.registry)
        return settings(self.store, self.target, image, self.stack)


def compile_flow(request: Request, *, upload: bool = False) -> Deployment:
    """Compile the flow; no cluster is asked or told anything.

    Parameters
    ----------
    upload
        Upload the code package, so that what was compiled can be applied by other means. Without
        it nothing leaves this machine, and what Step Functions compiles to names job definitions
        that do not exist yet.

    Raises
    ------
    RequestError
        Something is not set, or Metaflow refuses the flow.
    RegistryError
        The flow file is older than the registry.
    """
    target = request.target
    chosen = request.settings()
    endpoint = chosen.get("METAFLOW_S3_ENDPOINT_URL", "")
    with recorder() as record, tempfile.TemporaryDirectory(prefix="copal-deploy-") as folder:
        home = Path(folder)
        for path in metaflow_home().glob("config*.json"):
            shutil.copy(path, home)
        kept = os.environ if upload else _without_credentials(os.environ)
        env = dict(kept) | chosen | _cluster(record, home, target, upload=upload)
        env["METAFLOW_HOME"] = folder  # a trial leaves no production token behind
        env["METAFLOW_SERVICE_VERSION_CHECK"] = ""  # false: asks nobody
        if endpoint and not upload:
            env["METAFLOW_S3_ENDPOINT_URL"] = record.address
        code, said = _create(request, env, folder)
    if code:
        raise RequestError(f"Metaflow cannot compile the flow for {target}:\n{_tail(said)}")
    if record.unknown:
        raise RequestError(
            f"Metaflow asked the cluster for what a trial cannot answer: {record.unknown[0]}. "
            "Deploy without --dry-run."
        )
    calls = json.loads(json.dumps(record.calls).replace(record.address, endpoint or "?"))
    return _deployment(request, calls)


def deploy(request: Request) -> tuple[Deployment, str]:
    """Compile the flow, then create or replace it in the cluster; gives Metaflow's own words too.

    Raises
    ------
    DeployFailed
        No cluster, no permission, or it refused.
    """
    done = compile_flow(request)
    env = dict(os.environ) | request.settings()
    with tempfile.TemporaryDirectory(prefix="copal-deploy-") as folder:
        code, said = _create(request, env, folder)
    if code:
        raise DeployFailed(
            f"{request.target}: the flow compiles, but was not deployed:\n{_tail(said)}"
        )
    return done, said


def _create(request: Request, env: Mapping[str, str], folder: str) -> tuple[int, str]:
    """Metaflow's own ``create``, in a process of its own."""
    target, workers = request.target, request.graph.registry.deploy.max_workers
    flow = check_flow(request.graph, request.root)
    name = "argo-workflows" if target == "argo" else "step-functions"
    branch = request.branch or PRODUCTION
    command = [
        sys.executable, str(flow), "--no-pylint", "--datastore", "s3",
        "--config", "registry", str(request.root / REGISTRY_FILE),
        name, "create", "--max-workers", str(workers),
    ]  # fmt: skip
    if request.authorize:
        command += ["--authorize", request.authorize]
    given = {key: value for key, value in env.items() if key != PART} | {
        "COPAL_PROJECT": str(request.root),
        "PYTHONWARNINGS": "ignore",
        TARGET: target,
        TARGET_ENVIRONMENT: json.dumps(
            task_variables(request.store, target, workers) | {BRANCH: branch}
        ),
        BRANCH: branch,
    }
    try:
        ran = subprocess.run(
            command, cwd=folder, env=given, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=PATIENCE_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired as exc:
        raise DeployFailed(
            f"{target}: Metaflow was not done after {PATIENCE_SECONDS} s. Is the cluster reachable?"
        ) from exc
    return ran.returncode, ran.stdout + ran.stderr


def _cluster(record: Record, home: Path, target: str, *, upload: bool) -> dict[str, str]:
    """Variables that lead to the recorder instead of to a cluster."""
    env = {"AWS_ENDPOINT_URL_SFN": record.address, "AWS_ENDPOINT_URL_EVENTBRIDGE": record.address}
    if not upload:
        env |= {
            "AWS_ENDPOINT_URL": record.address,
            "AWS_ENDPOINT_URL_S3": record.address,
            "AWS_ENDPOINT_URL_BATCH": record.address,
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "nothing",
            "AWS_DEFAULT_REGION": _region(),
        }
    if target == "argo":
        kubeconfig = home / "kubeconfig"
        kubeconfig.write_text(json.dumps(_kubeconfig(record.address)))
        env["KUBECONFIG"] = str(kubeconfig)
    return env


def _without_credentials(environment: Mapping[str, str]) -> dict[str, str]:
    hidden = {"AWS_PROFILE", "AWS_SESSION_TOKEN"}
    return {name: value for name, value in environment.items() if name not in hidden}


def _region() -> str:
    return os.environ.get("AWS_DEFAULT_REGION") or os.environ.get("AWS_REGION") or "us-east-1"


def _kubeconfig(address: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "trial",
        "clusters": [{"name": "trial", "cluster": {"server": address}}],
        "contexts": [{"name": "trial", "context": {"cluster": "trial", "user": "trial"}}],
        "users": [{"name": "trial", "user": {}}],
    }


def _deployment(request: Request, calls: list[tuple[str, dict[str, Any]]]) -> Deployment:
    order = step_names(request.graph)
    if request.target == "argo":
        items = [body for kind in KUBERNETES for name, body in calls if name == kind]
        document: dict[str, Any] = {"apiVersion": "v1", "kind": "List", "items": items}
        compiled = read_argo(items, order)
    else:
        document = {
            called: [_open(body) for name, body in calls if name == called] for called in CALLS
        }
        compiled = read_step_functions(document, order)
        for step in compiled.steps:
            if step.size > MOST_OVERRIDES:
                raise RequestError(
                    f"step '{step.name}' asks AWS Batch for {step.size} bytes of overrides, and it "
                    f"takes {MOST_OVERRIDES}. Shorten the store's address, or the variables set."
                )
    packages = sorted({step.environment["METAFLOW_CODE_URL"] for step in compiled.steps})
    return Deployment(request.target, document, compiled, tuple(packages))


def _open(body: dict[str, Any]) -> dict[str, Any]:
    """A state machine's definition travels as text; here it is the thing itself."""
    if "definition" in body:
        return body | {"definition": json.loads(body["definition"])}
    return body


def _tail(said: str) -> str:
    lines = [line.rstrip() for line in said.splitlines() if line.strip()]
    return "\n".join(lines[-12:])
