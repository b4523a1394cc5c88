"""The flow compiled for clusters, read back step by step, and deployed to ones that answer."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from copal.errors import DeployFailed, RegistryError, RequestError, StoreError
from copal.flow.cluster import ARGO_DEFAULTS, STEP_FUNCTIONS_NEEDS
from copal.flow.compiled import StepMachine
from copal.flow.deploy import Deployment, Request, compile_flow, deploy
from copal.flow.recorder import recorder
from tests.integration.cloud import STACK, Cloud, cloud
from tests.integration.repository import Repository, make_repository

ROOT = Path(__file__).parent.parent.parent
STORE = "s3://copal-store/lake"

HEAD = """project: quick
store: .copal
schedule: "0 3 * * ? *"
deploy: {image: "example.org/copal:7", event: quick-arrivals, max_workers: 12}
"""

LEVELS = """    resources: {cpu: 4, gpu: 2, memory_gib: 6.5, disk_gib: 40, shared_memory_gib: 1}
    retries: 2
    timeout_minutes: 45
    deploy:
      image: example.org/copal:7-cuda
      node_selector: {pool: gpu, zone: "1"}
      tolerations: [{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}]
      queue: gpus
"""


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Nobody's settings but a home of Metaflow's own, which is returned."""
    import os

    for name in [n for n in os.environ if n.startswith(("METAFLOW_", "AWS_", "COPAL_"))]:
        monkeypatch.delenv(name)
    home = tmp_path / "metaflow-home"
    monkeypatch.setenv("METAFLOW_HOME", str(home))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return home


@pytest.fixture
def amazon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Step Functions cannot do without."""
    for name in STEP_FUNCTIONS_NEEDS:
        monkeypatch.setenv(name, f"arn:aws:iam::123456789012:role/{name.lower()}")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")


@pytest.fixture
def quick(tmp_path: Path, own_imports: None, settings: Path) -> Repository:
    """A small repository whose registry says something of every machine."""
    made = make_repository(tmp_path / "quick")
    path = made.root / "registry.yaml"
    _, mark, rest = path.read_text().partition("features:\n")
    before, levels, after = rest.partition("    params: {side: 8, block: 4}\n")
    path.write_text(HEAD + mark + before + levels + LEVELS + after)
    return made


def compiled(repository: Repository, target: str, **asked: str) -> Deployment:
    return compile_flow(Request.of(target, repository.root, STORE, **asked))


STEPS = ["start", "levels", "cuts", "spans", "join_assets", "plan_pairs", "alike", "join_pairs",
         "end"]  # fmt: skip


def check_steps(done: Deployment) -> dict[str, StepMachine]:
    """What both clusters must have understood alike."""
    found = {step.name: step for step in done.compiled.steps}
    assert list(found) == STEPS
    levels, cuts, start = found["levels"], found["cuts"], found["start"]
    assert (levels.cpu, levels.memory_mib, levels.gpu) == (4, 6656, 2)
    assert (levels.retries, levels.timeout_seconds) == (2, 45 * 60)
    assert levels.image == "example.org/copal:7-cuda"
    assert (cuts.cpu, cuts.memory_mib, cuts.gpu) == (1, 2048, 0)
    assert (cuts.retries, cuts.timeout_seconds) == (0, 60 * 60)
    assert cuts.image == start.image == "example.org/copal:7"
    assert (start.retries, start.timeout_seconds) == (2, 120 * 60)
    assert levels.attempts > levels.retries + 1 > 1  # a task that died is told of by another
    for step in found.values():
        assert step.environment["COPAL_STORE"] == STORE
        assert step.environment["COPAL_PROJECT"] == "."
        assert step.environment["COPAL_WORKERS"] == "12"
        assert "COPAL_DEPLOY" not in step.environment
        assert step.command[:2] == ("bash", "-c")
        assert f" step {step.name} " in step.command[2]
        assert step.environment["METAFLOW_CODE_URL"].startswith(f"{STORE}/metaflow/FeatureFlow/")
    assert done.compiled.max_workers == 12
    assert done.compiled.parameters == {"plan_id": ""}
    assert "127.0.0.1" not in done.text()
    return found


def test_argo_is_told_what_the_registry_says(quick: Repository) -> None:
    """
    Each step's CPU, memory, GPU, disk, limits, tries, time, image and nodes are the registry's; the
    cron and the sensor are among what is written.
    """
    done = compiled(quick, "argo")
    found = check_steps(done)
    levels = found["levels"]
    assert levels.node_selector == {"pool": "gpu", "zone": "1"}
    assert levels.disk_mib == 40 * 1024
    assert [dict(each) for each in levels.tolerations] == [
        {"effect": "NoSchedule", "key": "nvidia.com/gpu", "operator": "Exists"}
    ]
    assert levels.limits["nvidia.com/gpu"] == "2"
    assert levels.limits["memory"] == "6656.0M"
    assert found["cuts"].limits["cpu"] == "1.0"
    assert found["cuts"].node_selector == {}
    assert done.compiled.name == "quick.prod.featureflow"
    assert done.compiled.cron == "0 3 * * ?"
    assert done.compiled.event == "quick-arrivals"
    kinds = [item["kind"] for item in done.document["items"]]
    assert kinds == ["WorkflowTemplate", "CronWorkflow", "Sensor"]
    template, cron, sensor = done.document["items"]
    assert cron["spec"]["workflowSpec"]["workflowTemplateRef"]["name"] == done.compiled.name
    assert {item["metadata"].get("namespace", "copal") for item in (template, sensor)} == {"copal"}
    assert sensor["spec"]["dependencies"][0]["eventSourceName"] == "copal-arrivals"
    pods = [each for each in template["spec"]["templates"] if "container" in each]
    accounts = {each["serviceAccountName"] for each in pods if each.get("serviceAccountName")}
    assert accounts == {"copal-task"}


def test_step_functions_are_told_what_the_registry_says(quick: Repository, amazon: None) -> None:
    """
    The same for AWS: Batch's resources, attempts, time, images, queues; EventBridge has the cron.
    """
    done = compiled(quick, "step-functions")
    found = check_steps(done)
    assert found["levels"].queue == "gpus"
    assert found["cuts"].queue.endswith("metaflow_batch_job_queue")
    assert done.compiled.name == "quick.prod.FeatureFlow"
    assert done.compiled.cron == "0 3 * * ? *"
    assert done.compiled.event is None
    (machine,) = done.document["CreateStateMachine"]
    assert machine["roleArn"].endswith("/metaflow_sfn_iam_role")
    (targets,) = done.document["PutTargets"]
    assert targets["Targets"][0]["RoleArn"].endswith("/metaflow_events_sfn_access_iam_role")
    assert all(step.size < 8192 for step in done.compiled.steps)
    roles = {d["containerProperties"]["jobRoleArn"] for d in done.document["registerjobdefinition"]}
    assert [role.rpartition("/")[2] for role in roles] == ["metaflow_ecs_s3_access_iam_role"]


@pytest.mark.parametrize("target", ["argo", "step-functions"])
def test_this_projects_own_flow_compiles(target: str, settings: Path, amazon: None) -> None:
    """
    Of the committed flow every feature is a step, with the registry's machine, for both targets.
    """
    done = compile_flow(Request.of(target, ROOT, STORE))
    declared = yaml.safe_load((ROOT / "registry.yaml").read_text())["features"]
    found = {step.name: step for step in done.compiled.steps}
    assert set(declared) == set(found) - {"start", "end", "join_assets", "plan_pairs", "join_pairs"}
    for name, feature in declared.items():
        asked = feature.get("resources", {})
        assert found[name].cpu == asked.get("cpu", 1)
        assert found[name].gpu == asked.get("gpu", 0)
        assert found[name].memory_mib == asked.get("memory_gib", 2) * 1024
        assert found[name].timeout_seconds == feature.get("timeout_minutes", 60) * 60


def test_a_dry_run_needs_no_permission_and_leaves_no_trace(
    quick: Repository, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Without credentials, without a cluster and without a network, it compiles, and writes only the
    file that was named. An S3 of one's own is what the steps are told, and is not asked.
    """
    monkeypatch.setenv("METAFLOW_S3_ENDPOINT_URL", "http://minio.invalid:9000")
    before = sorted(quick.root.rglob("*"))
    done = compiled(quick, "argo", branch="trial")
    assert done.compiled.name == "quick.test.trial.featureflow"
    told = {step.environment["METAFLOW_S3_ENDPOINT_URL"] for step in done.compiled.steps}
    assert told == {"http://minio.invalid:9000"}
    assert not settings.exists()
    assert sorted(p for p in quick.root.rglob("*") if "__pycache__" not in p.parts) == before


def test_settings_of_ones_own_win(quick: Repository, settings: Path) -> None:
    """
    What 'metaflow configure' wrote is used, an image given is every step's but where one is named.
    """
    settings.mkdir()
    (settings / "config.json").write_text(json.dumps({"METAFLOW_KUBERNETES_NAMESPACE": "films"}))
    done = compiled(quick, "argo", image="example.org/mine:1")
    (template, *_) = done.document["items"]
    assert template["metadata"]["namespace"] == "films"
    images = {step.name: step.image for step in done.compiled.steps}
    assert images["levels"] == "example.org/copal:7-cuda"
    assert {image for name, image in images.items() if name != "levels"} == {"example.org/mine:1"}
    (settings / "config.json").write_text("[")
    with pytest.raises(RequestError, match=r"config.json: not a configuration of Metaflow"):
        compiled(quick, "argo")


# Against clusters that answer


@pytest.fixture
def aws(settings: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    with cloud() as made:
        for name, value in made.variables.items():
            monkeypatch.setenv(name, value)
        yield made


def test_a_deployment_to_aws_is_there(quick: Repository, aws: Cloud) -> None:
    """
    With the stack's outputs, the state machine, the rule and its target, and the code package are
    in AWS; the package holds the registry and the features. Deploying again replaces them.
    """
    outputs = aws.make_stack()
    quick.edit("      queue: gpus\n", "")
    request = Request.of("step-functions", quick.root, stack=STACK)
    assert request.store == outputs["CopalStore"]
    done, said = deploy(request)
    assert "pushed to AWS Step Functions successfully" in said
    again, said = deploy(request)
    functions = aws.client("stepfunctions")
    (made,) = functions.list_state_machines()["stateMachines"]
    held = functions.describe_state_machine(stateMachineArn=made["stateMachineArn"])
    assert held["name"] == done.compiled.name == again.compiled.name
    assert held["roleArn"] == outputs["StateMachineRoleArn"]
    events = aws.client("events")
    (rule,) = events.list_rules()["Rules"]
    assert rule["ScheduleExpression"] == "cron(0 3 * * ? *)"
    (target,) = events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
    assert target["Arn"] == made["stateMachineArn"]

    bucket, _, prefix = outputs["CopalStore"].removeprefix("s3://").partition("/")
    s3 = aws.client("s3")
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    names: set[str] = set()
    for key in keys:
        assert key.startswith(f"{prefix}/metaflow/FeatureFlow/data/")
        data = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        with tarfile.open(fileobj=io.BytesIO(data)) as package:
            names |= set(package.getnames())
    assert {"feature_flow.py", "registry.yaml", "quick/features.py", "quick/__init__.py"} <= names
    assert ".mf_code/copal/flow/steps.py" in names or any("copal/flow" in n for n in names)
    assert not [name for name in names if name.endswith((".env", "config.json", ".pyc"))]


def test_a_deployment_to_argo_is_what_the_trial_said(
    quick: Repository, aws: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A cluster's API is sent the template, the cron workflow and the sensor that a trial printed.
    """
    aws.client("s3").create_bucket(Bucket="copal-store")
    with recorder() as cluster:
        user = {"name": "me", "user": {}}
        context = {"name": "me", "context": {"cluster": "it", "user": "me"}}
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(
            json.dumps(
                {
                    "apiVersion": "v1", "kind": "Config", "current-context": "me",
                    "clusters": [{"name": "it", "cluster": {"server": cluster.address}}],
                    "contexts": [context], "users": [user],
                }
            )
        )  # fmt: skip
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        done, said = deploy(Request.of("argo", quick.root, STORE))
        sent = [body for _, body in cluster.calls]
    assert "deployed to Argo Workflows successfully" in said
    assert [body["kind"] for body in sent] == ["WorkflowTemplate", "CronWorkflow", "Sensor"]
    assert sent[1] == done.document["items"][1]
    assert [_shape(body) for body in sent] == [_shape(item) for item in done.document["items"]]


def _shape(body: object) -> object:
    """Names and nesting, but for what is told anew each time."""
    if isinstance(body, dict):
        return {key: _shape(value) for key, value in body.items()}
    if isinstance(body, list):
        return [_shape(each) for each in body]
    return type(body).__name__


def test_only_json_uploads_the_package_and_deploys_nothing(
    quick: Repository, aws: Cloud, tmp_path: Path
) -> None:
    """
    What others apply names a code package that is really there; no cluster was asked.
    """
    aws.client("s3").create_bucket(Bucket="copal-store")
    done = compile_flow(Request.of("argo", quick.root, STORE), upload=True)
    (package,) = done.packages
    bucket, _, key = package.removeprefix("s3://").partition("/")
    assert aws.client("s3").head_object(Bucket=bucket, Key=key)["ContentLength"] > 1000


# What goes wrong


def test_what_cannot_be_deployed_is_told(
    quick: Repository, settings: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """
    A store that nobody else reaches, settings that are not there, a stale flow, a stack and a
    cluster that are not there, a job that is too large: each is one message that says what to do.
    """
    with pytest.raises(
        RequestError, match=r"the store is '\.copal', which tasks on other machines"
    ):
        compile_flow(Request.of("argo", quick.root))
    with pytest.raises(RequestError) as caught:
        compiled(quick, "step-functions")
    assert all(name in str(caught.value) for name in [*STEP_FUNCTIONS_NEEDS, "AWS_DEFAULT_REGION"])
    assert "infra/aws/copal.yaml" in str(caught.value)

    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(StoreError, match=r"stack 'nowhere': Could not connect"):
        compiled(quick, "step-functions", stack="nowhere")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(DeployFailed, match=r"argo: the flow compiles, but was not deployed:"):
        deploy(Request.of("argo", quick.root, STORE))

    for name in STEP_FUNCTIONS_NEEDS:
        monkeypatch.setenv(name, f"arn:aws:iam::123456789012:role/{name}")
    long = f"s3://copal-store/{'x' * 900}"
    with pytest.raises(RequestError, match=r"bytes of overrides, and it takes 8192"):
        compile_flow(Request.of("step-functions", quick.root, long))

    quick.edit("  spans:\n    summary", "  bits:\n    summary")
    quick.edit("needs: {spans: spans}", "needs: {spans: bits}")
    with pytest.raises(RegistryError, match=r"feature_flow.py is older than registry.yaml"):
        compiled(quick, "argo")


def test_what_metaflow_refuses_is_told_in_its_words(quick: Repository) -> None:
    """
    A branch that Metaflow does not take is a request that is wrong, with what Metaflow said.
    """
    with pytest.raises(RequestError) as caught:
        compiled(quick, "argo", branch="Not-A-Name")
    assert str(caught.value).startswith("Metaflow cannot compile the flow for argo:\n")
    assert "branch name must contain only" in " ".join(str(caught.value).split())


# On the command line


def test_the_verb_prints_steps_and_writes_a_file(quick: Repository, tmp_path: Path) -> None:
    """
    'copal deploy argo --dry-run' prints what each step gets and what starts the flow, and its file
    is a List that kubectl takes; --json has the same as objects; no target is a usage error.
    """
    file = tmp_path / "argo.json"
    store = ("--store", STORE)
    said = quick.copal(*store, "deploy", "argo", "--dry-run", "--output", file).out.splitlines()
    assert said[0].split() == ["step", "image", "cpu", "memory", "gpu", "tries", "minutes", "where"]
    (levels,) = (line.split() for line in said if line.startswith("levels"))
    assert levels == ["levels", "example.org/copal:7-cuda", "4", "6.5", "GiB", "2", "3", "45",
                      "pool=gpu", "zone=1"]  # fmt: skip
    assert said[-3] == (
        "quick.prod.featureflow: starts cron 0 3 * * ? and event 'quick-arrivals'; "
        "at most 12 tasks of a step at once."
    )
    assert said[-1] == "Nothing was uploaded or deployed."
    assert json.loads(file.read_text())["kind"] == "List"
    head, *steps = quick.copal(*store, "deploy", "argo", "--dry-run", "--json").objects
    assert (head["cron"], head["event"]) == ("0 3 * * ?", "quick-arrivals")
    assert [step["step"] for step in steps] == STEPS
    assert json.loads(quick.copal(*store, "deploy", "argo", "--dry-run", "--output", "-").out)
    refused = quick.copal("deploy", "argo", "--dry-run", code=2).err
    assert refused.startswith("copal: the store is '.copal'")
    assert quick.copal("deploy", "nomad", code=2).err


def test_names_are_those_of_the_manifests() -> None:
    """
    The namespace, accounts and event source that are compiled in are those of infra/kubernetes.
    """
    folder = ROOT / "infra" / "kubernetes"
    items = [i for path in folder.glob("*.yaml") for i in yaml.safe_load_all(path.read_text())]
    names = {(item["kind"], item.get("metadata", {}).get("name")) for item in items}
    told = ARGO_DEFAULTS
    assert ("Namespace", told["METAFLOW_KUBERNETES_NAMESPACE"]) in names
    assert ("ServiceAccount", told["METAFLOW_KUBERNETES_SERVICE_ACCOUNT"]) in names
    assert ("ServiceAccount", told["METAFLOW_ARGO_EVENTS_SERVICE_ACCOUNT"]) in names
    assert ("EventSource", told["METAFLOW_ARGO_EVENTS_EVENT_SOURCE"]) in names
    assert ("EventBus", told["METAFLOW_ARGO_EVENTS_EVENT_BUS"]) in names
    (source,) = (item for item in items if item["kind"] == "EventSource")
    hook = source["spec"]["webhook"][told["METAFLOW_ARGO_EVENTS_EVENT"]]
    assert told["METAFLOW_ARGO_EVENTS_WEBHOOK_URL"].endswith(f":{hook['port']}{hook['endpoint']}")
